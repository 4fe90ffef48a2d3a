// SPDX-License-Identifier: Apache-2.0
// A discipline with classes, each with a discipline of its own below it, and filters that choose
// among them. Kernel twin: include/net/sch_generic.h, struct Qdisc_class_ops.
#pragma once

#include <memory>
#include <vector>

#include "sched/cls.h"
#include "sched/qdisc.h"

namespace txp {

// What `tc class` shows. Disciplines derive from it to keep their own state by class.
struct TcClass {
  explicit TcClass(ClassSpec s) : spec(std::move(s)) {}
  virtual ~TcClass() = default;
  TcClass(const TcClass&) = delete;
  TcClass& operator=(const TcClass&) = delete;

  const ClassSpec spec;
  std::shared_ptr<Qdisc> leaf;  // null: an inner class
  TcfChain filters;             // an inner class's own
  // What `tc -s class` shows: nothing, what the leaf counted, or the class's own counts.
  enum class Stats : std::uint8_t { none, leaf, own } stats = Stats::leaf;
  Count bytes, packets, drops, overlimits;
  std::vector<Qdisc::Xstat> xstats;
};

class ClassfulQdisc : public Qdisc {
 public:
  using Qdisc::Qdisc;

  // A child became empty by its own doing (Qdisc_class_ops::qlen_notify). May come again.
  virtual void qlen_notify(Qdisc&) {}

  // Drops what waits in the classes. A discipline that keeps more overrides it and calls this.
  void reset(Net& net, DropReason reason) override;
  void each(void (*visit)(Skb& skb, void* arg), void* arg) override;

  // Null: none of that id.
  TcClass* find(std::uint32_t classid) const;
  void add_class(std::unique_ptr<TcClass> c);
  // By the order of `tc class`.
  const std::vector<std::unique_ptr<TcClass>>& classes() const { return classes_; }

  // For the packets that no class was named for. Changed under the root's lock.
  TcfChain filters;
  bool has_filters = false;  // of its own or of a class's (Qdisc_class_ops::tcf_block)

 protected:
  // The packet goes into `child`, as every classful enqueue() does it: accounts here what was
  // taken, and a drop where one was.
  TxResult enqueue_child(Net& net, SkbPtr skb, Qdisc& child);
  // The packet that `child` gave out leaves.
  void left(const Skb& skb) {
    sub(skb);
    bstats_update(skb);
  }
  // Asks the filters for a class. False: they ended the packet, and `ended` is what to answer.
  bool classify(Net& net, SkbPtr& skb, const TcfChain& chain, TcfResult& res, TxResult& ended);

 private:
  std::vector<std::unique_ptr<TcClass>> classes_;
  std::vector<TcClass*> by_minor_;
};

// Gives every discipline of the tree its device, queue and root.
void qdisc_adopt(Qdisc& q, NetDevice& dev, TxQueue* txq);
// Calls `visit` for `q` and every discipline below it, parents first. rtnl or the root's lock held.
template <typename Visit>
void qdisc_walk(Qdisc& q, Visit&& visit) {
  visit(q);
  auto* classful = dynamic_cast<ClassfulQdisc*>(&q);
  if (classful == nullptr) return;
  for (const auto& c : classful->classes())
    if (c->leaf) qdisc_walk(*c->leaf, visit);
}

}  // namespace txp
