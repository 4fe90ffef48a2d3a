// SPDX-License-Identifier: Apache-2.0
// What all tunnels over IPv4 share. Kernel twins: include/net/ip_tunnels.h,
// net/ipv4/ip_tunnel_core.c.
#pragma once

#include <cstdint>

#include "skb/skb.h"

namespace txp {

struct NetDevice;

// Of the packet that a tunnel is to carry, whose IP header is at skb.network(): its own field, or 0
// when it is no IP packet.
std::uint8_t ip_tunnel_get_dsfield(const Skb& skb);
std::uint8_t ip_tunnel_get_ttl(const Skb& skb);
// INET_ECN_encapsulate(): `tos` with the inner packet's ECN field, congestion made ECT(0).
std::uint8_t ip_tunnel_ecn_encap(std::uint8_t tos, const Skb& skb);

// skb_tunnel_check_pmtu(): what the inner packet's route learns when, with `headroom` bytes more,
// it does not fit `outer`.
enum class TunnelPmtu : std::uint8_t {
  goes_on,    // whatever its length: the outer packet may be fragmented
  answered,   // the kernel sends the bridge an ICMP error instead; the engine does not
  not_known,  // an IPv6 route would learn it, which the engine does not do
};
TunnelPmtu skb_tunnel_check_pmtu(Net& net, const Skb& skb, const Rtable& outer,
                                 std::uint32_t headroom, bool bridge_port);

// iptunnel_handle_offloads(): remembers where the inner packet begins.
void iptunnel_handle_offloads(Skb& skb);

struct OuterIp {
  std::uint8_t proto = 0;
  std::uint8_t tos = 0;
  std::uint8_t ttl = 0;
  bool df = false;
};
// iptunnel_xmit(): puts the outer IP header before a taken packet, which has walked begin_layer(),
// sends it by `rt`, the route of `fl4`, and counts for `dev`. What the outer packet's send answers,
// nobody hears.
void iptunnel_xmit(Net& net, NetDevice& dev, unsigned queue, SkbPtr skb, const Rtable& rt,
                   const Flow4& fl4, const OuterIp& outer);

// A tunnel could not send a taken packet: counts tx_errors and ends it (NOT_SPECIFIED).
void tunnel_tx_error(Net& net, NetDevice& dev, unsigned queue, SkbPtr skb);

}  // namespace txp
