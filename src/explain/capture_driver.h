// SPDX-License-Identifier: Apache-2.0
// The driver behind every device of an explained Net: it sends nothing. The frames are in the
// datagram's trace, where ndo_start_xmit() puts them. It offers no offload, so that they come
// segmented and with their checksums done by the stages that do that.
#pragma once

#include <utility>

#include "dev/netdevice.h"
#include "drivers/driver.h"
#include "net.h"

namespace txp {

class CaptureDriver : public Driver {
 public:
  NetdevTx ndo_start_xmit(Net& net, NetDevice& dev, unsigned, SkbPtr& skb, bool) override {
    if ((dev.flags() & kIffLoopback) != 0) enter(net, Stage::loopback_xmit, *skb);
    consume(std::move(skb));
    return NetdevTx::ok;
  }
};

}  // namespace txp
