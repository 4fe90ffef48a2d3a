// SPDX-License-Identifier: Apache-2.0
// What all disciplines share. Kernel twins: include/net/sch_generic.h (qdisc_peek_dequeued(),
// qdisc_dequeue_peeked()), net/sched/sch_api.c (qdisc_tree_reduce_backlog()).
#include <utility>

#include "dev/netdevice.h"
#include "net.h"
#include "observe/trace.h"
#include "sched/classful.h"

namespace txp {

const Skb* Qdisc::peek(Net& net) {
  if (gso_skb.empty()) {
    SkbPtr skb = dequeue(net);
    if (!skb) return nullptr;
    add(*skb);  // it still waits here
    gso_skb.push_back(std::move(skb));
  }
  return gso_skb.peek();
}

SkbPtr Qdisc::dequeue_peeked(Net& net) {
  if (SkbPtr skb = gso_skb.pop_front()) {
    sub(*skb);
    return skb;
  }
  return dequeue(net);
}

void Qdisc::tree_reduce_backlog(std::int64_t n, std::int64_t len) {
  Qdisc* child = this;
  for (ClassfulQdisc* p = parent; p != nullptr; child = p, p = p->parent) {
    if (child->qlen() == 0) p->qlen_notify(*child);
    p->take_off(n, len);
    if (n > 0) p->stats.drops.add(static_cast<std::uint64_t>(n));
  }
}

TxResult Qdisc::drop_one(Net& net, SkbPtr skb, DropReason reason) {
  stats.drops.add();
  drop(net, Stage::qdisc_enqueue, std::move(skb), reason);
  return TxResult::drop();
}

void qdisc_each(Qdisc& q, void (*visit)(Skb& skb, void* arg), void* arg) {
  for (Skb* s = q.gso_skb.peek(); s != nullptr; s = s->next) visit(*s, arg);
  q.each(visit, arg);
}

void qdisc_reset(Net& net, Qdisc& q, DropReason reason) {
  q.reset(net, reason);
  while (SkbPtr skb = q.gso_skb.pop_front()) {
    q.sub(*skb);
    drop(net, Stage::qdisc_enqueue, std::move(skb), reason);
  }
}

void ClassfulQdisc::reset(Net& net, DropReason reason) {
  for (const auto& c : classes_) {
    if (!c->leaf) continue;
    const std::uint32_t n = c->leaf->qlen();
    const std::uint32_t len = c->leaf->backlog();
    qdisc_reset(net, *c->leaf, reason);
    take_off(n, len);
  }
}

void ClassfulQdisc::each(void (*visit)(Skb& skb, void* arg), void* arg) {
  for (const auto& c : classes_)
    if (c->leaf) qdisc_each(*c->leaf, visit, arg);
}

TcClass* ClassfulQdisc::find(std::uint32_t classid) const {
  const std::uint32_t minor = classid & 0xffff;
  if ((classid & 0xffff0000) != spec.handle || minor >= by_minor_.size()) return nullptr;
  return by_minor_[minor];
}

void ClassfulQdisc::add_class(std::unique_ptr<TcClass> c) {
  const std::uint32_t minor = c->spec.classid & 0xffff;
  if (by_minor_.size() <= minor) by_minor_.resize(minor + 1);
  by_minor_[minor] = c.get();
  if (c->leaf) c->leaf->parent = this;
  classes_.push_back(std::move(c));
}

TxResult ClassfulQdisc::enqueue_child(Net& net, SkbPtr skb, Qdisc& child) {
  const std::uint32_t len = skb->pkt_len;
  const TxResult rc = child.enqueue(net, std::move(skb));
  if (rc.ok())
    take_off(-1, -std::int64_t{len});
  else if (rc.counts_as_drop())
    stats.drops.add();
  return rc;
}

bool ClassfulQdisc::classify(Net& net, SkbPtr& skb, const TcfChain& chain, TcfResult& res,
                             TxResult& ended) {
  res.verdict = chain.classify(net, *skb, res);
  if (res.filter != nullptr && skb->trace != nullptr)
    skb->trace->by(Stage::qdisc_enqueue, NamedObject{.kind = "filter", .text = *res.filter});
  switch (res.verdict) {
    case TcAct::unknown:
      ended = unknown(net, Stage::qdisc_enqueue, std::move(skb), "filter", res.what);
      return false;
    case TcAct::shot:
      stats.drops.add();
      drop(net, Stage::qdisc_enqueue, std::move(skb), DropReason::QDISC_DROP);
      ended = TxResult::bypass();
      return false;
    case TcAct::stolen:
    case TcAct::queued:
    case TcAct::trap:
      // The action keeps what it wants of the packet (mirred its copy); the rest ends here.
      drop(net, Stage::qdisc_enqueue, std::move(skb), DropReason::QDISC_DROP);
      ended = TxResult::stolen();
      return false;
    default: return true;
  }
}

void qdisc_adopt(Qdisc& q, NetDevice& dev, TxQueue* txq) {
  qdisc_walk(q, [&](Qdisc& below) {
    below.dev = &dev;
    below.txq = txq;
    below.root = &q;
  });
}

}  // namespace txp
