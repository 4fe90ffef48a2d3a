// SPDX-License-Identifier: Apache-2.0
// A router's "too big". Kernel twin: net/ipv4/route.c (__ip_rt_update_pmtu()).
#include <algorithm>

#include "dev/netdevice.h"
#include "net.h"
#include "route/fib_exceptions.h"
#include "route/ip_route.h"
#include "route/nexthop_object.h"
#include "route/output.h"

namespace txp {

void ip_rt_update_pmtu(Net& net, const Rtable& rt, Ip4 daddr, std::uint32_t mtu, bool locked) {
  if (rt.mtu_locked || rt.dev == nullptr || rt.mtu < mtu) return;
  const Sysctls& s = net.sysctl();
  if (mtu < s.min_pmtu) {
    locked = true;
    mtu = std::min(rt.mtu, s.min_pmtu);
  }
  RouteException e;
  e.daddr = daddr;
  e.gateway = rt.gateway;
  e.oif = rt.dev->ifindex;
  e.mtu = mtu;
  e.mtu_locked = locked;
  e.expires = net.clock.now() + Nanos{s.mtu_expires} * kSecond;

  // Over several next hops, all of them learn it: the next packet may take another.
  Flow4 fl4;
  fl4.daddr = daddr;
  FibResult res;
  if (fib_lookup(net, fl4, res, nullptr) == 0 && fib_info_num_path(res) > 1) {
    for (std::size_t i = 0; i < fib_info_num_path(res); ++i) {
      const FibNh* nh = fib_info_nhc(res, i);
      if (nh == nullptr) break;
      e.oif = nh->oif;
      e.gateway = fib_nh_scope(net, *nh) == kScopeLink ? nh->gateway : Ip4{};
      net.exceptions->set(e);
    }
    return;
  }
  net.exceptions->set(e);
}

}  // namespace txp
