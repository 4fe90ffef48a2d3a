// SPDX-License-Identifier: Apache-2.0
// The NET_TX softirq. Kernel twin: net/core/dev.c.
#pragma once

#include "dev/netdevice.h"
#include "net.h"
#include "sched/qdisc.h"

namespace txp {

// __netif_schedule(): the discipline runs in the next net_tx_action() of this thread.
void netif_schedule(Net& net, Qdisc& q);
// Runs what was scheduled; answers how many disciplines ran.
std::size_t net_tx_action(Net& net);
// A driver has room again (netif_tx_wake_queue()).
void netif_tx_wake_queue(Net& net, TxQueue& txq);

// The softirqs that a send has raised, at its end. Inside an RcuReader.
inline void after_send(Net& net, const Cpu& cpu) {
  if (net.output_queue.waiting.load(std::memory_order_acquire)) [[unlikely]]
    net_tx_action(net);
  if (!cpu.backlog.empty()) [[unlikely]]
    run_backlog(net);
}

// sched/: __qdisc_run(), sch_direct_xmit(), dev_requeue_skb().
void qdisc_run(Net& net, Qdisc& q);
void dev_requeue_skb(Net& net, SkbPtr chain, Qdisc& q, TxQueue& txq);  // q.lock held
bool sch_direct_xmit(Net& net, SkbPtr skb, Qdisc& q, NetDevice& dev, TxQueue& txq, bool validate);

}  // namespace txp
