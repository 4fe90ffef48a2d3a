// SPDX-License-Identifier: Apache-2.0
// codel: one queue under the CoDel law (RFC 8289). Kernel twin: net/sched/sch_codel.c.
//
// Drops: beyond the limit (QDISC_OVERLIMIT); what the law takes from the head (QDISC_CONGESTED).
#include <linux/pkt_sched.h>

#include "mirror/attrs.h"
#include "net.h"
#include "sched/codel.h"
#include "sched/registry.h"

namespace txp {

namespace {

struct CodelOptions {
  CodelParams params;
  std::uint32_t limit = 1000;  // DEFAULT_CODEL_LIMIT
};

std::optional<CodelOptions> read_codel(std::span<const std::uint8_t> options, const Link& link) {
  Attrs<TCA_CODEL_MAX> a(options, "codel");
  CodelOptions o;
  o.params.mtu = psched_mtu(link);
  if (const auto v = a.u32(TCA_CODEL_TARGET)) o.params.target = codel_us(*v);
  if (const auto v = a.u32(TCA_CODEL_CE_THRESHOLD)) o.params.ce_threshold = codel_us(*v);
  if (const auto v = a.u32(TCA_CODEL_INTERVAL)) o.params.interval = codel_us(*v);
  if (const auto v = a.u32(TCA_CODEL_LIMIT)) o.limit = *v;
  o.params.ecn = a.u32(TCA_CODEL_ECN).value_or(0) != 0;
  if (!a.error().empty()) return std::nullopt;
  return o;
}

class CodelQdisc final : public Qdisc {
 public:
  CodelQdisc(QdiscSpec s, const CodelOptions& o) : Qdisc(std::move(s)), params_(o.params) {
    limit = o.limit;
    state_is_shared = true;
    can_bypass = limit >= 1;
    xstats = {{"drop_overlimit", &drop_overlimit_}, {"ecn_mark", &ecn_mark_}};
  }

  TxResult enqueue(Net& net, SkbPtr skb) final {
    if (qlen() >= limit) {
      drop_overlimit_.add();
      return drop_one(net, std::move(skb), DropReason::QDISC_OVERLIMIT);
    }
    skb->qdisc_time = net.clock.now();
    add(*skb);
    backlog_ += skb->pkt_len;
    queue_.push_back(std::move(skb));
    return TxResult::success();
  }

  SkbPtr dequeue(Net& net) final {
    CodelStats st;
    SkbPtr skb = codel_.dequeue(
        net.clock.now(), params_, st, backlog_,
        [this] {
          SkbPtr head = queue_.pop_front();
          if (head) {
            sub(*head);
            backlog_ -= head->pkt_len;
          }
          return head;
        },
        [&](SkbPtr s) { (void)drop_one(net, std::move(s), DropReason::QDISC_CONGESTED); });
    ecn_mark_.add(st.ecn_mark + st.ce_mark);
    if (skb) bstats_update(*skb);
    if (st.drop_count != 0)
      tree_reduce_backlog(st.drop_count, static_cast<std::int64_t>(st.drop_len));
    return skb;
  }

  void reset(Net& net, DropReason reason) final {
    while (SkbPtr skb = queue_.pop_front()) {
      sub(*skb);
      drop(net, Stage::qdisc_enqueue, std::move(skb), reason);
    }
    backlog_ = 0;
    codel_ = Codel();
  }

  void each(void (*visit)(Skb&, void*), void* arg) final {
    for (Skb* s = queue_.peek(); s != nullptr; s = s->next) visit(*s, arg);
  }

 private:
  const CodelParams params_;
  Codel codel_;
  SkbQueue queue_;
  std::uint32_t backlog_ = 0;  // bytes in queue_
  Count drop_overlimit_;
  Count ecn_mark_;
};

}  // namespace

std::shared_ptr<Qdisc> make_codel(const QdiscTree& tree, const Link& link) {
  const auto o = read_codel(tree.spec.options, link);
  return o ? std::make_shared<CodelQdisc>(tree.spec, *o) : nullptr;
}

}  // namespace txp
