// SPDX-License-Identifier: Apache-2.0
// The transmit timeout. Kernel twin: net/sched/sch_generic.c (dev_watchdog(), netif_tx_timeout).
//
// Differs: the kernel's runs every watchdog_timeo on every device whose driver can reset it; this
// one only while a queue is stopped with packets waiting, and what it does is to wake the queue.
#include "dev/netdevice.h"
#include "net.h"
#include "softirq/net_tx_action.h"

namespace txp {

namespace {

void dev_watchdog(Net& net, Timer& timer) {
  TxQueue& txq = *static_cast<TxQueue*>(timer.arg);
  txq.watchdog_armed.store(false, std::memory_order_relaxed);
  if (!txq.xoff()) return;
  if (txq.tx_packets() == txq.watchdog_seen) {
    txq.trans_timeout.fetch_add(1, std::memory_order_relaxed);
    netdev_tx_reset_queue(net, txq);
    txq.stopped.store(false, std::memory_order_release);
    netif_schedule(net, *txq.qdisc);
  }
  // Should the driver stop it again, the next packet that comes back sets the timer again.
  netdev_watchdog_up(net, txq);
}

}  // namespace

void netdev_watchdog_up(Net& net, TxQueue& txq) {
  if (txq.watchdog_armed.exchange(true, std::memory_order_relaxed)) return;
  txq.watchdog_seen = txq.tx_packets();
  txq.watchdog.function = dev_watchdog;
  txq.watchdog.arg = &txq;
  net.timers.mod(txq.watchdog, net.clock.now() + kWatchdogTimeo);
}

}  // namespace txp
