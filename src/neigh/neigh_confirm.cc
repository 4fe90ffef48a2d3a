// SPDX-License-Identifier: Apache-2.0
// MSG_CONFIRM: what a program knows of its peer keeps the neighbour from being asked again.
//
// Kernel twin: include/net/neighbour.h, neigh_confirm(); net/ipv4/route.c, ipv4_confirm_neigh().
// Differs: nothing. Drops: none.
#include "neigh/neighbour.h"
#include "net.h"

namespace txp {

void neigh_confirm(Net& net, Neighbour& neigh) {
  NeighTable& tbl = *neigh.tbl;
  if (tbl.owner == NeighOwner::kernel) {
    if (tbl.confirm_kernel) tbl.confirm_kernel(neigh.dev->ifindex, neigh.primary_key);
    if (tbl.confirm_kernel6) tbl.confirm_kernel6(neigh.dev->ifindex, neigh.primary_key6);
    return;
  }
  const std::lock_guard guard(neigh.lock);
  neigh.confirmed = net.clock.now();
}

void dst_confirm_neigh(Net& net, const Rtable& rt, Ip4 daddr) {
  const Ip4 next_hop = rt.gateway.is_zero() ? daddr : rt.gateway;
  if (Neighbour* neigh = net.neigh->lookup(*rt.dev, next_hop); neigh != nullptr)
    neigh_confirm(net, *neigh);
}

void ip6_confirm_neigh(Net& net, const NetDevice& dev, const Ip6& next_hop) {
  if (Neighbour* neigh = net.neigh6->lookup(dev, next_hop); neigh != nullptr)
    neigh_confirm(net, *neigh);
}

}  // namespace txp
