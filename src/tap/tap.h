// SPDX-License-Identifier: Apache-2.0
// A packet tap: sees a copy of what a device transmits or receives, as an AF_PACKET socket does.
#pragma once

#include <cstdint>
#include <span>

#include "base/clock.h"
#include "skb/skb.h"

namespace txp {

struct NetDevice;

class Tap {
 public:
  virtual ~Tap() = default;
  // A whole frame before the driver's offloads are done (as dev_queue_xmit_nit() shows it):
  // `skb` stays the path's. Called by any sending thread; must be thread-safe and must not send.
  virtual void packet(const Net& net, const NetDevice& dev, const Skb& skb, bool outgoing) = 0;
};

}  // namespace txp
