// SPDX-License-Identifier: Apache-2.0
// Sends packets that a discipline gave out, without its lock held; puts back what the device
// refuses, in order, for net_tx_action().
// Kernel twin: net/sched/sch_generic.c (sch_direct_xmit(), dev_requeue_skb()).
//
// Drops: what comes back to a discipline that was deactivated meanwhile (QUEUE_PURGE).
#include <utility>

#include "dev/netdevice.h"
#include "net.h"
#include "softirq/net_tx_action.h"

namespace txp {

void dev_requeue_skb(Net& net, SkbPtr chain, Qdisc& q, TxQueue& txq) {
  if (q.deactivated) {
    drop_chain(net, Stage::sch_direct_xmit, std::move(chain), DropReason::QUEUE_PURGE);
    return;
  }
  while (chain) {
    SkbPtr rest(std::exchange(chain->next, nullptr));
    q.stats.requeues.add();
    q.add(*chain);
    q.gso_skb.push_back(std::move(chain));
    chain = std::move(rest);
  }
  if (txq.xoff()) netdev_watchdog_up(net, txq);
  netif_schedule(net, q);
}

// q.lock held on entry and on return; not meanwhile, but for a driver that is done before others
// would have waited for it. False: the device refused, stop for now.
bool sch_direct_xmit(Net& net, SkbPtr skb, Qdisc& q, NetDevice& dev, TxQueue& txq, bool validate) {
  const bool let_go = !dev.features.sync || dev.taps.get() != nullptr;
  if (let_go) q.lock.unlock();
  for (const Skb* s = skb.get(); s != nullptr; s = s->next) enter(net, Stage::sch_direct_xmit, *s);
  if (validate) skb = validate_xmit_skb_list(net, std::move(skb), dev);
  if (!skb) {
    if (let_go) q.lock.lock();
    return true;
  }
  NetdevTx result = NetdevTx::busy;
  {
    const HardTxLock lock(net.this_cpu(), dev, txq);
    if (!txq.xoff()) skb = dev_hard_start_xmit(net, std::move(skb), dev, txq, result);
  }
  if (let_go) q.lock.lock();
  if (!skb) return true;
  dev_requeue_skb(net, std::move(skb), q, txq);
  return false;
}

}  // namespace txp
