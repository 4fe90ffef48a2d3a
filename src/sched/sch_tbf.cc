// SPDX-License-Identifier: Apache-2.0
// tbf: a token bucket before one queue, and a second one for a peak rate.
// Kernel twin: net/sched/sch_tbf.c.
//
// Left out: offload to hardware; a change of the parameters starts with a fresh bucket and, unlike
// the kernel's, an empty queue.
// Drops: what is longer than the bucket is deep and cannot be segmented (QDISC_DROP); what the
// inner discipline refuses.
#include <linux/pkt_sched.h>

#include <algorithm>
#include <cstring>
#include <limits>
#include <utility>

#include "dev/netdevice.h"
#include "mirror/attrs.h"
#include "net.h"
#include "sched/ratecfg.h"
#include "sched/registry.h"
#include "sched/watchdog.h"

namespace txp {

namespace {

struct TbfParms {
  std::uint32_t limit = 0;
  std::uint32_t max_size = 0;  // bytes; a longer packet cannot pass
  Nanos buffer = 0;            // depth of the bucket
  Nanos mtu = 0;               // depth of the peak's
  Ratecfg rate;
  Ratecfg peak;  // rate_bytes_ps 0: none
};

// The kernel lists a bucket's depth in ticks, not in the bytes that it was given: the most bytes
// that make so many ticks. (Above 8 Gbit a tick is several bytes.)
std::uint32_t burst_of(const Ratecfg& rate, std::uint32_t ticks) {
  if (rate.rate_bytes_ps == 0) return 0;
  constexpr std::uint64_t kMost = std::numeric_limits<std::uint32_t>::max() / 2;
  auto len = static_cast<std::uint32_t>(std::min(rate.ns_t2l(psched_ticks2ns(ticks)), kMost));
  for (int i = 0; i < 10000 && psched_ns2ticks(rate.l2t_ns(len + 1)) <= std::int64_t{ticks}; ++i)
    ++len;
  return len;
}

// tbf_change(). Nothing: the kernel would refuse them.
std::optional<TbfParms> read_tbf(std::span<const std::uint8_t> options) {
  Attrs<TCA_TBF_MAX> a(options, "tbf");
  tc_tbf_qopt o{};
  const auto raw = a.raw(TCA_TBF_PARMS);
  if (!raw || take_header(*raw, o) == nullptr) return std::nullopt;
  TbfParms p;
  p.limit = o.limit;
  p.rate = Ratecfg(o.rate, a.u64(TCA_TBF_RATE64).value_or(0));
  p.max_size = a.u32(TCA_TBF_BURST).value_or(burst_of(p.rate, o.buffer));
  p.buffer = p.rate.l2t_ns(p.max_size);
  p.mtu = psched_ticks2ns(o.mtu);
  if (o.peakrate.rate != 0) {
    p.peak = Ratecfg(o.peakrate, a.u64(TCA_TBF_PRATE64).value_or(0));
    if (p.peak.rate_bytes_ps <= p.rate.rate_bytes_ps) return std::nullopt;
    const std::uint32_t burst = a.u32(TCA_TBF_PBURST).value_or(burst_of(p.peak, o.mtu));
    p.max_size = std::min(p.max_size, burst);
    p.mtu = p.peak.l2t_ns(burst);
  }
  if (p.max_size == 0 || !a.error().empty()) return std::nullopt;
  return p;
}

class Tbf final : public ClassfulQdisc {
 public:
  Tbf(QdiscSpec s, const TbfParms& p, std::shared_ptr<Qdisc> inner)
      : ClassfulQdisc(std::move(s)), p_(p), inner_(*inner), watchdog_(*this) {
    limit = p.limit;
    state_is_shared = true;
    refill(0);
    ClassSpec c;
    c.ifindex = spec.ifindex;
    c.kind = "tbf";
    c.classid = spec.handle | 1;
    c.parent = spec.handle;
    c.text = fmt::format("class tbf {:x}:1 parent {:x}:", spec.handle >> 16, spec.handle >> 16);
    auto cl = std::make_unique<TcClass>(std::move(c));
    cl->stats = TcClass::Stats::none;
    cl->leaf = std::move(inner);
    add_class(std::move(cl));
  }

  TxResult enqueue(Net& net, SkbPtr skb) final {
    if (skb->pkt_len > p_.max_size) {
      // skb_gso_validate_mac_len(): each segment as a frame.
      if (skb->is_gso() &&
          skb->transport_header - skb->mac_header + kUdpHeader + skb->gso_size <= p_.max_size)
        return segment(net, std::move(skb));
      return drop_one(net, std::move(skb));
    }
    return enqueue_child(net, std::move(skb), inner_);
  }

  SkbPtr dequeue(Net& net) final {
    const Skb* head = inner_.peek(net);
    if (head == nullptr) return nullptr;
    const std::uint32_t len = head->pkt_len;
    const Nanos now = net.clock.now();
    const Nanos since = std::min(now - t_c_, p_.buffer);
    Nanos ptokens = 0;
    if (p_.peak.rate_bytes_ps != 0)
      ptokens = std::min(since + ptokens_, p_.mtu) - p_.peak.l2t_ns(len);
    const Nanos tokens = std::min(since + tokens_, p_.buffer) - p_.rate.l2t_ns(len);
    if (tokens < 0 || ptokens < 0) {
      watchdog_.schedule(net, now + std::max(-tokens, -ptokens));
      stats.overlimits.add();
      return nullptr;
    }
    SkbPtr skb = inner_.dequeue_peeked(net);
    if (!skb) return nullptr;
    t_c_ = now;
    tokens_ = tokens;
    ptokens_ = ptokens;
    left(*skb);
    return skb;
  }

  void reset(Net& net, DropReason reason) final {
    ClassfulQdisc::reset(net, reason);
    refill(net.clock.now());
    watchdog_.cancel();
  }

 private:
  static constexpr std::uint32_t kUdpHeader = 8;

  void refill(Nanos now) {
    t_c_ = now;
    tokens_ = p_.buffer;
    ptokens_ = p_.mtu;
  }

  // tbf_segment(): a GSO packet that the bucket could never pay for goes in by its segments.
  TxResult segment(Net& net, SkbPtr skb) {
    const std::int64_t len = skb->pkt_len;
    SkbPtr chain = skb_gso_segment(net, std::move(skb), Stage::qdisc_enqueue);
    if (!chain) {
      stats.drops.add();
      return TxResult::drop();
    }
    std::int64_t taken = 0;
    std::int64_t bytes = 0;
    while (chain) {
      SkbPtr rest(std::exchange(chain->next, nullptr));
      const std::uint32_t one = chain->len;
      chain->pkt_len = one;
      if (enqueue_child(net, std::move(chain), inner_).ok()) {
        ++taken;
        bytes += one;
      }
      chain = std::move(rest);
    }
    if (taken == 0) return TxResult::drop();
    tree_reduce_backlog(1 - taken, len - bytes);
    return TxResult::success();
  }

  const TbfParms p_;
  Qdisc& inner_;
  Nanos t_c_ = 0;
  Nanos tokens_ = 0;
  Nanos ptokens_ = 0;
  QdiscWatchdog watchdog_;
};

}  // namespace

std::shared_ptr<Qdisc> make_tbf(const QdiscTree& tree, const Link& link) {
  const auto p = read_tbf(tree.spec.options);
  if (!p) return nullptr;
  auto inner = make_limited_leaf(tree, tree.spec.handle | 1, p->limit, link);
  return std::make_shared<Tbf>(tree.spec, *p, std::move(inner));
}

}  // namespace txp
