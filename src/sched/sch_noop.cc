// SPDX-License-Identifier: Apache-2.0
// noop, noqueue and what stands for a discipline that the engine does not run.
// Kernel twin: net/sched/sch_generic.c (noop_qdisc, noqueue_qdisc_ops).
//
// noop: on every queue of a device that is down or has no carrier. The send succeeds
// (NET_XMIT_CN), the device counts tx_dropped.
// noqueue: __dev_queue_xmit() passes it by and hands the packet to the device.
// Drops: noop everything (QDISC_DROP); UnknownQdisc everything (TXPATH_UNKNOWN).
#include "dev/netdevice.h"
#include "observe/trace.h"
#include "sched/registry.h"

namespace txp {
namespace {

// Holds nothing.
class EmptyQdisc : public Qdisc {
 public:
  using Qdisc::Qdisc;
  SkbPtr dequeue(Net&) final { return nullptr; }
  void reset(Net&, DropReason) final {}
  void each(void (*)(Skb&, void*), void*) final {}
};

class Noop final : public EmptyQdisc {
 public:
  using EmptyQdisc::EmptyQdisc;
  TxResult enqueue(Net& net, SkbPtr skb) final {
    skb->dev->tx_dropped.fetch_add(1, std::memory_order_relaxed);
    drop(net, Stage::qdisc_enqueue, std::move(skb), DropReason::QDISC_DROP);
    return TxResult::cn();
  }
};

// enqueue() of both only when a caller fails to look at has_no_queue or takes mq for a queue.
class Noqueue final : public EmptyQdisc {
 public:
  explicit Noqueue(QdiscSpec s) : EmptyQdisc(std::move(s)) { has_no_queue = true; }
  TxResult enqueue(Net& net, SkbPtr skb) final {
    drop(net, Stage::qdisc_enqueue, std::move(skb), DropReason::QDISC_DROP);
    return TxResult::drop();
  }
};

class UnknownQdisc final : public EmptyQdisc {
 public:
  using EmptyQdisc::EmptyQdisc;
  TxResult enqueue(Net& net, SkbPtr skb) final {
    return unknown(net, Stage::qdisc_enqueue, std::move(skb), "qdisc", spec.text);
  }
};

}  // namespace

std::shared_ptr<Qdisc> make_noop() {
  QdiscSpec spec;
  spec.kind = "noop";
  spec.parent = 0xffffffff;
  spec.text = "qdisc noop 0: root";
  return std::make_shared<Noop>(std::move(spec));
}

std::shared_ptr<Qdisc> make_noqueue(const QdiscTree& tree, const Link&) {
  return std::make_shared<Noqueue>(tree.spec);
}

// mq: a root that holds nothing; its children stand on the queues. Its figures are their sum.
std::shared_ptr<Qdisc> make_mq(const QdiscTree& tree, const Link&) {
  return std::make_shared<Noqueue>(tree.spec);
}

std::shared_ptr<Qdisc> make_unknown(const QdiscSpec& spec) {
  return std::make_shared<UnknownQdisc>(spec);
}

}  // namespace txp
