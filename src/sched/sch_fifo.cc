// SPDX-License-Identifier: Apache-2.0
// pfifo and bfifo: one queue, bounded in packets or in bytes.
// Kernel twin: net/sched/sch_fifo.c.
//
// Drops: what does not fit (QDISC_DROP).
#include <cstring>
#include <optional>

#include "sched/registry.h"

namespace txp {
namespace {

class Fifo final : public Qdisc {
 public:
  Fifo(QdiscSpec s, bool bytes, std::uint32_t bound, std::uint32_t mtu)
      : Qdisc(std::move(s)), bytes_(bytes) {
    limit = bound;
    can_bypass = bytes ? bound >= mtu : bound >= 1;
  }

  TxResult enqueue(Net& net, SkbPtr skb) final {
    const bool fits = bytes_ ? std::uint64_t{backlog()} + skb->pkt_len <= limit : qlen() < limit;
    if (!fits) {
      stats.drops.add();
      drop(net, Stage::qdisc_enqueue, std::move(skb), DropReason::QDISC_DROP);
      return TxResult::drop();
    }
    add(*skb);
    queue_.push_back(std::move(skb));
    return TxResult::success();
  }

  SkbPtr dequeue(Net&) final {
    SkbPtr skb = queue_.pop_front();
    if (skb) {
      sub(*skb);
      bstats_update(*skb);
    }
    return skb;
  }

  const Skb* peek(Net&) final { return queue_.peek(); }
  void reset(Net& net, DropReason reason) final {
    while (SkbPtr skb = queue_.pop_front()) {
      sub(*skb);
      drop(net, Stage::qdisc_enqueue, std::move(skb), reason);
    }
  }

  void each(void (*visit)(Skb&, void*), void* arg) final {
    for (Skb* s = queue_.peek(); s != nullptr; s = s->next) visit(*s, arg);
  }

 private:
  const bool bytes_;
  SkbQueue queue_;
};

std::shared_ptr<Qdisc> make_fifo(const QdiscTree& tree, const Link& link, bool bytes) {
  const QdiscSpec& spec = tree.spec;
  const std::uint32_t mtu = psched_mtu(link);
  std::uint32_t limit = link.txqlen * (bytes ? mtu : 1);
  if (!spec.options.empty()) {  // struct tc_fifo_qopt { __u32 limit; }
    if (spec.options.size() < sizeof limit) return nullptr;
    std::memcpy(&limit, spec.options.data(), sizeof limit);
  }
  return std::make_shared<Fifo>(spec, bytes, limit, mtu);
}

}  // namespace

std::shared_ptr<Qdisc> make_pfifo(const QdiscTree& tree, const Link& link) {
  return make_fifo(tree, link, false);
}

std::shared_ptr<Qdisc> make_bfifo(const QdiscTree& tree, const Link& link) {
  return make_fifo(tree, link, true);
}

}  // namespace txp
