// SPDX-License-Identifier: Apache-2.0
// neigh_output: with a connected neighbour the ready hardware header is copied before the packet;
// otherwise the slow way.
//
// Kernel twin: include/net/neighbour.h, neigh_output(), neigh_hh_output(); net/core/neighbour.c,
// neigh_direct_output(); net/ethernet/eth.c, eth_header().
// Differs: the header is made of the neighbour's one atomic address word, so it needs no seqlock;
// it is ready from the first packet on (the kernel's first packet fills its cache by the slow way).
// Drops: NEIGH_HH_FILLFAIL when there is no headroom, which ip_finish_output2() rules out.
#include "base/byteorder.h"
#include "drivers/vlan_tag.h"
#include "neigh/neigh_impl.h"
#include "observe/trace.h"
#include "wire/ethernet.h"

namespace txp {

bool dev_hard_header(Skb& skb, const NetDevice& dev, std::uint16_t proto, const MacAddr& dest) {
  if (!dev_has_header(dev)) {
    skb.set_mac_header();
    return true;
  }
  if (skb.headroom() < kEthHlen) return false;
  const VlanInfo* vlan = dev.link().as<VlanInfo>();
  if (vlan != nullptr && !vlan->reorder_hdr) [[unlikely]] {  // vlan_dev_hard_header()
    if (skb.headroom() < kEthHlen + kVlanHlen) return false;
    std::uint8_t* tag = skb.push(kVlanHlen);
    store_be16(tag, vlan_dev_tci(*vlan, skb.priority));
    store_be16(tag + 2, proto);
    proto = vlan->proto;
    skb.protocol = proto;
  }
  EthernetHeader{dest, dev.link().address, proto}.emit(skb.push(kEthHlen));
  skb.set_mac_header();
  return true;
}

TxResult neigh_output(Net& net, SkbPtr skb, Neighbour& neigh) {
  enter(net, Stage::neigh_output, *skb);
  if (telling(skb->trace) != nullptr) skb->trace->by(Stage::neigh_output, neigh.spec());
  if (!nud_connected(neigh.nud_state.load(std::memory_order_relaxed)))
    return neigh_resolve_output(net, std::move(skb), neigh);
  if (!dev_hard_header(*skb, *neigh.dev, skb->protocol, neigh.mac())) {
    drop(net, Stage::neigh_output, std::move(skb), DropReason::NEIGH_HH_FILLFAIL);
    return TxResult::drop();
  }
  return dev_queue_xmit(net, std::move(skb));
}

}  // namespace txp
