// SPDX-License-Identifier: Apache-2.0
// The driver behind every device of an explained Net: it keeps the frame in the datagram's trace
// and sends nothing. It offers no offload, so frames come segmented and with their checksums done.
#pragma once

#include <vector>

#include "dev/netdevice.h"
#include "drivers/driver.h"
#include "observe/counters.h"
#include "observe/trace.h"

namespace txp {

class CaptureDriver : public Driver {
 public:
  NetdevTx ndo_start_xmit(Net& net, NetDevice& dev, unsigned, SkbPtr& skb, bool) override {
    if ((dev.flags() & kIffLoopback) != 0) enter(net, Stage::loopback_xmit, *skb);
    if (skb->trace != nullptr) {
      const auto bytes = std::as_const(*skb).bytes();
      skb->trace->frame(dev.link(), {bytes.begin(), bytes.end()});
    }
    consume(std::move(skb));
    return NetdevTx::ok;
  }
};

}  // namespace txp
