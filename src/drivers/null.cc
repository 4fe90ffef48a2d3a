// SPDX-License-Identifier: Apache-2.0
#include "drivers/null.h"

#include "dev/link.h"
#include "drivers/loopback.h"
#include "observe/counters.h"

namespace txp {
namespace {

class NullDriver final : public Driver {
 public:
  NetdevTx ndo_start_xmit(Net&, NetDevice&, unsigned, SkbPtr& skb, bool) override {
    consume(std::move(skb));
    return NetdevTx::ok;
  }
};

}  // namespace

std::unique_ptr<Driver> make_null() { return std::make_unique<NullDriver>(); }

std::unique_ptr<Driver> make_default_driver(const Link& link) {
  return (link.flags & kIffLoopback) != 0 ? make_loopback() : make_null();
}

}  // namespace txp
