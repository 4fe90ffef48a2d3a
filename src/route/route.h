// SPDX-License-Identifier: Apache-2.0
// Routing configuration as plain values: what a netlink message or a program says. The tables that
// the path reads (fib.h, fib_rules.h, nexthop.h) are built from these.
#pragma once

#include <array>
#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "route/rtable.h"
#include "wire/ip4.h"

namespace txp {

inline constexpr std::uint32_t kTableDefault = 253;
inline constexpr std::uint32_t kTableMain = 254;
inline constexpr std::uint32_t kTableLocal = 255;

inline constexpr std::uint8_t kNhfDead = 1;       // RTNH_F_DEAD
inline constexpr std::uint8_t kNhfPervasive = 2;  // RTNH_F_PERVASIVE
inline constexpr std::uint8_t kNhfOnlink = 4;     // RTNH_F_ONLINK
inline constexpr std::uint8_t kNhfLinkdown = 16;  // RTNH_F_LINKDOWN

struct NextHop {
  int oif = 0;
  Ip4 gateway{};                        // zero: none
  std::string gateway6{};               // RTA_VIA: the IPv6 gateway's text, when there is one
  std::uint8_t scope = kScopeUniverse;  // scope of the gateway's address; kScopeNowhere/Host/Link
  std::uint8_t flags = 0;               // kNhf*
  std::uint16_t weight = 1;             // 1..256 (65535 with next-hop objects)
  std::string encap{};  // lwtunnel in ip's words; not empty: the engine says unknown
  std::uint32_t tclassid = 0;
  friend bool operator==(const NextHop&, const NextHop&) = default;
};

// RTAX_* by number; zero: unset. `lock` has a bit 1 << RTAX_x for a locked metric.
inline constexpr std::size_t kRtaxMtu = 2;
inline constexpr std::size_t kRtaxHoplimit = 10;
struct RouteMetrics {
  std::array<std::uint32_t, 17> value{};
  std::uint32_t lock = 0;
  std::string cc_algo;
  friend bool operator==(const RouteMetrics&, const RouteMetrics&) = default;
};

struct Route {
  std::uint32_t table = kTableMain;
  Prefix4 dst;
  std::uint8_t tos = 0;
  RouteType type = RouteType::unicast;
  std::uint8_t scope = kScopeUniverse;
  std::uint8_t protocol = 3;   // RTPROT_BOOT
  std::uint32_t priority = 0;  // ip: metric
  Ip4 prefsrc;                 // ip: src
  RouteMetrics metrics;
  std::uint32_t nhid = 0;  // a next-hop object instead of `nexthops`
  std::vector<NextHop> nexthops;
  friend bool operator==(const Route&, const Route&) = default;
};

// What was learnt about a destination by way of a next hop (fib_nh_exception): its path's MTU, as
// `ip route show cache` lists it, and another gateway.
struct RouteException {
  Ip4 daddr;
  Ip4 gateway;  // of the next hop
  int oif = 0;
  std::uint32_t mtu = 0;  // 0: none learnt
  Ip4 redirect = {};      // fnhe_gw; any: none learnt
  bool mtu_locked = false;
  std::int64_t expires = 0;  // ns on the Net's clock; 0: never
};

}  // namespace txp
