// SPDX-License-Identifier: Apache-2.0
// What all tunnels over IPv4 share. Kernel twins: include/net/ip_tunnels.h,
// net/ipv4/ip_tunnel_core.c.
#pragma once

#include <cstdint>

#include "dev/link_info.h"
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

// The inner packet's route learns that `mtu` bytes fit (skb_dst_update_pmtu_no_confirm()).
void tunnel_update_pmtu(Net& net, const Skb& skb, std::uint32_t mtu);

// What no tunnel here does with a packet, in words; null: nothing of the kind. Completes, as
// hw_enc_features has it, the checksum of a packet that is a tunnel's already.
const char* tunnel_not_done(Skb& skb);
// Whether the outer packet has DF.
bool tunnel_takes_df(const Skb& skb, TunnelDf df);

// iptunnel_handle_offloads(): remembers where the inner packet begins.
void iptunnel_handle_offloads(Skb& skb);
// lco_csum(): what the packet from its transport header on sums to once the inner checksum, which
// somebody below completes, is in its place.
std::uint32_t lco_csum(const Skb& skb);

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

inline constexpr std::size_t kTunnelReserved = 32;  // LL_RESERVED_SPACE() and a tag

// Why a tunnel loses a packet, for a trace.
void tunnel_told(const Skb& skb, const NetDevice& dev, const char* why);
// A tunnel could not send a taken packet: counts tx_errors and ends it (NOT_SPECIFIED).
void tunnel_tx_error(Net& net, NetDevice& dev, unsigned queue, SkbPtr skb);

}  // namespace txp
