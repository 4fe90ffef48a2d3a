// SPDX-License-Identifier: Apache-2.0
// A network interface as a plain value (`ip link`, `ip addr`, `ethtool -k`, `tc qdisc`).
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "dev/link_info.h"
#include "wire/ip4.h"
#include "wire/ip6.h"

namespace txp {

inline constexpr std::uint32_t kIffUp = 0x1;
inline constexpr std::uint32_t kIffBroadcast = 0x2;
inline constexpr std::uint32_t kIffLoopback = 0x8;
inline constexpr std::uint32_t kIffPointopoint = 0x10;
inline constexpr std::uint32_t kIffRunning = 0x40;
inline constexpr std::uint32_t kIffNoarp = 0x80;
inline constexpr std::uint32_t kIffAllmulti = 0x200;
inline constexpr std::uint32_t kIffMulticast = 0x1000;
inline constexpr std::uint32_t kIffLowerUp = 0x10000;

// The offloads that change what the path does (include/linux/netdev_features.h), as one set.
struct DevFeatures {
  bool sg = false;          // NETIF_F_SG, tx-scatter-gather
  bool hw_csum = false;     // NETIF_F_HW_CSUM, tx-checksum-ip-generic
  bool ip_csum = false;     // NETIF_F_IP_CSUM, tx-checksum-ipv4
  bool ipv6_csum = false;   // NETIF_F_IPV6_CSUM, tx-checksum-ipv6
  bool gso_udp_l4 = false;  // NETIF_F_GSO_UDP_L4, tx-udp-segmentation
  bool frag_list = false;   // NETIF_F_FRAGLIST
  bool lltx = false;        // NETIF_F_LLTX: no transmit lock
  bool vlan_ctag = false;   // NETIF_F_HW_VLAN_CTAG_TX, tx-vlan-hw-insert
  bool vlan_stag = false;   // NETIF_F_HW_VLAN_STAG_TX, tx-vlan-stag-hw-insert
  friend bool operator==(const DevFeatures&, const DevFeatures&) = default;
};

struct Link {
  int ifindex = 0;
  std::string name;
  std::string kind;         // IFLA_INFO_KIND: "veth", "vxlan", ""; "" and ARPHRD_ETHER: hardware
  std::uint16_t type = 1;   // ARPHRD_*
  std::uint32_t flags = 0;  // kIff*
  std::uint32_t mtu = 1500;
  std::uint32_t group = 0;
  std::uint32_t txqlen = 1000;           // IFLA_TXQLEN, packets
  std::uint32_t num_tx_queues = 1;       // allocated (IFLA_NUM_TX_QUEUES)
  std::uint32_t real_num_tx_queues = 0;  // in use (/sys/class/net/DEV/queues); 0: not known, all
  std::uint32_t gso_max_size = 65536;
  std::uint32_t gso_max_segs = 65535;
  int master = 0;                                 // ifindex of the bridge, bond or VRF; 0: none
  int peer_ifindex = 0;                           // IFLA_LINK
  bool peer_in_other_netns = false;               // IFLA_LINK_NETNSID given
  int peer_netnsid = -1;                          // IFLA_LINK_NETNSID
  std::uint32_t macvlan_mode = 0;                 // IFLA_MACVLAN_MODE: MACVLAN_MODE_*
  std::shared_ptr<const LinkInfo> info;           // of kinds that have one; null: none
  std::shared_ptr<const BridgePort> bridge_port;  // of a bridge's port
  std::vector<BridgeVlan> bridge_vlans;           // of a bridge or its port, where it filters
  MacAddr address;
  MacAddr broadcast = MacAddr::broadcast();
  bool carrier = true;
  std::string operstate;  // "UP", "DOWN", ...
  std::string qdisc;      // IFLA_QDISC, the root discipline's kind
  bool has_xdp = false;
  DevFeatures features;
  std::vector<std::vector<std::uint32_t>> xps_cpus;  // by queue, mask words; empty: no XPS

  // What `info` says when it is of this kind; else null.
  template <typename Info>
  const Info* as() const {
    return info ? std::get_if<Info>(info.get()) : nullptr;
  }
};

// `ip addr`: one address of an interface.
struct InAddr {
  int ifindex = 0;
  Ip4 local;
  Ip4 peer;  // ifa_address; equals local without a peer
  std::uint8_t prefixlen = 32;
  Ip4 broadcast;            // zero: none
  std::uint8_t scope = 0;   // kScope*
  std::uint32_t flags = 0;  // IFA_F_*; 1: secondary
  std::string label;
  bool secondary() const { return (flags & 1) != 0; }
};

inline constexpr std::uint32_t kIfaTemporary = 0x01;  // IFA_F_* of IPv6 addresses
inline constexpr std::uint32_t kIfaOptimistic = 0x04;
inline constexpr std::uint32_t kIfaHomeaddress = 0x10;
inline constexpr std::uint32_t kIfaDeprecated = 0x20;
inline constexpr std::uint32_t kIfaTentative = 0x40;

// `ip -6 addr`: one IPv6 address of an interface.
struct In6Addr {
  int ifindex = 0;
  Ip6 local;
  Ip6 peer;  // equals local without a peer
  std::uint8_t prefixlen = 128;
  std::uint8_t scope = 0;   // RT_SCOPE_*
  std::uint32_t flags = 0;  // IFA_F_*
  std::uint8_t protocol = 0;
  friend bool operator==(const In6Addr&, const In6Addr&) = default;
};

// `tc qdisc`: a discipline by its kind and place. `options` is the raw TCA_OPTIONS for the kinds
// that we implement; `text` is tc's line, for people and for unknown kinds.
struct QdiscSpec {
  int ifindex = 0;
  std::string kind;
  std::uint32_t handle = 0;  // major << 16
  std::uint32_t parent = 0;  // TC_H_ROOT is 0xffffffff; ingress/clsact have 0xfffffff1
  std::vector<std::uint8_t> options;
  std::string text;
};

// `tc class`: a class of a discipline. `options` is the raw TCA_OPTIONS.
struct ClassSpec {
  int ifindex = 0;
  std::string kind;
  std::uint32_t classid = 0;
  std::uint32_t parent = 0;  // a class, or the discipline's handle
  std::vector<std::uint8_t> options;
  std::string text;
};

// A classifier on an egress hook (clsact), on a discipline or on a class of one.
struct FilterSpec {
  int ifindex = 0;
  std::uint32_t parent = 0;
  std::string kind;  // "bpf", "u32", ...
  std::string text;
  std::uint32_t handle = 0;
  std::uint32_t chain = 0;
  std::uint16_t prio = 0;
  std::uint16_t protocol = 0;  // kEthP*, 3: all
  std::vector<std::uint8_t> options{};
};

}  // namespace txp
