// SPDX-License-Identifier: Apache-2.0
// Traffic control: a packet enters its queue's discipline, and whoever finds the discipline idle
// runs it: dequeues and sends until it is empty, the device refuses or the quota is used up.
// Kernel twin: net/core/dev.c (__dev_xmit_skb()), net/sched/sch_generic.c (__qdisc_run(),
// qdisc_restart(), dequeue_skb()).
//
// Differs: pfifo_fast takes the discipline's lock like the others. A discipline over several queues
// dequeues one packet at a time, the kernel up to eight of the same queue. No stab size tables.
// Drops: QDISC_DROP (by the discipline, or one that was just deactivated; where a filter's action
// sends a packet back to the discipline that it is in, the kernel says TC_RECLASSIFY_LOOP).
#include <algorithm>
#include <limits>
#include <utility>

#include "dev/netdevice.h"
#include "net.h"
#include "observe/trace.h"
#include "softirq/net_tx_action.h"

namespace txp {
namespace {

// The disciplines whose enqueue() this thread is inside: an action of theirs may send a copy, which
// must not come back to one of them (Qdisc::owner).
struct Enqueuing {
  const Qdisc* q;
  const Enqueuing* outer;
};
constinit thread_local const Enqueuing* enqueuing = nullptr;

bool is_enqueuing(const Qdisc& q) {
  for (const Enqueuing* e = enqueuing; e != nullptr; e = e->outer)
    if (e->q == &q) return true;
  return false;
}

bool stopped(const TxQueue& txq) { return txq.xoff(); }

TxQueue& txq_of(NetDevice& dev, const Skb& skb) {
  return *dev.tx[std::min<std::size_t>(skb.queue_mapping, dev.tx.size() - 1)];
}

// dequeue_skb(): requeued packets first, one at a time; those were validated before.
SkbPtr dequeue_skb(Net& net, Qdisc& q, bool& validate, int& packets, int budget) {
  packets = 1;
  validate = q.gso_skb.empty();
  if (!validate) {
    if (stopped(txq_of(*q.dev, *q.gso_skb.peek()))) return nullptr;
    SkbPtr skb = q.gso_skb.pop_front();
    q.sub(*skb);
    return skb;
  }
  if (q.one_txqueue && stopped(*q.txq)) return nullptr;
  SkbPtr first = q.dequeue(net);
  if (first && q.one_txqueue && q.dev->features.batch) {
    // try_bulk_dequeue_skb()
    constexpr int kBulk = 64;
    // No more bytes than the queue's limit has room for, where the driver has one.
    const Dql& dql = q.txq->dql;
    std::int64_t room = dql.limit() != 0 ? dql.avail() : std::numeric_limits<std::int32_t>::max();
    room -= first->len;
    Skb* last = first.get();
    while (room > 0 && packets < std::min(budget, kBulk)) {
      SkbPtr next = q.dequeue(net);
      if (!next) break;
      room -= next->len;
      last->next = next.release();
      last = last->next;
      ++packets;
    }
  }
  return first;
}

// qdisc_restart(): false when the queue is empty or the device refused.
bool qdisc_restart(Net& net, Qdisc& q, int& packets, int budget) {
  bool validate = false;
  SkbPtr skb = dequeue_skb(net, q, validate, packets, budget);
  if (!skb) return false;
  TxQueue& txq = txq_of(*q.dev, *skb);
  return sch_direct_xmit(net, std::move(skb), q, *q.dev, txq, validate);
}

// __qdisc_run(). q.lock held, q.running ours.
void run(Net& net, Qdisc& q) {
  const Sysctls& sysctl = net.sysctl();
  const std::uint64_t weight = std::uint64_t{sysctl.dev_weight} * sysctl.dev_weight_tx_bias;
  int quota = static_cast<int>(std::clamp<std::uint64_t>(weight, 1, 1 << 30));
  int packets = 0;
  while (qdisc_restart(net, q, packets, quota)) {
    quota -= packets;
    if (quota <= 0) {
      netif_schedule(net, q);
      break;
    }
  }
}

// A packet that stays behind in a queue outlives the call that its trace tells of.
void leave_behind(Qdisc& q, Trace* trace) {
  const auto forget = [](Skb& skb, void* arg) {
    if (skb.trace != arg) return;
    skb.trace->queued(Stage::qdisc_enqueue);
    skb.trace = nullptr;
  };
  qdisc_each(q, forget, trace);
}

}  // namespace

void qdisc_run(Net& net, Qdisc& q) {
  const std::lock_guard guard(q.lock);
  if (q.running || q.deactivated || q.dev == nullptr) return;
  q.running = true;
  run(net, q);
  q.running = false;
}

TxResult dev_xmit_skb(Net& net, SkbPtr skb, Qdisc& q, NetDevice& dev, TxQueue& txq) {
  enter(net, Stage::qdisc_enqueue, *skb);
  Trace* const trace = skb->trace;
  if (trace != nullptr) trace->by(Stage::qdisc_enqueue, q.spec);
  if (is_enqueuing(q)) [[unlikely]] {
    drop(net, Stage::qdisc_enqueue, std::move(skb), DropReason::QDISC_DROP);
    return TxResult::drop();
  }
  const std::lock_guard guard(q.lock);
  if (q.deactivated) {
    drop(net, Stage::qdisc_enqueue, std::move(skb), DropReason::QDISC_DROP);
    return TxResult::drop();
  }
  if (q.can_bypass && q.idle()) {
    q.running = true;
    q.bstats_update(*skb);
    if (sch_direct_xmit(net, std::move(skb), q, dev, txq, true) && q.qlen() > 0) run(net, q);
    q.running = false;
    if (trace != nullptr) leave_behind(q, trace);
    return TxResult::success();
  }
  const bool ours = !q.running;
  // The trace belongs to this thread: the packet may not take it to the one that runs the queue.
  if (trace != nullptr && !ours) {
    skb->trace = nullptr;
    trace->queued(Stage::qdisc_enqueue);
  }
  const Enqueuing here{&q, enqueuing};
  enqueuing = &here;
  const TxResult rc = q.enqueue(net, std::move(skb));
  enqueuing = here.outer;
  if (ours && q.dev != nullptr) {
    q.running = true;
    run(net, q);
    q.running = false;
    if (trace != nullptr) leave_behind(q, trace);
  }
  return rc.masked();
}

}  // namespace txp
