// SPDX-License-Identifier: Apache-2.0
// The outer UDP header of a tunnel: source port, route, checksum.
//
// Kernel twin: net/ipv4/udp_tunnel_core.c (udp_tunnel_dst_lookup(), udp_tunnel_xmit_skb());
// include/net/udp.h (udp_flow_src_port()); net/ipv4/udp.c (udp_set_csum()).
// Differs: no cache of routes, which nothing but time would show. Drops: none of its own.
#include "udp/udp_tunnel.h"

#include "base/checksum.h"
#include "dev/netdevice.h"
#include "dev/skb_hash.h"
#include "net.h"
#include "observe/trace.h"
#include "route/ip_route.h"
#include "wire/ipv4.h"
#include "wire/udp.h"

namespace txp {
namespace {

// udp_set_csum().
std::uint16_t outer_check(Skb& skb, const Flow4& fl4) {
  const auto sum = [&](Csum start) {
    return csum_fold(
        csum_tcpudp_nofold(fl4.saddr.host, fl4.daddr.host, skb.len, kIpProtoUdp, start));
  };
  if (skb.ip_summed == IpSummed::partial) {
    const std::uint16_t check = sum(lco_csum(skb));
    return check == 0 ? kCsumMangled0 : check;
  }
  skb.ip_summed = IpSummed::partial;
  skb.csum_start = skb.transport_header;
  skb.csum_offset = kUdpCheckOffset;
  return static_cast<std::uint16_t>(~sum(0));
}

}  // namespace

std::uint16_t udp_flow_src_port(Net& net, Skb& skb, std::uint16_t min, std::uint16_t max) {
  std::uint32_t low = min;
  std::uint32_t high = max;
  if (low >= high) {
    low = net.sysctl().ip_local_port_range[0];
    high = net.sysctl().ip_local_port_range[1];
  }
  std::uint32_t hash = skb_get_hash(skb);
  hash ^= hash << 16;
  if (Trace* trace = telling(skb.trace); trace != nullptr && high - low > 1)
    trace->masked("outer.udp.sport");
  return static_cast<std::uint16_t>(((std::uint64_t{hash} * (high - low)) >> 32) + low);
}

SockResult<Rtable> udp_tunnel_dst_lookup(Net& net, const NetDevice& dev, Flow4& fl4, Trace* trace) {
  fl4.proto = kIpProtoUdp;
  SockResult<Rtable> rt = ip_route_output_flow(net, fl4, trace);
  if (!rt) return rt.error().is_unknown() ? rt : err(ENETUNREACH);
  if (rt->dev == &dev) return err(ELOOP);
  return rt;
}

void udp_tunnel_xmit_skb(Net& net, NetDevice& dev, unsigned queue, SkbPtr skb, const Rtable& rt,
                         const Flow4& fl4, OuterIp outer, bool csum) {
  skb->push(kUdpHlen);
  skb->set_transport_header();
  UdpHeader h;
  h.source = fl4.sport;
  h.dest = fl4.dport;
  h.len = static_cast<std::uint16_t>(skb->len);
  h.emit(skb->transport());
  if (csum) h.check = outer_check(*skb, fl4);
  h.emit(skb->transport());
  outer.proto = kIpProtoUdp;
  Rtable out = rt;
  if (out.is_multicast) out.is_local = false;  // setup_udp_tunnel_sock(): MC_LOOP is off
  iptunnel_xmit(net, dev, queue, std::move(skb), out, fl4, outer);
}

}  // namespace txp
