// SPDX-License-Identifier: Apache-2.0
// A VLAN: its tag goes beside the frame, which leaves by the device that it stands on; that one, or
// validate_xmit_skb() for it, puts the tag inside.
//
// Kernel twin: net/8021q/vlan_dev.c, vlan_dev_hard_start_xmit(). With reorder_hdr off
// vlan_dev_hard_header() writes the tag (dev_hard_header()), and here it only counts.
// Differs: the kernel keeps such a tag inside only where the lower device cannot insert it, which
// shows in that device's byte count alone; here it stays inside. What the lower device answers is
// the sender's answer, as in the kernel.
// Drops: DEV_READY when the lower device is gone.
#include "base/byteorder.h"
#include "dev/netdevice.h"
#include "drivers/stacked.h"
#include "drivers/vlan_tag.h"
#include "net.h"
#include "wire/ethernet.h"

namespace txp {
namespace {

class VlanDriver final : public Driver {
 public:
  DriverFeatures features() const override { return kOneBelow; }

  NetdevTx ndo_start_xmit(Net& net, NetDevice& dev, unsigned queue, SkbPtr& skb, bool) override {
    const Link& link = dev.link();
    const VlanInfo& vlan = *link.as<VlanInfo>();
    NetDevice* lower = net.dev->by_index(link.peer_ifindex);
    if (lower == nullptr) {
      drop_taken(net, dev, std::move(skb), DropReason::DEV_READY);
      return NetdevTx::ok;
    }
    const bool inside = skb->headlen() >= kEthHlen && load_be16(skb->data + kEthMacs) == vlan.proto;
    if (vlan.reorder_hdr || !inside) {
      skb->vlan_proto = vlan.proto;
      skb->vlan_tci = vlan_dev_tci(vlan, skb->priority);
    }
    xmit_counted_below(net, dev, queue, std::move(skb), *lower);
    return NetdevTx::ok;
  }
};

}  // namespace

std::unique_ptr<Driver> make_vlan_dev() { return std::make_unique<VlanDriver>(); }

}  // namespace txp
