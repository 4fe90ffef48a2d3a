// SPDX-License-Identifier: Apache-2.0
// The address that this host answers a received packet with. Kernel twin: net/ipv4/fib_frontend.c,
// fib_compute_spec_dst().
#include "dev/netdevice.h"
#include "net.h"
#include "route/fib_lookup.h"
#include "route/ip_route.h"
#include "route/nexthop_object.h"
#include "wire/ipv4.h"

namespace txp {

Ip4 fib_compute_spec_dst(Net& net, const Skb& skb) {
  const Ipv4View ip(skb.network());
  if (skb.rt.is_local && !skb.rt.is_broadcast && !skb.rt.is_multicast) return ip.daddr();
  if (ip.saddr().is_zeronet()) return inet_select_addr(net, skb.dev, ip.saddr(), kScopeLink);
  Flow4 fl4;
  fl4.iif = 1;  // LOOPBACK_IFINDEX
  fl4.daddr = ip.saddr();
  fl4.tos = ip.tos() & 0xfc;
  fl4.mark = skb.dev->in_dev().conf.src_valid_mark ? skb.mark : 0;
  FibResult res;
  if (fib_lookup(net, fl4, res, nullptr) == 0) return fib_result_prefsrc(net, res);
  return inet_select_addr(net, skb.dev, ip.saddr(), kScopeUniverse);
}

}  // namespace txp
