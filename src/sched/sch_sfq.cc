// SPDX-License-Identifier: Apache-2.0
// sfq: stochastic fairness queueing (McKenney 1990); flows by hash in a round, the longest one pays
// when the queue is full. Kernel twin: net/sched/sch_sfq.c.
//
// Differs: the hash is the engine's own; `perturb` re-hashes at the first packet after its time
// rather than by a timer. Left out: red inside flows (unknown).
// Drops: QDISC_DROP from the longest flow, or beyond a flow's depth.
#include <linux/pkt_sched.h>

#include <algorithm>
#include <bit>
#include <cstddef>
#include <cstring>

#include "dev/skb_hash.h"
#include "mirror/attrs.h"
#include "net.h"
#include "sched/registry.h"

namespace txp {

namespace {

struct SfqOptions {
  std::uint32_t quantum = 0;
  std::uint32_t limit = 127;  // SFQ_MAX_DEPTH
  std::uint32_t divisor = 1024;
  std::uint32_t flows = 128;  // SFQ_DEFAULT_FLOWS
  std::uint32_t depth = 127;
  bool headdrop = false;
  Nanos perturb = 0;
};

std::optional<SfqOptions> read_sfq(std::span<const std::uint8_t> options, const Link& link) {
  SfqOptions o;
  o.quantum = psched_mtu(link);
  if (options.empty()) return o;
  tc_sfq_qopt v0{};
  if (take_header(options, v0) == nullptr) return std::nullopt;
  if (v0.quantum != 0) o.quantum = v0.quantum;
  if (v0.quantum > 0x7fffffff || v0.perturb_period < 0) return std::nullopt;
  o.perturb = Nanos{v0.perturb_period} * kSecond;
  if (v0.divisor != 0 && (!std::has_single_bit(v0.divisor) || v0.divisor > 65536))
    return std::nullopt;
  if (v0.divisor != 0) o.divisor = v0.divisor;
  if (v0.flows != 0) o.flows = std::min<std::uint32_t>(v0.flows, 65536 - 128 - 2);
  tc_sfq_qopt_v1 v1{};
  if (take_header(options, v1) != nullptr) {
    if (v1.depth != 0) o.depth = std::min<std::uint32_t>(v1.depth, 127);
    o.headdrop = v1.headdrop != 0;
    if (v1.qth_min != 0 || v1.qth_max != 0) return std::nullopt;  // red inside flows
  }
  if (v0.limit != 0) {
    o.limit = std::min(v0.limit, o.depth * o.flows);
    o.flows = std::min(o.flows, o.limit);
  }
  return o;
}

class Sfq final : public ClassfulQdisc {
 public:
  Sfq(const QdiscTree& tree, const SfqOptions& o)
      : ClassfulQdisc(tree.spec),
        o_(o),
        table_(o.divisor, kNone),
        slots_(o.flows),
        by_depth_(o.depth + 1, kNone) {
    limit = o.limit;
    state_is_shared = true;
    can_bypass = o.limit >= 1;
    has_filters = true;
    filters = make_filters(tree, spec.handle);
    can_bypass = can_bypass && filters.empty();
    for (std::uint32_t x = o.flows; x-- > 0;) link(x);
  }

  TxResult enqueue(Net& net, SkbPtr skb) final {
    if (o_.perturb != 0) perturb(net);
    std::uint32_t hash = 0;
    if (TxResult ended = TxResult::success(); !choose(net, skb, hash, ended)) return ended;
    std::uint32_t x = table_[hash];
    if (x == kNone) {
      x = by_depth_[0];
      if (x == kNone) return drop_one(net, std::move(skb));
      table_[hash] = x;
      slots_[x].hash = hash;
    } else if (slots_[x].queue.qlen() >= o_.depth) {
      return beyond_depth(net, slots_[x], std::move(skb));
    }
    const std::uint32_t len = skb->pkt_len;
    put(x, std::move(skb));
    if (qlen() <= limit) return TxResult::success();
    const std::size_t had = slots_[x].queue.qlen();
    const std::uint32_t dropped = drop_longest(net);
    if (slots_[x].queue.qlen() != had) {
      // Of this very flow: its sender is told, and the parents never counted this packet.
      tree_reduce_backlog(0, std::int64_t{dropped} - len);
      return TxResult::cn();
    }
    tree_reduce_backlog(1, dropped);
    return TxResult::success();
  }

  SkbPtr dequeue(Net&) final {
    if (tail_ == kNone) return nullptr;
    std::uint32_t x = slots_[tail_].next;
    while (slots_[x].allot <= 0) {
      slots_[x].allot += o_.quantum;
      tail_ = x;
      x = slots_[x].next;
    }
    SkbPtr skb = take(x, true);
    bstats_update(*skb);
    if (slots_[x].queue.empty())
      leave_round(x);
    else
      slots_[x].allot -= skb->pkt_len;
    return skb;
  }

  void reset(Net& net, DropReason reason) final {
    while (tail_ != kNone) {
      const std::uint32_t x = slots_[tail_].next;
      drop(net, Stage::qdisc_enqueue, take(x, true), reason);
      if (slots_[x].queue.empty()) leave_round(x);
    }
  }

  void each(void (*visit)(Skb&, void*), void* arg) final {
    for (Slot& s : slots_)
      for (Skb* skb = s.queue.peek(); skb != nullptr; skb = skb->next) visit(*skb, arg);
  }

 private:
  static constexpr std::uint32_t kNone = 0xffffffff;
  struct Slot {
    SkbQueue queue;
    std::uint32_t next = kNone;  // in the round
    std::uint32_t hash = 0;
    std::int64_t allot = 0;
    // Among the slots of the same length, newest first.
    std::uint32_t above = kNone;
    std::uint32_t below = kNone;
  };

  bool choose(Net& net, SkbPtr& skb, std::uint32_t& hash, TxResult& ended) {
    const std::uint32_t minor = skb->priority & 0xffff;
    // A default discipline's handle is 0: there, as in the kernel, a plain priority names a flow.
    if ((skb->priority & 0xffff0000) == spec.handle && minor > 0 && minor <= o_.divisor) {
      hash = minor - 1;
      return true;
    }
    if (filters.empty()) {
      hash = hash_of(*skb);
      return true;
    }
    TcfResult res;
    if (!classify(net, skb, filters, res, ended)) return false;
    const std::uint32_t flow = res.classid & 0xffff;
    if (res.verdict == TcAct::unspec || flow == 0 || flow > o_.divisor) {
      (void)drop_one(net, std::move(skb));
      ended = TxResult::bypass();
      return false;
    }
    hash = flow - 1;
    return true;
  }
  std::uint32_t hash_of(Skb& skb) const {
    std::uint64_t h = skb_get_hash(skb) ^ perturbation_;
    h = (h ^ (h >> 30)) * 0xbf58476d1ce4e5b9ULL;
    return static_cast<std::uint32_t>(h >> 32) & (o_.divisor - 1);
  }

  // The lists of slots by their length.
  void link(std::uint32_t x) {
    std::uint32_t& head = by_depth_[slots_[x].queue.qlen()];
    slots_[x].above = kNone;
    slots_[x].below = head;
    if (head != kNone) slots_[head].above = x;
    head = x;
  }
  void unlink(std::uint32_t x) {
    Slot& s = slots_[x];
    if (s.above != kNone)
      slots_[s.above].below = s.below;
    else
      by_depth_[s.queue.qlen()] = s.below;
    if (s.below != kNone) slots_[s.below].above = s.above;
  }

  void put(std::uint32_t x, SkbPtr skb) {
    Slot& s = slots_[x];
    unlink(x);
    add(*skb);
    s.queue.push_back(std::move(skb));
    link(x);
    longest_ = std::max(longest_, s.queue.qlen());
    if (s.queue.qlen() > 1) return;
    // A new flow waits for the round to come to it.
    if (tail_ == kNone) {
      s.next = x;
    } else {
      s.next = slots_[tail_].next;
      slots_[tail_].next = x;
    }
    tail_ = x;
    s.allot = o_.quantum;
  }
  SkbPtr take(std::uint32_t x, bool head) {
    Slot& s = slots_[x];
    unlink(x);
    if (!head)
      for (std::size_t n = s.queue.qlen(); n > 1; --n) s.queue.push_back(s.queue.pop_front());
    SkbPtr skb = s.queue.pop_front();
    link(x);
    while (longest_ > 0 && by_depth_[longest_] == kNone) --longest_;
    sub(*skb);
    return skb;
  }
  // The slot after tail_ is empty.
  void leave_round(std::uint32_t x) {
    table_[slots_[x].hash] = kNone;
    if (slots_[x].next == x)
      tail_ = kNone;
    else
      slots_[tail_].next = slots_[x].next;
  }

  TxResult beyond_depth(Net& net, Slot& s, SkbPtr skb) {
    if (!o_.headdrop) return drop_one(net, std::move(skb));
    SkbPtr head = s.queue.pop_front();
    const std::int64_t delta = std::int64_t{head->pkt_len} - skb->pkt_len;
    sub(*head);
    (void)drop_one(net, std::move(head));
    add(*skb);
    s.queue.push_back(std::move(skb));
    tree_reduce_backlog(0, delta);
    return TxResult::cn();
  }

  // sfq_drop(): from the longest flow. Answers the bytes.
  std::uint32_t drop_longest(Net& net) {
    const std::uint32_t x = longest_ > 1 ? by_depth_[longest_] : slots_[tail_].next;
    SkbPtr skb = take(x, o_.headdrop);
    const std::uint32_t len = skb->pkt_len;
    if (slots_[x].queue.empty()) leave_round(x);
    (void)drop_one(net, std::move(skb));
    return len;
  }

  // sfq_perturbation(): other flows meet in a slot from now on.
  void perturb(Net& net) {
    const Nanos now = net.clock.now();
    if (next_perturb_ == 0) next_perturb_ = now + o_.perturb;
    if (now < next_perturb_) return;
    next_perturb_ = now + o_.perturb;
    perturbation_ = net.random.u32();
    if (!filters.empty() || tail_ == kNone) return;
    SkbQueue all;
    while (tail_ != kNone) {
      const std::uint32_t x = slots_[tail_].next;
      all.push_back(take(x, true));
      if (slots_[x].queue.empty()) leave_round(x);
    }
    while (SkbPtr skb = all.pop_front()) {
      const std::uint32_t hash = hash_of(*skb);
      std::uint32_t x = table_[hash];
      if (x == kNone) x = by_depth_[0];
      if (x == kNone || slots_[x].queue.qlen() >= o_.depth) {
        const std::uint32_t len = skb->pkt_len;
        (void)drop_one(net, std::move(skb));
        tree_reduce_backlog(1, len);
        continue;
      }
      table_[hash] = x;
      slots_[x].hash = hash;
      put(x, std::move(skb));
    }
  }

  const SfqOptions o_;
  std::vector<std::uint32_t> table_;  // hash to slot
  std::vector<Slot> slots_;
  std::vector<std::uint32_t> by_depth_;
  std::size_t longest_ = 0;
  std::uint32_t tail_ = kNone;  // the slot served last; the round goes on after it
  std::uint32_t perturbation_ = 0;
  Nanos next_perturb_ = 0;
};

}  // namespace

std::shared_ptr<Qdisc> make_sfq(const QdiscTree& tree, const Link& link) {
  const auto o = read_sfq(tree.spec.options, link);
  return o ? std::make_shared<Sfq>(tree, *o) : nullptr;
}

}  // namespace txp
