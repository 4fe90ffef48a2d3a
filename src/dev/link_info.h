// SPDX-License-Identifier: Apache-2.0
// What makes a device of one kind differ from another (IFLA_INFO_DATA, IFLA_INFO_SLAVE_DATA), as
// plain values by the kernel's names.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string>
#include <utility>
#include <variant>
#include <vector>

#include "wire/ip4.h"

namespace txp {

inline constexpr std::uint16_t kEthP8021q = 0x8100;
inline constexpr std::uint16_t kEthP8021ad = 0x88a8;
inline constexpr std::size_t kVlanHlen = 4;

// `ip link ... type vlan`.
struct VlanInfo {
  std::uint16_t proto = kEthP8021q;
  std::uint16_t id = 0;
  bool reorder_hdr = true;  // VLAN_FLAG_REORDER_HDR
  // skb->priority to the tag's 802.1p priority (0..7); others are 0.
  std::vector<std::pair<std::uint32_t, std::uint32_t>> egress_qos;
};

// BRIDGE_VLAN_INFO_*: one VLAN of a bridge or of its port.
struct BridgeVlan {
  std::uint16_t vid = 0;
  bool pvid = false;
  bool untagged = false;
};

// `ip link ... type bridge`.
struct BridgeInfo {
  bool vlan_filtering = false;
  std::uint16_t vlan_protocol = kEthP8021q;
  bool mcast_snooping = true;
  bool querier = false;  // its own, or another one was heard: multicast goes by its groups
};

// What a bridge keeps of a port (struct net_bridge_port). `bridge link`.
struct BridgePort {
  std::uint8_t state = 0;  // BR_STATE_*; 3: forwarding
  bool hairpin = false;
  bool flood = true;
  bool mcast_flood = true;
  bool bcast_flood = true;
  bool isolated = false;
  bool proxy_arp = false;
  bool vlan_tunnel = false;
  bool mcast_to_unicast = false;
  int backup_port = 0;  // ifindex; 0: none
  friend bool operator==(const BridgePort&, const BridgePort&) = default;
};
inline constexpr std::uint8_t kBrStateForwarding = 3;

// DF of a tunnel's outer header (VXLAN_DF_*, GENEVE_DF_*).
enum class TunnelDf : std::uint8_t { unset, set, inherit };

// `ip link ... type vxlan`. A ttl of 0 is the route's, a tos of 1 the inner packet's.
struct VxlanInfo {
  std::uint32_t id = 0;
  Ip4 group;  // or remote; zero: none
  Ip4 local;
  bool ipv6 = false;  // over IPv6
  int link = 0;       // ifindex that the outer packet leaves by; 0: any
  std::uint16_t port = 8472;
  std::uint16_t port_min = 0;  // not below port_max: the namespace's range of ephemeral ports
  std::uint16_t port_max = 0;
  std::uint8_t ttl = 0;
  bool ttl_inherit = false;
  std::uint8_t tos = 0;
  TunnelDf df = TunnelDf::unset;
  bool udp_csum = true;
  bool collect_metadata = false;
  bool gbp = false;
  bool localbypass = true;
  bool learning = true;
  // What the engine does not do, in ip's word ("proxy", "rsc", "gpe", "vnifilter"); "": nothing.
  std::string unknown;
};

// `ip link ... type geneve`. ttl and tos as VXLAN's.
struct GeneveInfo {
  std::uint32_t id = 0;
  Ip4 remote;
  bool ipv6 = false;  // over IPv6
  std::uint16_t port = 6081;
  std::uint16_t port_min = 1;
  std::uint16_t port_max = 65535;
  std::uint8_t ttl = 0;
  bool ttl_inherit = false;
  std::uint8_t tos = 0;
  TunnelDf df = TunnelDf::unset;
  bool udp_csum = true;
  bool collect_metadata = false;
  bool inner_proto_inherit = false;
};

// `ip link ... type ipip|gre|gretap` (struct ip_tunnel_parm_kern). A ttl of 0 is the inner
// packet's, an odd tos too.
struct IpTunnelInfo {
  Ip4 local;
  Ip4 remote;    // zero: the inner route's next hop
  int link = 0;  // ifindex that the outer packet leaves by; 0: any
  std::uint8_t ttl = 0;
  std::uint8_t tos = 0;
  bool pmtudisc = true;
  bool ignore_df = false;
  std::uint32_t fwmark = 0;
  std::uint16_t o_flags = 0;  // kGre* of wire/gre.h
  std::uint32_t okey = 0;
  bool collect_metadata = false;
  std::string unknown;  // "encap", "mode mplsip"; "": nothing
};

using LinkInfo = std::variant<VlanInfo, BridgeInfo, VxlanInfo, GeneveInfo, IpTunnelInfo>;

}  // namespace txp
