// SPDX-License-Identifier: Apache-2.0
// IPv6 routing configuration as plain values: what a netlink message or a program says.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "base/clock.h"
#include "route/route.h"
#include "wire/ip6.h"

namespace txp {

// `ip -6 route ... pref`: ICMPV6_ROUTER_PREF_* as RTA_PREF has it.
inline constexpr std::uint8_t kRouterPrefMedium = 0;
inline constexpr std::uint8_t kRouterPrefHigh = 1;
inline constexpr std::uint8_t kRouterPrefLow = 3;

struct NextHop6 {
  int oif = 0;
  Ip6 gateway{};           // any: none
  std::uint8_t flags = 0;  // kNhf*
  std::uint16_t weight = 1;
  std::string encap{};  // lwtunnel in ip's words; not empty: the engine says unknown
  friend bool operator==(const NextHop6&, const NextHop6&) = default;
};

struct Route6 {
  std::uint32_t table = kTableMain;
  Prefix6 dst;
  Prefix6 src;  // ip: from; its length not 0: source-specific
  RouteType type = RouteType::unicast;
  std::uint8_t protocol = 3;      // RTPROT_BOOT
  std::uint32_t priority = 1024;  // ip: metric
  std::uint8_t pref = kRouterPrefMedium;
  Ip6 prefsrc;  // ip: src
  RouteMetrics metrics;
  Nanos expires = 0;  // on the Net's clock; 0: never
  std::uint32_t nhid = 0;
  std::vector<NextHop6> nexthops;
  friend bool operator==(const Route6&, const Route6&) = default;
};

// A learnt path MTU (fib6_nh's exception table), as `ip -6 route show cache` lists it.
struct RouteException6 {
  Ip6 daddr;
  Ip6 gateway;
  int oif = 0;
  std::uint32_t mtu = 0;
  Nanos expires = 0;  // on the Net's clock; 0: never
};

// `ip addrlabel`.
struct AddrLabel {
  Prefix6 prefix;
  int ifindex = 0;  // 0: any
  std::uint32_t label = 0;
  friend bool operator==(const AddrLabel&, const AddrLabel&) = default;
};

}  // namespace txp
