// SPDX-License-Identifier: Apache-2.0
// Tunnels over UDP: VXLAN, GENEVE. Kernel twins: net/ipv4/udp_tunnel_core.c, include/net/udp.h.
#pragma once

#include <cstdint>

#include "base/result.h"
#include "ip/ip_tunnel.h"

namespace txp {

class Trace;

// udp_flow_src_port(): by the flow's hash, between `min` and `max`; the namespace's range of
// ephemeral ports when that is none. The kernel's hash is drawn, so a trace hears that it is open.
std::uint16_t udp_flow_src_port(Net& net, Skb& skb, std::uint16_t min, std::uint16_t max);

// udp_tunnel_dst_lookup(): the route of the outer packet of `dev`; fills in fl4.saddr. Errors:
// ENETUNREACH, ELOOP (by the tunnel itself) and kUnknown.
SockResult<Rtable> udp_tunnel_dst_lookup(Net& net, const NetDevice& dev, Flow4& fl4, Trace* trace);

// udp_tunnel_xmit_skb(): the outer UDP header, then iptunnel_xmit(). Ports are the flow's.
void udp_tunnel_xmit_skb(Net& net, NetDevice& dev, unsigned queue, SkbPtr skb, const Rtable& rt,
                         const Flow4& fl4, OuterIp outer, bool csum);

}  // namespace txp
