// SPDX-License-Identifier: Apache-2.0
// Hands a chain of packets to the device, one by one: taps, then the driver.
// Kernel twin: net/core/dev.c (dev_hard_start_xmit(), xmit_one()).
//
// Drops: nothing; what the device refuses goes back to the caller.
#include <utility>

#include "dev/netdevice.h"
#include "net.h"

namespace txp {

namespace {

NetdevTx xmit_one(Net& net, SkbPtr& skb, NetDevice& dev, TxQueue& txq, bool more) {
  enter(net, Stage::dev_hard_start_xmit, *skb);
  if (dev.taps.get() != nullptr) [[unlikely]]
    dev_queue_xmit_nit(net, *skb, dev);
  return ndo_start_xmit(net, skb, dev, txq, more);
}

}  // namespace

SkbPtr dev_hard_start_xmit(Net& net, SkbPtr chain, NetDevice& dev, TxQueue& txq, NetdevTx& result) {
  result = NetdevTx::ok;
  while (chain) {
    Skb* const next = std::exchange(chain->next, nullptr);
    result = xmit_one(net, chain, dev, txq, next != nullptr);
    if (result != NetdevTx::ok) [[unlikely]] {
      chain->next = next;
      return chain;
    }
    chain.reset(next);
    if (chain && txq.xoff()) {
      result = NetdevTx::busy;
      return chain;
    }
  }
  return nullptr;
}

}  // namespace txp
