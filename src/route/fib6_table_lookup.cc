// SPDX-License-Identifier: Apache-2.0
// fib6_table_lookup: the longest prefix with a usable route, by metric, router preference and
// whether the router answers; then one of its next hops.
//
// Kernel twin: net/ipv6/route.c, fib6_table_lookup(), rt6_select(), find_rr_leaf(), find_match(),
// rt6_score_route(), rt6_check_neigh(), fib6_select_path(); net/ipv4/nexthop.c.
// Differs: routers are not probed from here (rt6_probe()); CONFIG_IPV6_ROUTER_PREF is taken as set.
// Unknown: source-specific routes, resilient groups, and a choice that the kernel's random seed
// makes.
#include <algorithm>

#include "dev/netdevice.h"
#include "neigh/neighbour.h"
#include "net.h"
#include "observe/trace.h"
#include "route/fib6.h"
#include "route/multipath_hash.h"
#include "route/nexthop_object.h"

namespace txp {
namespace {

constexpr int kFailHard = -3;   // RT6_NUD_FAIL_HARD
constexpr int kFailProbe = -2;  // RT6_NUD_FAIL_PROBE

bool is_reject(RouteType t) {
  return t == RouteType::blackhole || t == RouteType::unreachable || t == RouteType::prohibit ||
         t == RouteType::throw_;
}

bool unknown_route(NamedObject* why, std::string text) {
  if (why != nullptr) *why = NamedObject{.kind = "route", .text = std::move(text)};
  return false;
}

NextHop6 to_nexthop6(const NexthopSpec& spec) {
  NextHop6 nh;
  nh.oif = spec.nh.oif;
  nh.flags = spec.nh.flags;
  nh.encap = spec.nh.encap;
  if (const auto gw = Ip6::parse(spec.nh.gateway6)) nh.gateway = *gw;
  return nh;
}

// find_match(): whether the hop is better than `mpri`, which it then becomes.
bool find_match(Net& net, const NextHop6& nh, std::uint8_t pref, int oif, int strict, int& mpri) {
  if ((nh.flags & kNhfDead) != 0) return false;
  const NetDevice* dev = net.dev->by_index(nh.oif);
  if ((nh.flags & kNhfLinkdown) != 0 && dev != nullptr &&
      dev->in6_dev().conf.ignore_routes_with_linkdown)
    return false;
  const int m = rt6_score_route(net, nh, pref, oif, strict);
  if (m == kFailHard || m <= mpri) return false;
  mpri = m;
  return true;
}

// The members of a route's next-hop object that there are now.
std::vector<NextHop6> object_hops(Net& net, const Route6& r, bool& blackhole) {
  std::vector<NextHop6> hops;
  blackhole = false;
  const NexthopSpec* spec = net.nexthops->find(r.nhid);
  if (spec == nullptr) return hops;
  if (spec->group.empty()) {
    blackhole = spec->blackhole;
    hops.push_back(to_nexthop6(*spec));
    return hops;
  }
  for (const auto& [id, weight] : spec->group) {
    const NexthopSpec* member = net.nexthops->find(id);
    if (member == nullptr) continue;
    if (spec->group.size() == 1) blackhole = member->blackhole;
    hops.push_back(to_nexthop6(*member));
    hops.back().weight = weight;
  }
  return hops;
}

void take(Fib6Result& res, const Fib6Info& info) {
  res.f6i = &info;
  res.type = info.route.type;
  res.reject = is_reject(info.route.type);
}

// __find_rr_leaf() over the routes of one metric.
void find_in_metric(Net& net, std::span<const Fib6Info> routes, int oif, int strict, int& mpri,
                    Fib6Result& res) {
  for (const Fib6Info& info : routes) {
    const Route6& r = info.route;
    if (r.expires != 0 && net.clock.now() >= r.expires) continue;
    if (r.nhid != 0) {
      bool blackhole = false;
      const std::vector<NextHop6> hops = object_hops(net, r, blackhole);
      if (blackhole) {
        take(res, info);
        res.type = RouteType::blackhole;
        res.reject = true;
        res.nh = nullptr;
        return;
      }
      for (const NextHop6& nh : hops) {
        if (!find_match(net, nh, r.pref, oif, strict, mpri)) continue;
        take(res, info);
        res.object = nh;
        res.nh = &res.object;
      }
      continue;
    }
    for (const NextHop6& nh : r.nexthops) {
      if (!find_match(net, nh, r.pref, oif, strict, mpri)) continue;
      take(res, info);
      res.nh = &nh;
    }
    if (!r.nexthops.empty()) continue;
    // A reject route is on lo; `ip` does not name it.
    NextHop6 lo;
    if (const NetDevice* dev = net.dev->loopback()) lo.oif = dev->ifindex;
    if (!find_match(net, lo, r.pref, oif, strict, mpri)) continue;
    take(res, info);
    res.object = lo;
    res.nh = &res.object;
  }
}

// rt6_select() and find_rr_leaf(). The first metric whose routes have one that may serve.
bool rt6_select(Net& net, const Fib6Node& fn, int oif, int strict, Fib6Result& res) {
  std::span<const Fib6Info> rest = fn.leaf;
  int mpri = -1;
  for (bool first = true; !rest.empty() && res.f6i == nullptr; first = false) {
    const std::uint32_t metric = rest.front().route.priority;
    std::size_t n = rest.size();
    if (first)  // the others are asked together
      n = static_cast<std::size_t>(
          std::ranges::find_if(rest,
                               [&](const Fib6Info& i) { return i.route.priority != metric; }) -
          rest.begin());
    find_in_metric(net, rest.first(n), oif, strict, mpri, res);
    rest = rest.subspan(n);
  }
  return res.f6i != nullptr;
}

}  // namespace

int ip6_rt_type_to_error(RouteType type) {
  switch (type) {
    case RouteType::blackhole: return EINVAL;
    case RouteType::unreachable: return EHOSTUNREACH;
    case RouteType::prohibit: return EACCES;
    case RouteType::throw_: return EAGAIN;
    case RouteType::nat:
    case RouteType::xresolve: return EINVAL;
    default: return 0;
  }
}

int rt6_score_route(Net& net, const NextHop6& nh, std::uint8_t pref, int oif, int strict) {
  int m = oif == 0 || nh.oif == oif ? 2 : 0;
  if (m == 0 && (strict & kRt6Iface) != 0) return kFailHard;
  // IPV6_DECODE_PREF(): low 0... the bits as RFC 4191 has them, turned into an order.
  m |= (static_cast<int>(pref) ^ 2) << 2;
  if ((strict & kRt6Reachable) != 0 && !nh.gateway.is_any()) {
    const NetDevice* dev = net.dev->by_index(nh.oif);
    const Neighbour* n = dev != nullptr ? net.neigh6->lookup(*dev, nh.gateway) : nullptr;
    if (n != nullptr) {
      const Nud state = n->nud_state.load(std::memory_order_relaxed);
      if (!nud_valid(state) && state == Nud::failed) return kFailProbe;
    }
  }
  return m;
}

bool fib6_table_lookup(Net& net, const Fib6Table& table, int oif, const Flow6& fl6, int strict,
                       Fib6Result& res, NamedObject* why) {
  for (;;) {
    for (const Fib6Table::Level& level : table.levels) {
      const Ip6 m = ip6_mask(level.len);
      const Ip6 key{fl6.daddr.hi & m.hi, fl6.daddr.lo & m.lo};
      const auto fn = std::ranges::lower_bound(level.nodes, key, {}, &Fib6Node::addr);
      if (fn == level.nodes.end() || fn->addr != key) continue;
      for (const Fib6Info& info : fn->leaf)
        if (info.route.src.len != 0)
          return unknown_route(why, info.route.dst.str() + " from " + info.route.src.str() +
                                        ": a source-specific route");
      if (rt6_select(net, *fn, oif, strict, res)) return true;
    }
    if ((strict & kRt6Reachable) == 0) return true;
    strict &= ~kRt6Reachable;  // then also a router that does not answer
  }
}

bool fib6_select_path(Net& net, Fib6Result& res, Flow6& fl6, int oif, bool have_oif_match,
                      int strict, NamedObject* why) {
  const Route6& r = res.f6i->route;
  std::vector<NextHop6> members;
  bool group = false;
  if (r.nhid != 0) {
    if (have_oif_match && res.nh != nullptr) return true;
    const NexthopSpec* spec = net.nexthops->find(r.nhid);
    if (spec == nullptr || spec->group.size() < 2) return true;
    if (spec->resilient)
      return unknown_route(why, "nexthop id " + std::to_string(r.nhid) + " type resilient");
    bool blackhole = false;
    members = object_hops(net, r, blackhole);
    group = true;
  } else if (r.nexthops.size() < 2 || have_oif_match) {
    return true;
  }
  if (!fib_multipath_seed_known(net))
    return unknown_route(why, r.dst.str() +
                                  ": several next hops, and the kernel's random seed chooses "
                                  "(net.ipv4.fib_multipath_hash_seed would fix it)");
  const Sysctls& s = net.sysctl();
  const int hash = rt6_multipath_hash(fl6, s.ip6_multipath_hash_policy, s.ip6_multipath_hash_fields,
                                      fib_multipath_seed(net));
  if (group) {
    std::uint64_t total = 0;
    std::uint64_t w = 0;
    for (const NextHop6& nh : members) total += nh.weight;
    const NextHop6* chosen = nullptr;
    for (const NextHop6& nh : members) {
      w += nh.weight;
      const NetDevice* dev = net.dev->by_index(nh.oif);
      const Neighbour* n = dev != nullptr ? net.neigh6->lookup(*dev, nh.gateway) : nullptr;
      if (n != nullptr && !nud_valid(n->nud_state.load(std::memory_order_relaxed))) continue;
      const int bound = static_cast<int>(((w << 31) + total / 2) / total - 1);
      if (chosen == nullptr || hash <= bound) chosen = &nh;
      if (hash <= bound) break;
    }
    res.object = chosen != nullptr ? *chosen : members.front();
    res.nh = &res.object;
    return true;
  }
  // The first whose bound holds the hash; one that may not be used leaves the match as it was.
  for (std::size_t i = 0; i < r.nexthops.size(); ++i) {
    if (hash > res.f6i->upper_bound[i]) continue;
    if (rt6_score_route(net, r.nexthops[i], r.pref, oif, strict) >= 0) res.nh = &r.nexthops[i];
    break;
  }
  return true;
}

}  // namespace txp
