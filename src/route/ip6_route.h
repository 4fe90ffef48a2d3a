// SPDX-License-Identifier: Apache-2.0
// Route lookup for what this host sends over IPv6, and questions about its addresses. Kernel twins:
// net/ipv6/route.c, net/ipv6/ip6_output.c, net/ipv6/fib6_rules.c, net/ipv6/addrconf.c. All of it
// inside an RcuReader, from any thread.
#pragma once

#include <cstdint>
#include <optional>
#include <span>
#include <vector>

#include "base/result.h"
#include "observe/trace.h"
#include "route/fib6.h"
#include "route/rt6.h"

namespace txp {

class Net;
class Sock;
struct NetDevice;

// What a lookup looked at, for a trace.
struct Fib6Story {
  const FibRule* rule = nullptr;
  std::vector<const FibRule*> passed;
  std::optional<RouteException6> exception;
  std::optional<NamedObject> unknown;
};

// ip6_dst_lookup_flow(): the route of `fl6`, with its source address when it has none. Errors:
// ENETUNREACH, EHOSTUNREACH, EACCES, EINVAL, EADDRNOTAVAIL, EAFNOSUPPORT, and kUnknown (the trace
// names the object). `sk` and `trace` may be null. `final_dst`: what the route leads past, when a
// routing header is given (fl6_update_dst()); null otherwise.
[[nodiscard]] SockResult<Rt6Info> ip6_dst_lookup_flow(Net& net, const Sock* sk, Flow6& fl6,
                                                      const Ip6* final_dst, Trace* trace);

// ip6_route_output_flags(): the route alone; Rt6Info::error is the dst's. `story` may be null. An
// error is kUnknown.
[[nodiscard]] SockResult<Rt6Info> ip6_route_output(Net& net, const Sock* sk, Flow6& fl6, int flags,
                                                   Fib6Story* story);
// fib6_rule_lookup(), ip6_pol_route().
[[nodiscard]] SockResult<Rt6Info> fib6_rule_lookup(Net& net, Flow6& fl6, int flags, unsigned prefs,
                                                   Fib6Story* story);

// ip6_update_pmtu(): the path of the packet that `quoted` heads learns a router's "too big".
void ip6_update_pmtu(Net& net, std::span<const std::uint8_t> quoted, std::uint32_t mtu, int oif,
                     std::uint32_t mark, std::uint32_t uid);
// ipv6_dev_get_saddr(): the source address towards `daddr` by RFC 6724; empty: there is none.
// `dev` null: no device decides. `prefs`: IPV6_PREFER_SRC_*.
std::optional<Ip6> ipv6_dev_get_saddr(Net& net, const NetDevice* dev, const Ip6& daddr,
                                      unsigned prefs);
// ipv6_addr_label(): its label in the policy table.
std::uint32_t ipv6_addr_label(Net& net, const Ip6& addr, int ifindex);
// ipv6_chk_addr(): whether `addr` is this host's; a link-local or loopback one on `dev` (any when
// null). Addresses with a flag of `banned` do not count.
bool ipv6_chk_addr(Net& net, const Ip6& addr, const NetDevice* dev,
                   std::uint32_t banned = 0x40 /* tentative */);
// ipv6_chk_mcast_addr(): whether `dev` has joined `group`.
bool ipv6_chk_mcast_addr(const NetDevice& dev, const Ip6& group);
// __in6_dev_get(): whether IPv6 runs on the device at all: not under an MTU of 1280 bytes.
bool has_in6_dev(const NetDevice& dev);
// ip6_dst_hoplimit(): the route's, the device's, the namespace's.
std::uint8_t ip6_dst_hoplimit(const Net& net, const Rtable& rt);

}  // namespace txp
