// SPDX-License-Identifier: Apache-2.0
// drr: classes in turns, each by a deficit of bytes (Shreedhar, Varghese 1995).
// Kernel twin: net/sched/sch_drr.c.
//
// Left out: rate estimators. Drops: what no class is named for (QDISC_DROP; the sender is not
// told), what a filter ends, what a class refuses.
#include <linux/pkt_sched.h>

#include <algorithm>

#include "mirror/attrs.h"
#include "net.h"
#include "sched/flow_list.h"
#include "sched/registry.h"

namespace txp {

namespace {

struct DrrClass final : TcClass {
  using TcClass::TcClass;
  std::int64_t quantum = 0;
  std::int64_t deficit = 0;
  DrrClass* next = nullptr;
  bool listed = false;
};

class Drr final : public ClassfulQdisc {
 public:
  explicit Drr(QdiscSpec s) : ClassfulQdisc(std::move(s)) {
    has_filters = true;
    state_is_shared = true;
  }

  bool build(const QdiscTree& tree, const Link& link) {
    filters = make_filters(tree, spec.handle);
    for (const ClassSpec& s : tree.classes) {
      if (find(s.classid) != nullptr) return false;
      Attrs<TCA_DRR_MAX> a(s.options, "drr class");
      const std::uint32_t quantum = a.u32(TCA_DRR_QUANTUM).value_or(psched_mtu(link));
      if (quantum == 0 || !a.error().empty()) return false;
      auto c = std::make_unique<DrrClass>(s);
      c->quantum = std::clamp<std::uint32_t>(quantum, 256, 1 << 20);
      c->stats = TcClass::Stats::own;
      c->leaf = make_leaf(tree, s.classid, "pfifo", link);
      add_class(std::move(c));
    }
    return true;
  }

  TxResult enqueue(Net& net, SkbPtr skb) final {
    auto* c = static_cast<DrrClass*>(find(skb->priority));
    if (c == nullptr) {
      TcfResult res;
      TxResult ended = TxResult::success();
      if (!filters.empty() && !classify(net, skb, filters, res, ended)) return ended;
      if (res.verdict != TcAct::unspec) c = static_cast<DrrClass*>(find(res.classid));
      if (c == nullptr) {
        (void)drop_one(net, std::move(skb));
        return TxResult::bypass();
      }
    }
    const TxResult rc = enqueue_child(net, std::move(skb), *c->leaf);
    if (!rc.ok()) {
      if (rc.counts_as_drop()) c->drops.add();
      return rc;
    }
    if (!c->listed) {
      active_.push_back(*c);
      c->deficit = c->quantum;
    }
    return rc;
  }

  SkbPtr dequeue(Net& net) final {
    while (DrrClass* c = active_.first()) {
      if (c->leaf->qlen() == 0) {  // it emptied itself
        active_.pop_front();
        continue;
      }
      const Skb* head = c->leaf->peek(net);
      if (head == nullptr) return nullptr;  // a leaf that holds its packets back does not fit here
      if (head->pkt_len > c->deficit) {
        c->deficit += c->quantum;
        active_.pop_front();
        active_.push_back(*c);
        continue;
      }
      c->deficit -= head->pkt_len;
      SkbPtr skb = c->leaf->dequeue_peeked(net);
      if (!skb) return nullptr;
      if (c->leaf->qlen() == 0) active_.pop_front();
      c->bytes.add(skb->pkt_len);
      c->packets.add(skb->is_gso() ? skb->gso_segs : 1);
      left(*skb);
      return skb;
    }
    return nullptr;
  }

  void reset(Net& net, DropReason reason) final {
    active_.clear();
    ClassfulQdisc::reset(net, reason);
  }

 private:
  FlowList<DrrClass> active_;
};

}  // namespace

std::shared_ptr<Qdisc> make_drr(const QdiscTree& tree, const Link& link) {
  auto drr = std::make_shared<Drr>(tree.spec);
  return drr->build(tree, link) ? drr : nullptr;
}

}  // namespace txp
