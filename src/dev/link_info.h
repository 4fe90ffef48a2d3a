// SPDX-License-Identifier: Apache-2.0
// What makes a device of one kind differ from another (IFLA_INFO_DATA, IFLA_INFO_SLAVE_DATA), as
// plain values by the kernel's names.
#pragma once

#include <cstddef>
#include <cstdint>
#include <utility>
#include <variant>
#include <vector>

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

using LinkInfo = std::variant<VlanInfo, BridgeInfo>;

}  // namespace txp
