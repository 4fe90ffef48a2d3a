// SPDX-License-Identifier: Apache-2.0
// The question and the answer of a route lookup. Kernel twins: include/net/flow.h (struct flowi4)
// and include/net/route.h (struct rtable).
#pragma once

#include <cstdint>

#include "wire/ip4.h"

namespace txp {

struct NetDevice;

inline constexpr std::uint8_t kScopeUniverse = 0;  // RT_SCOPE_*
inline constexpr std::uint8_t kScopeSite = 200;
inline constexpr std::uint8_t kScopeLink = 253;
inline constexpr std::uint8_t kScopeHost = 254;
inline constexpr std::uint8_t kScopeNowhere = 255;

inline constexpr std::uint8_t kFlowAnysrc = 1;   // FLOWI_FLAG_ANYSRC: any source address
inline constexpr std::uint8_t kFlowKnownNh = 2;  // FLOWI_FLAG_KNOWN_NH

struct Flow4 {
  int oif = 0;
  int iif = 0;  // LOOPBACK_IFINDEX for what this host sends
  std::uint32_t mark = 0;
  std::uint32_t uid = 0;
  Ip4 saddr;
  Ip4 daddr;
  std::uint16_t sport = 0;
  std::uint16_t dport = 0;
  std::uint8_t tos = 0;  // the DSCP bits, and nothing else
  std::uint8_t scope = kScopeUniverse;
  std::uint8_t proto = 0;
  std::uint8_t flags = 0;            // kFlow*
  std::uint32_t multipath_hash = 0;  // 0: compute it from the flow
};

// The route types of RTM_*ROUTE (include/uapi/linux/rtnetlink.h).
enum class RouteType : std::uint8_t {
  unspec,
  unicast,
  local,
  broadcast,
  anycast,
  multicast,
  blackhole,
  unreachable,
  prohibit,
  throw_,
  nat,
  xresolve
};

// What dst->output points at.
enum class DstOutput : std::uint8_t { ip_output, ip_mc_output, ip6_output, discard };

// dst_entry and rtable in one, held by value. Valid inside the RcuReader it was made in; a packet
// that waits keeps it, and the owner of the wait (neighbour, qdisc) drops packets of a device that
// goes away.
struct Rtable {
  NetDevice* dev = nullptr;
  Ip4 gateway;  // zero: the destination itself is the next hop
  int iif = 0;
  std::uint32_t mtu = 0;  // dst_mtu(): bytes, header included; learnt path MTU counted in
  RouteType type = RouteType::unspec;
  DstOutput output = DstOutput::ip_output;
  std::uint8_t hoplimit = 0;   // RTAX_HOPLIMIT; 0: the sysctl's
  bool mtu_locked = false;     // dst_metric_locked(RTAX_MTU)
  bool is_broadcast = false;   // RTCF_BROADCAST
  bool is_multicast = false;   // RTCF_MULTICAST
  bool is_local = false;       // RTCF_LOCAL
  bool gateway_is_v6 = false;  // rt_gw_family is AF_INET6 (RFC 5549)
  bool onlink_scope = false;   // nexthop scope is link: the gateway field is meaningful when false
};

}  // namespace txp
