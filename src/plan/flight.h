// SPDX-License-Identifier: Apache-2.0
// What flights of whole datagrams and of fragments share.
#pragma once

#include <cstring>

#include "dev/netdevice.h"
#include "net.h"
#include "netfilter/nft_counter.h"
#include "plan/headers.h"
#include "plan/plan.h"
#include "socket/sock.h"

namespace txp {

// The walk's skb, but for its bytes. In two parts, as the compiler then copies without a loop.
inline void copy_metadata(Skb& to, const Skb& from) {
  constexpr std::size_t kHalf = (sizeof(Skb) / 2 + 15) & ~std::size_t{15};
  void* dst = &to;
  const void* src = &from;
  std::memcpy(dst, src, kHalf);
  std::memcpy(static_cast<std::uint8_t*>(dst) + kHalf,
              static_cast<const std::uint8_t*>(src) + kHalf, sizeof(Skb) - kHalf);
}

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

// An skb for `len` bytes from the IP header on, with the plan's metadata and its headers' template
// in front of them; null: no memory.
inline Skb* blank_skb(Cpu& cpu, const Plan& plan, std::size_t len) {
  const std::size_t size = kPlanHeadroom + len;
  Skb* skb = cpu.pool.take(size);
  if (skb == nullptr) [[unlikely]]
    return nullptr;
  const std::uint8_t pool_class = skb->pool_class;
  copy_metadata(*skb, plan.skb);
  skb->pool_class = pool_class;
  skb->head = SkbPool::bytes_of(*skb);
  skb->data = skb->head + plan.skb.mac_header;
  skb->tail = skb->end = skb->head + size;
  skb->len = static_cast<std::uint32_t>(skb->tail - skb->data);
  skb->pkt_len = skb->len;
  skb->began = cpu.call_began;
  // The block has room for the template's last, unused bytes; the payload comes over them.
  std::memcpy(skb->data, plan.header.data(), plan.header.size());
  return skb;
}

// What rules count of a datagram.
inline void count_rules(const Plan& plan, std::size_t payload) {
  for (std::size_t i = 0; i < plan.counter_count; ++i)
    plan.counters[i]->add(payload + plan.counter_of[i]);
}

// Whether the frame goes straight into the driver and is gone when the call returns: no queue, no
// tap, nothing in the way. It need not be charged to its sender then.
inline bool straight(const Cpu& cpu, const NetDevice& dev, const TxQueue& txq) {
  return dev.features.sync && cpu.call_began == 0 && txq.qdisc->has_no_queue &&
         dev.taps.get() == nullptr && dev.is_up() && cpu.xmit_recursion == 0;
}

// What dev_hard_start_xmit() and ndo_start_xmit() count.
inline void count_xmit(Cpu& cpu, std::uint32_t len) {
  for (const Stage stage : {Stage::dev_hard_start_xmit, Stage::ndo_start_xmit}) {
    StageCounters& c = cpu.counters.at(stage);
    c.packets.add();
    c.bytes.add(len);
  }
}

// The two in one piece, but for that, under the queue's lock. False: the driver was busy.
inline bool xmit(Net& net, Cpu& cpu, SkbPtr& skb, NetDevice& dev, TxQueue& txq, bool more) {
  const std::uint32_t len = skb->len;
  if (dev.driver->ndo_start_xmit(net, dev, txq.index, skb, more) != NetdevTx::ok) [[unlikely]]
    return false;
  txq.count_sent(cpu.number, 1, len);
  cpu.counters.delivered.add();
  return true;
}

}  // namespace txp
