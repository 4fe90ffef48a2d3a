// SPDX-License-Identifier: Apache-2.0
#include "drivers/null.h"

#include "dev/link.h"
#include "drivers/loopback.h"
#include "drivers/stacked.h"
#include "net.h"

namespace txp {
namespace {

class NullDriver final : public Driver {
 public:
  DriverFeatures features() const override { return {.lltx = true, .sync = true}; }
  NetdevTx ndo_start_xmit(Net&, NetDevice&, unsigned, SkbPtr& skb, bool) override {
    consume(std::move(skb));
    return NetdevTx::ok;
  }
};

}  // namespace

std::unique_ptr<Driver> make_null() { return std::make_unique<NullDriver>(); }

std::unique_ptr<Driver> make_default_driver(const Link& link) {
  if ((link.flags & kIffLoopback) != 0) return make_loopback();
  return is_stacked(link) ? make_stacked(link) : make_null();
}

}  // namespace txp
