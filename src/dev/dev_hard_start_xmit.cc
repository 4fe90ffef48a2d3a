// SPDX-License-Identifier: Apache-2.0
// Hands a chain of packets to the device, one by one: taps, then the driver.
// Kernel twin: net/core/dev.c (dev_hard_start_xmit(), xmit_one()).
//
// Drops: nothing; what the device refuses goes back to the caller.
#include <utility>

#include "dev/netdevice.h"
#include "net.h"

namespace txp {

HardTxLock::HardTxLock(Net& net, const NetDevice& dev, TxQueue& txq)
    : txq_(dev.features.lltx ? nullptr : &txq) {
  if (txq_ == nullptr) return;
  txq_->xmit_lock.lock();
  txq_->xmit_lock_owner.store(&net.this_cpu(), std::memory_order_relaxed);
}

HardTxLock::~HardTxLock() {
  if (txq_ == nullptr) return;
  txq_->xmit_lock_owner.store(nullptr, std::memory_order_relaxed);
  txq_->xmit_lock.unlock();
}

SkbPtr dev_hard_start_xmit(Net& net, SkbPtr chain, NetDevice& dev, TxQueue& txq, NetdevTx& result) {
  result = NetdevTx::ok;
  SkbPtr skb = std::move(chain);
  while (skb) {
    SkbPtr rest(std::exchange(skb->next, nullptr));
    enter(net, Stage::dev_hard_start_xmit, *skb);
    if (dev.taps.get() != nullptr) [[unlikely]]
      dev_queue_xmit_nit(net, *skb, dev);
    result = ndo_start_xmit(net, skb, dev, txq, rest != nullptr);
    if (result != NetdevTx::ok) {
      skb->next = rest.release();
      return skb;
    }
    skb = std::move(rest);
    if (skb && txq.stopped.load(std::memory_order_acquire)) {
      result = NetdevTx::busy;
      return skb;
    }
  }
  return nullptr;
}

}  // namespace txp
