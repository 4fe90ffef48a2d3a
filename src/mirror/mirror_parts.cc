// SPDX-License-Identifier: Apache-2.0
// Reading a part of the namespace as a whole: begin() and end(), and what commit() publishes.
#include <algorithm>
#include <ranges>
#include <set>

#include <fmt/format.h>
#include <linux/netfilter.h>

#include "dev/fdb.h"
#include "dev/netdevice.h"
#include "mirror/mirror.h"
#include "neigh/neighbour.h"
#include "netfilter/nf_hook.h"
#include "route/fib.h"
#include "route/fib_exceptions.h"
#include "route/fib_rules.h"
#include "route/nexthop.h"

namespace txp {

void Mirror::begin(MirrorPart part) {
  gathering_[static_cast<std::size_t>(part)] = true;
  set_stale(part, false);
  switch (part) {
    case MirrorPart::links: links_.clear(); break;
    case MirrorPart::addrs:
      addrs_.clear();
      local_addrs_.clear();
      break;
    case MirrorPart::nexthops: nexthops_.clear(); break;
    case MirrorPart::rules: rules_.clear(); break;
    case MirrorPart::routes:
      route_hashes_.clear();
      route_groups_.clear();
      route_run_.clear();
      break;
    case MirrorPart::exceptions: exceptions_.clear(); break;
    case MirrorPart::neighs: neighs_.clear(); break;
    case MirrorPart::qdiscs:
      for (auto& [ifindex, device] : devices_) {
        device.qdiscs.clear();
        device.qdiscs_changed = true;
      }
      break;
    case MirrorPart::classes:
      for (auto& [ifindex, device] : devices_) {
        device.qdiscs_changed |= !device.classes.empty();
        device.classes.clear();
      }
      break;
    case MirrorPart::filters:
      for (auto& [ifindex, device] : devices_) {
        device.qdiscs_changed |= !device.qdisc_filters.empty();
        device.qdisc_filters.clear();
        device.filters_changed |= !device.filters.empty();
        device.filters.clear();
      }
      break;
    case MirrorPart::egress_hooks:
      for (auto& [ifindex, device] : devices_)
        device.old_egress_hooks = std::exchange(device.egress_hooks, {});
      break;
    case MirrorPart::multicast:
      for (auto& [ifindex, device] : devices_)
        device.old_mc_groups = std::exchange(device.mc_groups, {});
      break;
    case MirrorPart::nft:
      nft_ = {};
      ruleset_changed_ = true;
      break;
    case MirrorPart::foreign_hooks: old_foreign_hooks_ = std::exchange(foreign_hooks_, {}); break;
    case MirrorPart::xfrm:
      xfrm_.clear();
      obstacles_changed_ = true;
      break;
    case MirrorPart::obstacles: old_path_obstacles_ = std::exchange(path_obstacles_, {}); break;
    case MirrorPart::bridges: fdb_.clear(); break;
    case MirrorPart::sysctls:
    case MirrorPart::xps: break;
    default: begin_ipv6(part); break;
  }
}

void Mirror::end(MirrorPart part) {
  switch (part) {
    case MirrorPart::links: end_links(); break;
    case MirrorPart::addrs: end_addrs(); break;
    case MirrorPart::nexthops: end_nexthops(); break;
    case MirrorPart::rules: rules_changed_ = true; break;
    case MirrorPart::routes: end_routes(); break;
    case MirrorPart::exceptions: net_.exceptions->set_all(exceptions_); break;
    case MirrorPart::neighs: end_neighs(); break;
    case MirrorPart::bridges: net_.fdb->set_all(std::exchange(fdb_, {})); break;
    // Read again now and then: nothing is published unless something changed.
    case MirrorPart::egress_hooks:
      for (auto& [ifindex, device] : devices_)
        device.filters_changed |= device.egress_hooks != device.old_egress_hooks;
      break;
    case MirrorPart::multicast:
      for (auto& [ifindex, device] : devices_)
        device.mc_changed |= device.mc_groups != device.old_mc_groups;
      break;
    case MirrorPart::foreign_hooks: ruleset_changed_ |= foreign_hooks_ != old_foreign_hooks_; break;
    case MirrorPart::obstacles: obstacles_changed_ |= path_obstacles_ != old_path_obstacles_; break;
    default: break;
  }
  gathering_[static_cast<std::size_t>(part)] = false;
}

void Mirror::end_links() {
  std::set<int> there;
  for (const Link& l : links_) there.insert(l.ifindex);
  std::vector<int> gone;
  for (const NetDevice* dev : net_.dev->all())
    if (!there.contains(dev->ifindex)) gone.push_back(dev->ifindex);
  for (const int ifindex : gone) link_went(ifindex);
  links_.clear();
}

void Mirror::end_addrs() {
  const auto same = [](const InAddr& a, const InAddr& b) {
    return a.local == b.local && a.peer == b.peer && a.prefixlen == b.prefixlen &&
           a.broadcast == b.broadcast && a.scope == b.scope && a.flags == b.flags &&
           a.label == b.label;
  };
  std::vector<int> indices;
  for (const NetDevice* dev : net_.dev->all()) indices.push_back(dev->ifindex);
  for (const int ifindex : indices) {
    std::vector<InAddr> wanted;
    for (const InAddr& a : addrs_)
      if (a.ifindex == ifindex) wanted.push_back(a);
    const std::vector<InAddr> now = net_.dev->by_index(ifindex)->in_dev().addrs;
    if (std::ranges::equal(now, wanted, same)) continue;
    // Secondaries first: a primary would take them along.
    for (const InAddr& a : now | std::views::reverse) {
      const bool stays = std::ranges::any_of(wanted, [&](const InAddr& w) { return same(a, w); });
      if (!stays) net_.dev->remove_addr(ifindex, a.local, a.prefixlen);
    }
    for (const InAddr& a : wanted) net_.dev->set_addr(a);
    if (std::ranges::equal(net_.dev->by_index(ifindex)->in_dev().addrs, wanted, same)) continue;
    // The same addresses in another order: it decides the source address.
    const std::vector<InAddr> left = net_.dev->by_index(ifindex)->in_dev().addrs;
    for (const InAddr& a : left | std::views::reverse)
      net_.dev->remove_addr(ifindex, a.local, a.prefixlen);
    for (const InAddr& a : wanted) net_.dev->set_addr(a);
  }
  addrs_.clear();
}

void Mirror::end_nexthops() {
  std::set<std::uint32_t> there;
  for (const NexthopSpec& n : nexthops_) there.insert(n.id);
  for (const NexthopSpec& old : net_.nexthops->all())
    if (!there.contains(old.id)) net_.nexthops->remove(old.id);
  for (const NexthopSpec& n : nexthops_) {
    const NexthopSpec* old = net_.nexthops->find(n.id);
    if (old == nullptr || *old != n) net_.nexthops->set(n);
  }
  nexthops_.clear();
}

void Mirror::end_neighs() {
  std::set<std::pair<int, std::uint32_t>> there;
  std::set<std::pair<int, Ip6>> there6;
  for (const NeighSpec& n : neighs_)
    if (n.dst6)
      there6.insert({n.ifindex, *n.dst6});
    else
      there.insert({n.ifindex, n.dst.host});
  for (const NeighSpec& old : net_.neigh6->all()) {
    if (there6.contains({old.ifindex, *old.dst6})) continue;
    if (old.state == Nud::incomplete && net_.neigh6->ask_kernel6)
      net_.neigh6->ask_kernel6(old.ifindex, *old.dst6);
    else
      net_.neigh6->remove(old.ifindex, *old.dst6);
  }
  for (const NeighSpec& old : net_.neigh->all()) {
    if (there.contains({old.ifindex, old.dst.host})) continue;
    // What the engine itself waits for is asked again rather than dropped.
    if (old.state == Nud::incomplete && net_.neigh->ask_kernel)
      net_.neigh->ask_kernel(old.ifindex, old.dst);
    else
      net_.neigh->remove(old.ifindex, old.dst);
  }
  for (const NeighSpec& n : neighs_) (n.dst6 ? net_.neigh6 : net_.neigh)->set(n);
  neighs_.clear();
}

// The new routes are in the table already (adding one twice changes nothing); those that did not
// come go, and where several share a key the kernel's order is made.
void Mirror::end_routes() {
  end_run();
  const std::size_t came = route_hashes_.size();
  std::ranges::sort(route_hashes_);
  route_hashes_.erase(std::unique(route_hashes_.begin(), route_hashes_.end()), route_hashes_.end());
  if (net_.fib->size() != came || !route_groups_.empty()) {
    std::vector<Route> gone;
    std::map<RouteKey, std::vector<Route>> now;
    net_.fib->for_each([&](const Route& r) {
      if (!std::ranges::binary_search(route_hashes_, route_hash(r)))
        gone.push_back(r);
      else if (const RouteKey key = key_of(r); route_groups_.contains(key))
        now[key].push_back(r);
    });
    for (const Route& r : gone) net_.fib->remove(r);
    for (const auto& [key, wanted] : route_groups_) {
      const auto equal = [](const Route& a, const Route& b) {
        return route_hash(a) == route_hash(b);
      };
      if (std::ranges::equal(now[key], wanted, equal)) continue;
      for (const Route& r : wanted) net_.fib->remove(r);
      for (const Route& r : wanted) (void)net_.fib->add(r);
    }
  }
  route_hashes_ = {};
  route_groups_.clear();
}

void Mirror::commit() {
  if (std::exchange(rules_changed_, false)) {
    if (net_.rules->all() != rules_) net_.rules->set_all(rules_);
  }
  if (sysctls_changed_) commit_sysctls();
  commit_ipv6();
  sysctls_changed_ = false;
  if (ruleset_changed_) commit_ruleset();
  ruleset_changed_ = false;
  commit_devices();
  if (std::exchange(obstacles_changed_, false)) {
    std::vector<Net::Obstacle> all;
    for (const XfrmPolicy& p : xfrm_) {
      if (p.ipv4) all.push_back({Stage::ip_route_output_flow, "xfrm-policy", p.text});
      if (p.ipv6) all.push_back({Stage::ip6_dst_lookup_flow, "xfrm-policy", p.text});
    }
    for (const PathObstacle& o : path_obstacles_) all.push_back({o.stage, o.kind, o.text});
    net_.set_obstacles(std::move(all));
  }
  net_.retired.flush();
}

void Mirror::commit_devices() {
  for (auto& [ifindex, device] : devices_) {
    device.filters_changed |= device.qdiscs_changed;  // clsact is one of them
    if (std::exchange(device.qdiscs_changed, false))
      net_.dev->set_qdiscs(ifindex, device.qdiscs, device.classes, device.qdisc_filters);
    if (std::exchange(device.filters_changed, false)) {
      const auto clsact = std::ranges::find(device.qdiscs, "clsact", &QdiscSpec::kind);
      net_.dev->set_clsact(ifindex, clsact != device.qdiscs.end() ? &*clsact : nullptr,
                           device.filters);
      std::vector<FilterSpec> all;
      for (const EgressHook& h : device.egress_hooks)
        all.push_back({.ifindex = ifindex, .parent = 0xfffffff3, .kind = h.kind, .text = h.text});
      net_.dev->set_egress_filters(ifindex, std::move(all));
    }
    if (std::exchange(device.mc_changed, false)) {
      std::vector<Ip4> groups;
      for (const std::uint32_t g : device.mc_groups) groups.push_back(Ip4{g});
      net_.dev->set_mc_groups(ifindex, std::move(groups));
    }
  }
}

void Mirror::commit_sysctls() {
  if (net_.sysctl() != sysctls_.net()) net_.set_sysctls(sysctls_.net());
  if (sysctls_.gc() != gc_) {
    gc_ = sysctls_.gc();
    net_.neigh->set_gc(gc_.thresh1, gc_.thresh2, gc_.thresh3);
  }
  if (sysctls_.gc6() != gc6_) {
    gc6_ = sysctls_.gc6();
    net_.neigh6->set_gc(gc6_.thresh1, gc6_.thresh2, gc6_.thresh3);
  }
  for (const NetDevice* dev : net_.dev->all()) {
    const Inet6DevConf conf6 = sysctls_.inet6_conf(dev->name());
    const NeighParms parms6 = sysctls_.neigh6_parms(dev->name());
    if (dev->in6_dev().conf != conf6 || dev->in6_dev().nd_parms != parms6)
      net_.dev->change_inet6(dev->ifindex, [&](Inet6Dev& in) {
        in.conf = conf6;
        in.nd_parms = parms6;
      });
    const InDevConf conf = sysctls_.in_dev_conf(dev->name());
    const NeighParms parms = sysctls_.neigh_parms(dev->name());
    if (dev->in_dev().conf != conf) net_.dev->set_in_conf(dev->ifindex, conf);
    if (dev->in_dev().arp_parms != parms) net_.dev->set_neigh_parms(dev->ifindex, parms);
  }
}

}  // namespace txp
