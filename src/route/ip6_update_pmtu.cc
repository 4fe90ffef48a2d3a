// SPDX-License-Identifier: Apache-2.0
// A router's "packet too big". Kernel twin: net/ipv6/route.c, ip6_update_pmtu(),
// __ip6_rt_update_pmtu(), rt6_insert_exception(). Differs: one table of exceptions for the Net, the
// oldest leaves; a device whose MTU changes leaves them alone.
#include "dev/netdevice.h"
#include "neigh/neighbour.h"
#include "net.h"
#include "route/ip6_route.h"
#include "wire/ipv6.h"

namespace txp {

void ip6_update_pmtu(Net& net, std::span<const std::uint8_t> quoted, std::uint32_t mtu, int oif,
                     std::uint32_t mark, std::uint32_t uid) {
  const auto ip = Ipv6Header::parse(quoted);
  if (!ip) return;
  Flow6 fl6;
  fl6.oif = oif;
  fl6.mark = mark;
  fl6.uid = uid;
  fl6.daddr = ip->daddr;
  fl6.saddr = ip->saddr;
  fl6.flowlabel = ip6_make_flowinfo(ip->tclass, ip->flowlabel);
  const auto rt = ip6_route_output(net, nullptr, fl6, 0, nullptr);
  if (!rt || rt->error != 0 || rt->dst.dev == nullptr) return;
  ip6_confirm_neigh(net, *rt->dst.dev, rt->gateway.is_any() ? ip->daddr : rt->gateway);
  // An "mtu lock" does not forbid it: IPv6 is not without it.
  if (mtu < kIpv6MinMtu || mtu >= rt->dst.mtu) return;
  const Nanos lasts = Nanos{net.sysctl().ip6_mtu_expires} * kSecond;
  net.fib6->set_exception({ip->daddr, rt->gateway, rt->idev, mtu, net.clock.now() + lasts});
}

}  // namespace txp
