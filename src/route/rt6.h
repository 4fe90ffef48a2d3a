// SPDX-License-Identifier: Apache-2.0
// The question and the answer of an IPv6 route lookup. Kernel twins: include/net/flow.h (struct
// flowi6), include/net/ip6_fib.h (struct rt6_info). What both families' packets carry is Rtable.
#pragma once

#include <cstdint>

#include "route/rtable.h"
#include "wire/ip6.h"

namespace txp {

struct Fib6Info;

struct Flow6 {
  int oif = 0;
  int iif = 0;  // LOOPBACK_IFINDEX for what this host sends
  std::uint32_t mark = 0;
  std::uint32_t uid = 0;
  Ip6 saddr;
  Ip6 daddr;
  std::uint16_t sport = 0;
  std::uint16_t dport = 0;
  std::uint32_t flowlabel = 0;  // traffic class and flow label, 28 bits
  std::uint8_t proto = 0;
  std::uint32_t mp_hash = 0;  // 0: compute it from the flow
};

// RT6_LOOKUP_F_*.
inline constexpr int kRt6Iface = 1;
inline constexpr int kRt6Reachable = 2;
inline constexpr int kRt6HasSaddr = 4;

struct Rt6Info {
  Rtable dst;   // output, device, MTU; a route that refuses has its errno in `error`
  Ip6 gateway;  // any: the destination is the next hop
  int error = 0;
  std::uint8_t dst_len = 0;        // rt6i_dst.plen, for suppressing rules
  int idev = 0;                    // rt6i_idev: the route's own device
  const Fib6Info* from = nullptr;  // null: the null entry
};

}  // namespace txp
