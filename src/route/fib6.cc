// SPDX-License-Identifier: Apache-2.0
#include "route/fib6.h"

#include <algorithm>
#include <map>
#include <utility>

#include "dev/netdevice.h"
#include "net.h"

namespace txp {
namespace {

// ip6addrlbl_init_table[].
std::vector<AddrLabel> default_labels() {
  const auto entry = [](const char* addr, std::uint8_t len, std::uint32_t label) {
    return AddrLabel{{*Ip6::parse(addr), len}, 0, label};
  };
  return {entry("::1", 128, 0),    entry("::ffff:0:0", 96, 4), entry("::", 96, 3),
          entry("2001::", 32, 6),  entry("2001:10::", 28, 7),  entry("2002::", 16, 2),
          entry("3ffe::", 16, 12), entry("fec0::", 10, 11),    entry("fc00::", 7, 5),
          entry("::", 0, 1)};
}

// rt6_multipath_rebalance(), rt6_upper_bound_set().
std::vector<int> upper_bounds(Net& net, const Route6& r) {
  const auto dead = [&net](const NextHop6& nh) {
    if ((nh.flags & kNhfDead) != 0) return true;
    if ((nh.flags & kNhfLinkdown) == 0) return false;
    const NetDevice* dev = net.dev->by_index(nh.oif);
    return dev != nullptr && dev->in6_dev().conf.ignore_routes_with_linkdown;
  };
  std::uint64_t total = 0;
  for (const NextHop6& nh : r.nexthops)
    if (!dead(nh)) total += nh.weight;
  std::uint64_t w = 0;
  std::vector<int> bounds;
  for (const NextHop6& nh : r.nexthops) {
    if (dead(nh) || total == 0) {
      bounds.push_back(-1);
      continue;
    }
    w += nh.weight;
    bounds.push_back(static_cast<int>(((w << 31) + total / 2) / total - 1));
  }
  return bounds;
}

}  // namespace

struct Fib6Tables::Tables {
  std::vector<Route6> routes;
  std::map<std::uint32_t, Fib6Table> by_id;
};

Fib6Tables::Fib6Tables(Net& net)
    : net_(net), tables_(new Tables), labels_(new std::vector<AddrLabel>(default_labels())) {}

Fib6Tables::~Fib6Tables() {
  delete tables_.set(nullptr);
  delete labels_.set(nullptr);
}

void Fib6Tables::publish(std::vector<Route6> routes) {
  auto* next = new Tables;
  next->routes = std::move(routes);
  std::map<std::uint32_t, std::map<std::uint8_t, std::map<Ip6, std::vector<Fib6Info>>>> gathered;
  for (const Route6& r : next->routes) {
    std::vector<Fib6Info>& leaf = gathered[r.table][r.dst.len][r.dst.addr];
    const auto after = std::ranges::upper_bound(leaf, r.priority, {},
                                                [](const Fib6Info& i) { return i.route.priority; });
    leaf.insert(after, {r, upper_bounds(net_, r)});
  }
  for (auto& [id, levels] : gathered) {
    Fib6Table& table = next->by_id[id];
    table.id = id;
    for (auto level = levels.rbegin(); level != levels.rend(); ++level) {
      Fib6Table::Level& to = table.levels.emplace_back();
      to.len = level->first;
      for (auto& [addr, leaf] : level->second) to.nodes.push_back({addr, std::move(leaf)});
    }
  }
  net_.retired.retire(tables_.set(next));
  net_.generations.changed(Basis::route);
}

void Fib6Tables::set_all(std::vector<Route6> routes) {
  if (tables_->routes != routes) publish(std::move(routes));
}

void Fib6Tables::add(const Route6& route) {
  std::vector<Route6> routes = tables_->routes;
  routes.push_back(route);
  publish(std::move(routes));
}

bool Fib6Tables::remove(const Route6& route) {
  std::vector<Route6> routes = tables_->routes;
  const auto it = std::ranges::find(routes, route);
  if (it == routes.end()) return false;
  routes.erase(it);
  publish(std::move(routes));
  return true;
}

std::vector<Route6> Fib6Tables::all() const { return tables_->routes; }

const Fib6Table* Fib6Tables::get_table(std::uint32_t id) const {
  const auto it = tables_->by_id.find(id);
  return it == tables_->by_id.end() ? nullptr : &it->second;
}

void Fib6Tables::set_exception(const RouteException6& e) {
  const std::lock_guard guard(exceptions_mutex_);
  std::erase_if(exceptions_, [&](const RouteException6& o) {
    return o.daddr == e.daddr && o.gateway == e.gateway && o.oif == e.oif;
  });
  constexpr std::size_t kMost = 4096;
  if (exceptions_.size() == kMost) exceptions_.erase(exceptions_.begin());
  exceptions_.push_back(e);
  net_.generations.changed(Basis::exception);
}

void Fib6Tables::set_exceptions(std::vector<RouteException6> all) {
  const std::lock_guard guard(exceptions_mutex_);
  if (exceptions_.empty() && all.empty()) return;
  exceptions_ = std::move(all);
  net_.generations.changed(Basis::exception);
}

bool Fib6Tables::find_exception(const Ip6& daddr, const Ip6& gateway, int oif,
                                RouteException6& found) const {
  const std::lock_guard guard(exceptions_mutex_);
  for (const RouteException6& e : exceptions_) {
    if (e.daddr != daddr || e.oif != oif || e.gateway != gateway) continue;
    if (e.expires != 0 && net_.clock.now() >= e.expires) continue;
    found = e;
    return true;
  }
  return false;
}

void Fib6Tables::set_labels(std::vector<AddrLabel> labels) {
  std::ranges::stable_sort(labels, std::greater{}, [](const AddrLabel& l) { return l.prefix.len; });
  if (*labels_ == labels) return;
  net_.retired.retire(labels_.set(new std::vector<AddrLabel>(std::move(labels))));
  net_.generations.changed(Basis::address);
}

}  // namespace txp
