// SPDX-License-Identifier: Apache-2.0
// The IPv6 parts of a namespace. Each is kept as the kernel listed it and published as a whole; a
// follower reads a part again when a notification names it.
#include <algorithm>

#include "dev/netdevice.h"
#include "mirror/mirror.h"
#include "route/fib6.h"
#include "route/fib_rules.h"

namespace txp {

void Mirror::begin_ipv6(MirrorPart part) {
  switch (part) {
    case MirrorPart::addrs6:
      addrs6_.clear();
      addrs6_changed_ = true;
      break;
    case MirrorPart::rules6:
      rules6_.clear();
      rules6_changed_ = true;
      break;
    case MirrorPart::routes6:
      routes6_.clear();
      routes6_changed_ = true;
      break;
    case MirrorPart::exceptions6:
      exceptions6_.clear();
      exceptions6_changed_ = true;
      break;
    case MirrorPart::multicast6:
      groups6_.clear();
      addrs6_changed_ = true;
      break;
    case MirrorPart::addrlabels:
      labels_.clear();
      labels_changed_ = true;
      break;
    default: break;
  }
}

Result<void> Mirror::add(In6Addr&& addr, const Decoded&) {
  if (left_to_reader(MirrorPart::addrs6)) {
    // Routes and groups come and go with addresses.
    set_stale(MirrorPart::routes6, true);
    set_stale(MirrorPart::multicast6, true);
    return {};
  }
  addrs6_changed_ = true;
  addrs6_.push_back(addr);
  return {};
}

Result<void> Mirror::add(Route6&& route, const Decoded&) {
  if (left_to_reader(MirrorPart::routes6)) return {};
  if (route.expires < 0) return {};
  if (route.expires != 0) route.expires += net_.clock.now();
  routes6_changed_ = true;
  routes6_.push_back(std::move(route));
  return {};
}

Result<void> Mirror::add(RouteException6&& e, const Decoded& d) {
  if (d.deleted) return {};
  if (e.expires != 0) e.expires += net_.clock.now();
  exceptions6_changed_ = true;
  exceptions6_.push_back(e);
  return {};
}

Result<void> Mirror::add(FibRule6&& rule, const Decoded&) {
  if (left_to_reader(MirrorPart::rules6)) return {};
  rules6_changed_ = true;
  rules6_.push_back(std::move(rule.rule));
  return {};
}

Result<void> Mirror::add(McGroup6&& group, const Decoded&) {
  if (left_to_reader(MirrorPart::multicast6)) return {};
  addrs6_changed_ = true;
  groups6_.push_back(group);
  return {};
}

Result<void> Mirror::add(AddrLabel&& label, const Decoded&) {
  if (left_to_reader(MirrorPart::addrlabels)) return {};
  labels_changed_ = true;
  labels_.push_back(label);
  return {};
}

void Mirror::commit_ipv6() {
  if (std::exchange(rules6_changed_, false) && net_.rules6->all() != rules6_)
    net_.rules6->set_all(rules6_);
  if (std::exchange(labels_changed_, false)) net_.fib6->set_labels(labels_);
  if (std::exchange(addrs6_changed_, false)) {
    for (const NetDevice* dev : net_.dev->all()) {
      std::vector<In6Addr> addrs;
      std::vector<Ip6> groups;
      for (const In6Addr& a : addrs6_)
        if (a.ifindex == dev->ifindex) addrs.push_back(a);
      for (const McGroup6& g : groups6_)
        if (g.ifindex == dev->ifindex) groups.push_back(g.group);
      if (dev->in6_dev().addrs == addrs && dev->in6_dev().mc_groups == groups) continue;
      net_.dev->change_inet6(dev->ifindex, [&](Inet6Dev& in) {
        in.addrs = std::move(addrs);
        in.mc_groups = std::move(groups);
      });
    }
  }
  if (std::exchange(routes6_changed_, false)) net_.fib6->set_all(routes6_);
  if (std::exchange(exceptions6_changed_, false)) net_.fib6->set_exceptions(exceptions6_);
}

}  // namespace txp
