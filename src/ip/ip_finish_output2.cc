// SPDX-License-Identifier: Apache-2.0
// ip_finish_output2: counts what goes out and finds the next hop's neighbour.
//
// Kernel twin: net/ipv4/ip_output.c, ip_finish_output2(); include/net/route.h, ip_neigh_for_gw().
// Differs: a route by an IPv6 gateway (RFC 5549) is unknown. Drops: NEIGH_CREATEFAIL, NOMEM.
#include "dev/netdevice.h"
#include "ip/ip.h"
#include "neigh/neighbour.h"
#include "net.h"
#include "observe/trace.h"
#include "wire/ethernet.h"
#include "wire/ipv4.h"

namespace txp {
namespace {
constexpr std::size_t kLinkHeadroom = 16;  // LL_RESERVED_SPACE() of Ethernet
constexpr std::size_t kVlanHeadroom = 32;  // and of a tag
}  // namespace

TxResult ip_finish_output2(Net& net, SkbPtr skb) {
  enter(net, Stage::ip_finish_output2, *skb);
  const Rtable& rt = skb->rt;
  if (rt.type == RouteType::multicast) {
    snmp(net, Snmp::IpExtOutMcastPkts);
    snmp(net, Snmp::IpExtOutMcastOctets, skb->len);
  } else if (rt.type == RouteType::broadcast) {
    snmp(net, Snmp::IpExtOutBcastPkts);
    snmp(net, Snmp::IpExtOutBcastOctets, skb->len);
  }
  snmp(net, Snmp::IpOutTransmits);
  snmp(net, Snmp::IpExtOutOctets, skb->len);
  if (!skb_cow_head(net, skb, rt.dev->link().info ? kVlanHeadroom : kLinkHeadroom)) {
    drop(net, Stage::ip_finish_output2, std::move(skb), DropReason::NOMEM);
    return TxResult::error(ENOMEM);
  }
  if (rt.gateway_is_v6)
    return unknown(net, Stage::ip_finish_output2, std::move(skb), "route",
                   "an IPv4 route by an IPv6 gateway on dev " + rt.dev->name());
  NetDevice& dev = *rt.dev;
  const Ip4 next_hop = rt.gateway.is_zero() ? Ipv4View(skb->network()).daddr() : rt.gateway;
  if (skb->trace != nullptr) skb->trace->out(Stage::ip_finish_output2, "nexthop", next_hop.str());
  Neighbour* neigh = net.neigh->lookup(dev, next_hop);
  if (neigh == nullptr) neigh = net.neigh->create(dev, next_hop, skb->trace);
  if (neigh == nullptr) {
    drop(net, Stage::ip_finish_output2, std::move(skb), DropReason::NEIGH_CREATEFAIL);
    return TxResult::error(ENOBUFS);
  }
  if (skb->dst_pending_confirm) neigh_confirm(net, *neigh);  // sock_confirm_neigh()
  return neigh_output(net, std::move(skb), *neigh);
}

}  // namespace txp
