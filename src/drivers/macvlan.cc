// SPDX-License-Identifier: Apache-2.0
// Sends through the device that it stands on (Link::peer_ifindex).
//
// Kernel twin: drivers/net/macvlan.c, macvlan_start_xmit(), macvlan_queue_xmit().
// Differs: in bridge mode a frame for a macvlan of this namespace on the same device, which the
// kernel delivers there, is unknown, and broadcasts are not copied to them; macvlans of other
// namespaces are not seen, so a frame for one of them is taken to leave.
// Drops: DEV_READY when the lower device is gone; TXPATH_UNKNOWN.
#include "drivers/stacked.h"

#include <linux/if_link.h>

#include "dev/netdevice.h"
#include "net.h"
#include "wire/ethernet.h"

namespace txp {
namespace {

class MacvlanDriver final : public Driver {
 public:
  DriverFeatures features() const override { return kOneBelow; }

  NetdevTx ndo_start_xmit(Net& net, NetDevice& dev, unsigned queue, SkbPtr& skb, bool) override {
    const Link& link = dev.link();
    NetDevice* lower = net.dev->by_index(link.peer_ifindex);
    if (lower == nullptr) {
      drop_taken(net, dev, std::move(skb), DropReason::DEV_READY);
      return NetdevTx::ok;
    }
    if (link.macvlan_mode == MACVLAN_MODE_BRIDGE) {
      if (const NetDevice* port = hash_lookup(net, dev, *skb); port != nullptr) {
        unknown_taken(net, std::move(skb),
                      "macvlan " + port->name() + ": the frame is for it and stays in this host");
        return NetdevTx::ok;
      }
    }
    xmit_counted_below(net, dev, queue, std::move(skb), *lower);
    return NetdevTx::ok;
  }

 private:
  // macvlan_hash_lookup(): the other macvlan of bridge mode on the same device that the frame is
  // for, or null.
  static const NetDevice* hash_lookup(Net& net, const NetDevice& dev, const Skb& skb) {
    const auto eth = EthernetHeader::parse(skb.bytes());
    if (!eth || (eth->dest.bytes[0] & 1) != 0) return nullptr;
    for (const NetDevice* other : net.dev->all()) {
      const Link& link = other->link();
      if (other != &dev && link.kind == "macvlan" && link.peer_ifindex == dev.link().peer_ifindex &&
          link.macvlan_mode == MACVLAN_MODE_BRIDGE && link.address == eth->dest)
        return other;
    }
    return nullptr;
  }
};

}  // namespace

std::unique_ptr<Driver> make_macvlan() { return std::make_unique<MacvlanDriver>(); }

}  // namespace txp
