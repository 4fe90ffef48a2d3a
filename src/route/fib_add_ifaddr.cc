// SPDX-License-Identifier: Apache-2.0
#include "route/fib_add_ifaddr.h"

#include "net.h"
#include "route/fib.h"

namespace txp {
namespace {

constexpr std::uint8_t kRtprotKernel = 2;

// fib_magic(): a route of the kernel's own making.
Result<void> fib_magic(Net& net, RouteType type, Prefix4 dst, const InAddr& addr) {
  Route route;
  const bool to_main = type == RouteType::unicast;
  route.table = to_main ? kTableMain : kTableLocal;
  route.dst = dst;
  route.type = type;
  route.scope = type == RouteType::local ? kScopeHost : kScopeLink;
  route.protocol = kRtprotKernel;
  route.prefsrc = addr.local;
  NextHop hop;
  hop.oif = addr.ifindex;
  hop.scope = type == RouteType::local ? kScopeNowhere : kScopeHost;
  route.nexthops.push_back(hop);
  return net.fib->add(route);
}

}  // namespace

Result<void> fib_add_ifaddr(Net& net, const InAddr& addr, bool loopback) {
  if (auto ok = fib_magic(net, RouteType::local, {addr.local, 32}, addr); !ok) return ok;
  if (!addr.broadcast.is_zero() && !addr.broadcast.is_lbcast())
    if (auto ok = fib_magic(net, RouteType::broadcast, {addr.broadcast, 32}, addr); !ok) return ok;
  const Ip4 subnet{addr.local.host & inet_make_mask(addr.prefixlen)};
  const bool whole_subnet =
      !subnet.is_zeronet() && !addr.secondary() && (subnet != addr.local || addr.prefixlen < 32);
  if (!whole_subnet) return {};
  if (auto ok = fib_magic(net, loopback ? RouteType::local : RouteType::unicast,
                          {subnet, addr.prefixlen}, addr);
      !ok)
    return ok;
  if (addr.prefixlen >= 31) return {};
  const Ip4 last{subnet.host | ~inet_make_mask(addr.prefixlen)};
  if (addr.broadcast == last) return {};
  return fib_magic(net, RouteType::broadcast, {last, 32}, addr);
}

}  // namespace txp
