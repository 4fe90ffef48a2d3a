// SPDX-License-Identifier: Apache-2.0
// What flights of whole datagrams and of fragments share.
#pragma once

#include <array>
#include <cstring>
#include <span>

#include "dev/netdevice.h"
#include "net.h"
#include "netfilter/nft_counter.h"
#include "plan/headers.h"
#include "plan/plan.h"
#include "sched/qdisc.h"
#include "socket/sock.h"
#include "softirq/net_tx_action.h"

namespace txp {

// Whether nothing in the socket stands against the next datagram: no error to tell, not corked,
// room.
inline bool socket_may_fly(const Sock& sk) {
  const std::uint32_t in_flight = sk.wmem_alloc.load(std::memory_order_relaxed) - 1;
  return sk.sk_err.load(std::memory_order_relaxed) == 0 && !sk.cork.pending &&
         in_flight < static_cast<std::uint32_t>(sk.sndbuf.load(std::memory_order_relaxed));
}

// The walk's skb, but for its bytes. In two parts, as the compiler then copies without a loop.
inline void copy_metadata(Skb& to, const Skb& from) {
  constexpr std::size_t kHalf = (sizeof(Skb) / 2 + 15) & ~std::size_t{15};
  void* dst = &to;
  const void* src = &from;
  std::memcpy(dst, src, kHalf);
  std::memcpy(static_cast<std::uint8_t*>(dst) + kHalf,
              static_cast<const std::uint8_t*>(src) + kHalf, sizeof(Skb) - kHalf);
}

// The payload of one datagram, from its start on.
class PayloadReader {
 public:
  [[gnu::always_inline]] explicit PayloadReader(std::span<const iovec> pieces) : pieces_(pieces) {
    if (pieces.size() == 1) [[likely]]
      block_ = static_cast<const std::uint8_t*>(pieces.front().iov_base);
  }
  // The next `n` bytes to `to`; their sum when the engine does the checksum.
  [[gnu::always_inline]] Csum take(const Plan& plan, std::uint8_t* to, std::size_t n) {
    const bool sums = plan.check == Plan::Check::software;
    if (block_ == nullptr) [[unlikely]]
      return take_pieces(sums, to, n);
    const std::span from(block_, n);
    block_ += n;
    if (sums) return csum_partial_copy(from, to, 0);
    std::memcpy(to, from.data(), n);
    return 0;
  }

 private:
  [[gnu::noinline]] Csum take_pieces(bool sums, std::uint8_t* to, std::size_t n) {
    if (sums) return pieces_.csum_and_copy(to, n);
    pieces_.copy(to, n);
    return 0;
  }
  const std::uint8_t* block_ = nullptr;  // null: it lies in pieces
  IovReader pieces_;
};

// The first of `n` ids in a row (ip_select_ident_segs()).
inline std::uint16_t next_id(Net& net, Sock& sk, Plan::Id id, std::size_t n) {
  const auto step = static_cast<std::uint32_t>(n);
  switch (id) {
    case Plan::Id::socket:
      return static_cast<std::uint16_t>(sk.inet_id.fetch_add(step, std::memory_order_relaxed) + 1);
    case Plan::Id::net:
      return static_cast<std::uint16_t>(net.ip_id.fetch_add(step, std::memory_order_relaxed));
    case Plan::Id::zero: break;
  }
  return 0;
}

// Makes `skb`, whose bytes begin at `head`, the walk's for `len` bytes from the IP header on: the
// plan's metadata and its headers' template.
[[gnu::always_inline]] inline void dress_skb(Cpu& cpu, const Plan& plan, Skb& skb,
                                             std::uint8_t* head, std::size_t len) {
  const std::size_t size = kPlanHeadroom + len;
  const std::uint8_t pool_class = skb.pool_class;
  copy_metadata(skb, plan.skb);
  skb.pool_class = pool_class;
  skb.head = head;
  skb.data = head + plan.skb.mac_header;
  skb.tail = skb.end = head + size;
  skb.len = skb.pkt_len = static_cast<std::uint32_t>(size - plan.skb.mac_header);
  skb.began = cpu.call_began;
  // With some unused bytes before it; where the UDP header is missing, the payload comes over it.
  std::memcpy(head + kPlanHeadroom + kPlanIpUdp - plan.header.size(), plan.header.data(),
              plan.header.size());
}

// An skb so dressed; null: no memory. The bytes of a block lie so that the payload behind all
// headers begins a cache line; `shift` moves them on, for a fragment without a UDP header.
inline Skb* blank_skb(Cpu& cpu, const Plan& plan, std::size_t len, std::size_t shift = 0) {
  Skb* skb = cpu.pool.take(kPlanHeadroom + len + shift);
  if (skb != nullptr) [[likely]]
    dress_skb(cpu, plan, *skb, SkbPool::bytes_of(*skb) + shift, len);
  return skb;
}

// What rules count of a datagram.
inline void count_rules(const Plan& plan, std::size_t payload) {
  for (std::size_t i = 0; i < plan.counter_count; ++i)
    plan.counters[i]->add(payload + plan.counter_of[i]);
}

// neigh_event_send(): a neighbour in doubt wants to know that it is used.
inline void touch_neighbour(Net& net, const Plan& plan) {
  if (plan.in_doubt != nullptr) [[unlikely]]
    plan.in_doubt->used.store(net.clock.now(), std::memory_order_relaxed);
}

// Whether the frame goes straight into the driver, now.
inline bool straight(const Cpu& cpu, const Plan& plan) {
  return plan.way != Plan::Way::walk && cpu.call_began == 0 && cpu.xmit_recursion == 0;
}

// Holds the discipline of a queue while frames pass it by, if it has one and it is empty.
class PastQueue {
 public:
  [[gnu::always_inline]] PastQueue(const Plan& plan, TxQueue& txq) {
    if (plan.way == Plan::Way::past_queue) [[unlikely]]
      enter(txq);
  }
  [[gnu::always_inline]] ~PastQueue() {
    if (q_ != nullptr) [[unlikely]]
      leave();
  }
  PastQueue(const PastQueue&) = delete;
  PastQueue& operator=(const PastQueue&) = delete;

  // False: packets wait in it, or the driver has stopped; the frames have to walk.
  explicit operator bool() const { return free_; }
  // So many passed.
  [[gnu::always_inline]] void passed(std::uint64_t packets, std::uint64_t bytes) {
    if (q_ == nullptr) [[likely]]
      return;
    q_->stats.packets.add(packets);
    q_->stats.bytes.add(bytes);
  }
  // What the driver did not take waits in it, first in line, as sch_direct_xmit() puts it.
  void requeue(Net& net, TxQueue& txq, SkbPtr skb) {
    q_->bstats_update(*skb);
    dev_requeue_skb(net, std::move(skb), *q_, txq);
  }
  [[gnu::noinline]] void leave() {
    q_->running = false;
    q_->lock.unlock();
    q_ = nullptr;
  }

 private:
  [[gnu::noinline]] void enter(TxQueue& txq) {
    Qdisc& q = *txq.qdisc;
    q.lock.lock();
    free_ = q.idle() && !txq.xoff();
    if (!free_) {
      q.lock.unlock();
      return;
    }
    q.running = true;
    q_ = &q;
  }
  Qdisc* q_ = nullptr;  // whose lock is ours
  bool free_ = true;
};

// Frames on their way into the driver one after the other, under the queue's lock; what they count
// there is counted at the end.
class StraightXmit {
 public:
  [[gnu::always_inline]] StraightXmit(Net& net, Cpu& cpu, NetDevice& dev, TxQueue& txq,
                                      PastQueue& queue)
      : net_(net), cpu_(cpu), dev_(dev), txq_(txq), queue_(queue), lock_(cpu, dev, txq) {
    ++cpu.xmit_recursion;
  }
  [[gnu::always_inline]] ~StraightXmit() {
    --cpu_.xmit_recursion;
    txq_.count_sent(cpu_.number, packets_, bytes_);
    cpu_.counters.delivered.add(packets_);
    queue_.passed(packets_, bytes_);
  }
  StraightXmit(const StraightXmit&) = delete;
  StraightXmit& operator=(const StraightXmit&) = delete;

  // dev_hard_start_xmit() and ndo_start_xmit() in one. False: the driver was busy, or stopped and
  // not asked; `skb` is still there.
  [[gnu::always_inline]] bool send(SkbPtr& skb, bool more) {
    if (txq_.xoff()) [[unlikely]]
      return false;
    const std::uint32_t len = skb->len;
    asked_ = true;
    if (dev_.driver->ndo_start_xmit(net_, dev_, txq_.index, skb, more) != NetdevTx::ok) [[unlikely]]
      return false;
    ++packets_;
    bytes_ += len;
    asked_ = false;
    return true;
  }
  std::uint64_t packets() const { return packets_; }
  std::uint64_t bytes() const { return bytes_; }
  bool asked() const { return asked_; }  // whether the driver itself refused the last

 private:
  Net& net_;
  Cpu& cpu_;
  NetDevice& dev_;
  TxQueue& txq_;
  PastQueue& queue_;
  const HardTxLock lock_;
  std::uint64_t packets_ = 0;
  std::uint64_t bytes_ = 0;
  bool asked_ = false;
};

// The stages that a frame passes in a StraightXmit: the discipline's where it has one, the
// driver's.
inline constexpr std::array kQueueStages{Stage::qdisc_enqueue, Stage::sch_direct_xmit};
inline constexpr std::array kDriverStages{Stage::dev_hard_start_xmit, Stage::ndo_start_xmit};

// What frames count there.
inline void count_stages(Cpu& cpu, std::span<const Stage> stages, std::uint64_t packets,
                         std::uint64_t bytes) {
  for (const Stage stage : stages) {
    StageCounters& c = cpu.counters.at(stage);
    c.packets.add(packets);
    c.bytes.add(bytes);
  }
}

inline void count_shape(Cpu& cpu, std::uint8_t shape, std::uint64_t packets, std::uint64_t bytes) {
  FlightShape& s = cpu.shapes[shape];
  s.packets.add(packets);
  s.bytes.add(bytes);
}

}  // namespace txp
