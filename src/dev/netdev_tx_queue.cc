// SPDX-License-Identifier: Apache-2.0
// Byte queue limits on a transmit queue. Kernel twin: include/linux/netdevice.h
// (netdev_tx_sent_queue(), netdev_tx_completed_queue(), netdev_tx_reset_queue()).
#include "dev/netdevice.h"
#include "net.h"
#include "softirq/net_tx_action.h"

namespace txp {

void netdev_tx_sent_queue(TxQueue& txq, std::uint32_t bytes) {
  txq.dql.queued(bytes);
  if (txq.dql.avail() >= 0) return;
  txq.stack_xoff.store(true, std::memory_order_seq_cst);
  // A completion on another thread may have made room before it could see the flag.
  if (txq.dql.avail() >= 0) txq.stack_xoff.store(false, std::memory_order_release);
}

void netdev_tx_completed_queue(Net& net, TxQueue& txq, std::uint32_t bytes) {
  if (bytes == 0) return;
  txq.dql.completed(bytes, net.clock.now());
  std::atomic_thread_fence(std::memory_order_seq_cst);
  if (txq.dql.avail() < 0) return;
  if (txq.stack_xoff.exchange(false, std::memory_order_acq_rel)) netif_schedule(net, *txq.qdisc);
}

void netdev_tx_reset_queue(Net& net, TxQueue& txq) {
  txq.stack_xoff.store(false, std::memory_order_relaxed);
  txq.dql.reset(net.clock.now());
}

}  // namespace txp
