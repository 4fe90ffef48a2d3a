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

void ip_rt_update_pmtu(Net& net, const Rtable& rt, const Flow4& fl4, std::uint32_t mtu) {
  if (rt.mtu_locked || rt.dev == nullptr || rt.mtu < mtu) return;
  const Sysctls& s = net.sysctl();
  RouteException e;
  if (mtu < s.min_pmtu) {
    e.mtu_locked = true;
    mtu = std::min(rt.mtu, s.min_pmtu);
  }
  e.daddr = fl4.daddr;
  e.mtu = mtu;
  e.expires = net.clock.now() + Nanos{s.mtu_expires} * kSecond;
  const auto learn = [&](const FibNh* nh) {
    if (nh == nullptr) return;
    e.oif = nh->oif;
    e.gateway = fib_nh_gateway(net, *nh);
    net.exceptions->set(e);
  };

  FibResult res;
  if (fib_lookup(net, fl4, res, nullptr) != 0) return;
  if (fib_info_num_path(res) > 1) {
    // Over several next hops, all of them learn it: the next packet may take another.
    for (std::size_t i = 0; i < fib_info_num_path(res); ++i) learn(fib_info_nhc(res, i));
  } else if (fib_select_path(net, res, fl4, nullptr)) {
    learn(res.nh);
  }
}

}  // namespace txp
