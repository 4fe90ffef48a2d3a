// SPDX-License-Identifier: Apache-2.0
// Shows a packet that is about to leave to every packet tap of its device.
// Kernel twin: net/core/dev.c (dev_queue_xmit_nit()).
//
// Differs: a tap looks at the packet itself, there is no clone for it. As in the kernel, a packet
// that the device refuses is shown again when it comes again.
// Drops: nothing.
#include "dev/netdevice.h"
#include "net.h"

namespace txp {

void dev_queue_xmit_nit(Net& net, const Skb& skb, NetDevice& dev) {
  const std::vector<Tap*>* taps = dev.taps.get();
  if (taps == nullptr) return;
  enter(net, Stage::dev_queue_xmit_nit, skb);
  if (skb.vlan_proto == 0) [[likely]] {
    for (Tap* tap : *taps) tap->packet(net, dev, skb, true);
    return;
  }
  // AF_PACKET tells of a tag beside the packet (tp_vlan_tci), and those who read put it inside.
  SkbPtr tagged = skb_copy(net, skb, kVlanHlen);
  if (!tagged) return;
  tagged->trace = nullptr;
  if (vlan_push_inside(net, tagged))
    for (Tap* tap : *taps) tap->packet(net, dev, *tagged, true);
  free_skb(std::move(tagged));
}

}  // namespace txp
