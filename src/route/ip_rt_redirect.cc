// SPDX-License-Identifier: Apache-2.0
// A router's "better by that one". Kernel twin: net/ipv4/route.c (__ip_do_redirect()).
// Differs: with net.ipv4.conf.*.shared_media off and secure_redirects on, gateways of next-hop
// objects do not count as gateways.
#include <algorithm>

#include "dev/netdevice.h"
#include "neigh/neighbour.h"
#include "net.h"
#include "route/fib_exceptions.h"
#include "route/ip_route.h"
#include "route/nexthop_object.h"
#include "route/output.h"

namespace txp {
namespace {

constexpr Nanos kGcTimeout = 300 * kSecond;  // RT_GC_TIMEOUT

// inet_addr_onlink(): whether one of the device's subnets holds both.
bool on_link(const NetDevice& dev, Ip4 a, Ip4 b) {
  return std::ranges::any_of(dev.in_dev().addrs, [&](const InAddr& i) {
    const Prefix4 subnet{i.peer, i.prefixlen};
    return subnet.contains(a) && subnet.contains(b);
  });
}

// ip_fib_check_default(): whether a route goes by that gateway on the device.
bool is_gateway(Net& net, const NetDevice& dev, Ip4 addr) {
  bool found = false;
  net.fib->for_each([&](const Route& r) {
    found |= std::ranges::any_of(r.nexthops, [&](const NextHop& nh) {
      return nh.oif == dev.ifindex && nh.gateway == addr && (nh.flags & kNhfDead) == 0;
    });
  });
  return found;
}

bool accepts(Net& net, const NetDevice& dev, Ip4 from, Ip4 to) {
  const InDevConf& conf = dev.in_dev().conf;
  const int wanted = conf.forwarding ? 2 : 1;  // IN_DEV_RX_REDIRECTS()
  if (to == from || conf.accept_redirects < wanted || to.is_multicast() || to.is_lbcast() ||
      to.is_zero())
    return false;
  if (conf.shared_media) return inet_addr_type(net, to) == RouteType::unicast;
  return on_link(dev, to, from) && (!conf.secure_redirects || is_gateway(net, dev, to));
}

}  // namespace

void ip_do_redirect(Net& net, const Rtable& rt, const Flow4& fl4, const NetDevice& dev, Ip4 from,
                    Ip4 to, std::uint8_t code) {
  constexpr std::uint8_t kMostCode = 3;  // ICMP_REDIR_HOSTTOS
  if ((code & 7) > kMostCode || rt.gateway_is_v6 || rt.gateway.is_zero() || rt.gateway != from)
    return;
  if (!has_in_dev(dev) || !accepts(net, dev, from, to)) return;
  Neighbour* n = net.neigh->lookup(*rt.dev, to);
  if (n == nullptr) n = net.neigh->create(*rt.dev, to, nullptr);
  if (n == nullptr) return;
  if (!nud_valid(n->nud_state.load())) {
    neigh_resolve(net, *n);  // the next redirect may find it there
    return;
  }
  FibResult res;
  if (fib_lookup(net, fl4, res, nullptr) != 0 || !fib_select_path(net, res, fl4, nullptr)) return;
  RouteException e;
  e.daddr = fl4.daddr;
  e.gateway = fib_nh_gateway(net, *res.nh);
  e.oif = res.nh->oif;
  e.redirect = to;
  e.expires = net.clock.now() + kGcTimeout;
  net.exceptions->set(e);
}

}  // namespace txp
