// SPDX-License-Identifier: Apache-2.0
// The NET_TX softirq: runs again the disciplines whose device refused a packet or whose quota was
// used up. One pass a call, so a busy device is never spun on.
// Kernel twin: net/core/dev.c (net_tx_action(), __netif_schedule(), netif_tx_wake_queue()).
//
// Differs: one list a Net instead of one a CPU, so that any thread's poll() finds what another
// scheduled; no completion queue, drivers end their packets themselves.
// Drops: nothing.
#include "softirq/net_tx_action.h"

#include <utility>

#include "dev/netdevice.h"

namespace txp {

void netif_schedule(Net& net, Qdisc& q) {
  if (q.dev == nullptr || q.scheduled.exchange(true, std::memory_order_acq_rel)) return;
  OutputQueue& out = net.output_queue;
  const std::lock_guard guard(out.lock);
  q.sched_ref = q.shared_from_this();
  q.next_sched = nullptr;
  *out.tail = &q;
  out.tail = &q.next_sched;
  out.waiting.store(true, std::memory_order_release);
}

std::size_t net_tx_action(Net& net) {
  OutputQueue& out = net.output_queue;
  if (!out.waiting.load(std::memory_order_acquire)) return 0;
  Qdisc* head = nullptr;
  {
    const std::lock_guard guard(out.lock);
    head = std::exchange(out.head, nullptr);
    out.tail = &out.head;
    out.waiting.store(false, std::memory_order_relaxed);
  }
  if (head == nullptr) return 0;
  net.this_cpu().counters.softirq_net_tx.add();
  const RcuReader reader;
  std::size_t ran = 0;
  while (head != nullptr) {
    Qdisc* q = std::exchange(head, head->next_sched);
    const std::shared_ptr<Qdisc> keep = std::move(q->sched_ref);
    q->scheduled.store(false, std::memory_order_release);
    const auto before = q->stats.requeues.get();
    const auto waiting = q->qlen();
    qdisc_run(net, *q);
    // A device that is still busy is no progress: poll() must not count it as work done.
    if (q->qlen() != waiting || q->stats.requeues.get() == before) ++ran;
  }
  return ran;
}

void netif_tx_wake_queue(Net& net, TxQueue& txq) {
  if (txq.stopped.exchange(false, std::memory_order_acq_rel)) netif_schedule(net, *txq.qdisc);
}

}  // namespace txp
