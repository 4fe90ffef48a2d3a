// SPDX-License-Identifier: Apache-2.0
// Which of several next hops. Kernel twins: net/ipv4/fib_semantics.c (fib_select_path(),
// fib_select_multipath(), fib_select_default()), net/ipv4/nexthop.c.
//
// Differs: upper bounds are computed when asked, not kept; where the choice rests on the kernel's
// random seed, every possible choice is tried and the answer stands when all lead the same way.
#include <algorithm>
#include <limits>
#include <optional>

#include "dev/netdevice.h"
#include "neigh/neighbour.h"
#include "net.h"
#include "route/fib_lookup.h"
#include "route/fib_semantics.h"
#include "route/ip_route.h"
#include "route/multipath_hash.h"
#include "route/nexthop_object.h"

namespace txp {
namespace {

constexpr int kMaxHash = std::numeric_limits<std::int32_t>::max();

// DIV_ROUND_CLOSEST_ULL(w << 31, total) - 1.
int upper_bound_of(std::uint64_t w, std::uint64_t total) {
  return static_cast<int>(((w << 31) + total / 2) / total - 1);
}

bool ignored(Net& net, const FibNh& nh) {
  const std::uint8_t flags = nh.flags.load(std::memory_order_relaxed);
  if ((flags & kNhfDead) != 0) return true;
  if ((flags & kNhfLinkdown) == 0) return false;
  const NetDevice* dev = net.dev->by_index(nh.oif);
  return dev != nullptr && dev->in_dev().conf.ignore_routes_with_linkdown;
}

// fib_good_nh(): no neighbour entry counts as good.
bool good_nh(Net& net, const FibNh& nh) {
  if (fib_nh_scope(net, nh) != kScopeLink) return true;
  const NetDevice* dev = net.dev->by_index(nh.oif);
  if (dev == nullptr) return true;
  const Neighbour* n = net.neigh->lookup(*dev, nh.gateway);
  return n == nullptr || nud_valid(n->nud_state.load(std::memory_order_relaxed));
}

// The place in fi->nhs for `hash`.
std::size_t select_multipath(Net& net, const FibInfo& fi, const Flow4& fl4, int hash,
                             std::size_t none) {
  const bool use_neigh = net.sysctl().fib_multipath_use_neigh;
  std::uint64_t total = 0;
  for (const FibNh& nh : fi.hops())
    if (!ignored(net, nh)) total += nh.weight;
  std::uint64_t w = 0;
  int score = -1;
  std::size_t best = none;
  for (std::size_t i = 0; i < fi.nh_count; ++i) {
    const FibNh& nh = fi.nhs[i];
    if (ignored(net, nh)) continue;
    w += nh.weight;
    if (use_neigh && !good_nh(net, nh)) continue;
    int nh_score = 0;
    // A hop whose own address is the one asked for comes before the hash.
    if (!fl4.saddr.is_zero() &&
        inet_select_addr(net, net.dev->by_index(nh.oif), nh.gateway, fi.scope) == fl4.saddr)
      nh_score += 2;
    if (hash <= upper_bound_of(w, total)) ++nh_score;
    if (score < nh_score) {
      best = i;
      if (nh_score == 3 || (fl4.saddr.is_zero() && nh_score == 1)) return best;
      score = nh_score;
    }
  }
  return best;
}

bool same_way(const FibNh& a, const FibNh& b) {
  return a.oif == b.oif && a.gateway == b.gateway && !a.rare && !b.rare;
}

const FibNh& hop_of(const NhObject& nh) { return nh.nh; }

NamedObject route_object(const FibResult& res, std::string_view because) {
  const Prefix4 dst{res.prefix, res.prefixlen};
  return {
      .kind = "route",
      .text = dst.str() + " table " + std::to_string(res.table->id) + ": " + std::string(because)};
}

constexpr std::string_view kSeed =
    "several next hops, and the kernel's random seed chooses (net.ipv4.fib_multipath_hash_seed "
    "would fix it)";

bool refuse(const FibResult& res, std::string_view because, std::optional<NamedObject>* why) {
  if (why != nullptr) *why = route_object(res, because);
  return false;
}

bool select_from_group(Net& net, FibResult& res, const Flow4& fl4,
                       std::optional<NamedObject>* why) {
  const NhObject& group = *res.object;
  if (group.spec.resilient) {
    if (why != nullptr)
      *why = NamedObject{.kind = "nexthop",
                         .text = "id " + std::to_string(group.spec.id) + " type resilient"};
    return false;
  }
  for (const NhMember& m : group.group) {
    const NhObject* o = m.slot->object.get();
    if (o != nullptr && o->nh.gateway_is_v6())
      return refuse(res, "a next hop whose IPv6 neighbour state decides", why);
  }
  const auto choose = [&](int hash) { return nexthop_select_path(net, group, hash); };
  const NhObject* chosen = nullptr;
  if (fib_multipath_seed_known(net)) {
    const Sysctls& s = net.sysctl();
    chosen = choose(fib_multipath_hash(fl4, s.fib_multipath_hash_policy,
                                       s.fib_multipath_hash_fields, fib_multipath_seed(net)));
  } else {
    chosen = choose(0);
    for (const NhMember& m : group.group) {
      if (m.upper_bound == kMaxHash) continue;
      const NhObject* other = choose(m.upper_bound + 1);
      if (chosen == nullptr || other == nullptr || !same_way(hop_of(*chosen), hop_of(*other)))
        return refuse(res, kSeed, why);
    }
  }
  if (chosen == nullptr) return refuse(res, "a next-hop group without members", why);
  res.object_member = chosen;
  res.nh = &chosen->nh;
  return true;
}

bool select_multipath_path(Net& net, FibResult& res, const Flow4& fl4,
                           std::optional<NamedObject>* why) {
  const FibInfo& fi = *res.fi;
  const auto before = static_cast<std::size_t>(res.nh - fi.nhs.get());
  const Sysctls& s = net.sysctl();
  if (s.fib_multipath_use_neigh) {
    for (const FibNh& nh : fi.hops())
      if (nh.gateway_is_v6())
        return refuse(res, "a next hop whose IPv6 neighbour state decides", why);
  }
  if (fib_multipath_seed_known(net)) {
    const int hash = fib_multipath_hash(fl4, s.fib_multipath_hash_policy,
                                        s.fib_multipath_hash_fields, fib_multipath_seed(net));
    res.nh = &fi.nhs[select_multipath(net, fi, fl4, hash, before)];
    return true;
  }
  std::uint64_t total = 0;
  for (const FibNh& nh : fi.hops())
    if (!ignored(net, nh)) total += nh.weight;
  const std::size_t first = select_multipath(net, fi, fl4, 0, before);
  std::uint64_t w = 0;
  for (const FibNh& nh : fi.hops()) {
    if (ignored(net, nh)) continue;
    w += nh.weight;
    const int bound = upper_bound_of(w, total);
    if (bound == kMaxHash) break;
    const std::size_t other = select_multipath(net, fi, fl4, bound + 1, before);
    if (!same_way(fi.nhs[first], fi.nhs[other])) return refuse(res, kSeed, why);
  }
  res.nh = &fi.nhs[first];
  return true;
}

// One candidate of fib_select_default().
struct Candidate {
  const FibInfo* fi;
  const FibNh* nh;
  std::uint32_t alias;
};

const FibNh* first_hop(const FibInfo& fi) {
  if (fi.nh == nullptr) return fi.nh_count != 0 ? &fi.nhs[0] : nullptr;
  const NhObject* o = fi.nh->object.get();
  if (o != nullptr && o->is_group()) o = o->group[0].slot->object.get();
  return o != nullptr ? &o->nh : nullptr;
}

bool all_dead(const FibInfo& fi) {
  if (fi.nh != nullptr || fi.nh_count == 0) return false;
  return std::ranges::all_of(fi.hops(), [](const FibNh& nh) {
    return (nh.flags.load(std::memory_order_relaxed) & kNhfDead) != 0;
  });
}

// fib_detect_death() in a row over the candidates. Answers the order chosen, -1: leave as it is,
// and what becomes of fa_default.
struct Choice {
  int order = -1;
  int fa_default = -1;
};
Choice choose_default(std::span<const Nud> states, int dflt) {
  Choice c;
  if (states.size() <= 1) return c;
  int last_idx = -1;
  for (int order = 0; order < static_cast<int>(states.size()); ++order) {
    const Nud state = states[static_cast<std::size_t>(order)];
    if (state == Nud::reachable || (nud_valid(state) && order != dflt)) return {order, order};
    if (nud_valid(state) || (last_idx < 0 && order > dflt && state != Nud::incomplete))
      last_idx = order;
  }
  return {last_idx, last_idx};
}

}  // namespace

bool fib_select_path(Net& net, FibResult& res, const Flow4& fl4, std::optional<NamedObject>* why) {
  if (fl4.oif != 0) return true;
  if (fib_info_num_path(res) > 1)
    return res.object != nullptr ? select_from_group(net, res, fl4, why)
                                 : select_multipath_path(net, res, fl4, why);
  if (res.prefixlen == 0 && res.type == RouteType::unicast &&
      res.table->num_default.load(std::memory_order_relaxed) > 1) {
    if (!fib_select_default(net, res, fl4))
      return refuse(res, "several equal default routes, and which one served last decides", why);
  }
  return true;
}

bool fib_select_default(Net& net, FibResult& res, const Flow4& fl4) {
  const FibTables::Impl& fib = net.fib->impl();
  const FibTrie& trie = res.table->trie;
  constexpr std::size_t kMost = 32;  // more equal default routes than anybody has
  Candidate candidates[kMost];
  std::size_t count = 0;
  std::uint32_t last_prio = res.fi->priority;
  std::uint8_t last_tos = 0;
  for (std::uint32_t i = trie.node(res.node).alias.load(std::memory_order_acquire);
       i != 0 && count < kMost;) {
    const std::uint32_t at = i;
    const FibAlias& fa = trie.alias(i);
    i = fa.next.load(std::memory_order_acquire);
    const FibInfo& fi = fib.info(fa);
    if (fa.tos != 0 && !fib_dscp_masked_match(fa.tos, fl4)) continue;
    if (fi.priority > last_prio && fa.tos == last_tos) {
      if (last_tos != 0) continue;
      break;
    }
    if (all_dead(fi)) continue;
    last_tos = fa.tos;
    last_prio = fi.priority;
    if (fi.scope != res.scope || fi.type != RouteType::unicast) continue;
    const FibNh* nh = first_hop(fi);
    if (nh == nullptr || !nh->has_gateway() || fib_nh_scope(net, *nh) != kScopeLink) continue;
    if (count == 0 && &fi != res.fi) break;
    candidates[count++] = {&fi, nh, at};
  }
  if (count == 0) return true;
  const auto& memory = trie.alias(candidates[0].alias).fa_default;
  if (count == 1) {
    trie.alias(candidates[0].alias).fa_default.store(-1, std::memory_order_relaxed);
    return true;
  }
  Nud states[kMost];
  for (std::size_t i = 0; i < count; ++i) {
    // A gateway without a neighbour entry is not suspected of anything.
    states[i] = Nud::reachable;
    const NetDevice* dev = net.dev->by_index(candidates[i].nh->oif);
    if (dev == nullptr) continue;
    if (candidates[i].nh->gateway_is_v6()) {
      // Its neighbour is not seen here; no matter when an earlier one is sure to be taken.
      if (std::ranges::none_of(std::span(states, i), [](Nud n) { return n == Nud::reachable; }))
        return false;
      continue;
    }
    if (const Neighbour* n = net.neigh->lookup(*dev, candidates[i].nh->gateway))
      states[i] = n->nud_state.load(std::memory_order_relaxed);
  }
  const std::span<const Nud> seen(states, count);
  const Choice choice = choose_default(seen, memory.load(std::memory_order_relaxed));
  if (net.neigh->owner == NeighOwner::kernel) {
    for (int dflt = -1; dflt < static_cast<int>(count); ++dflt)
      if (choose_default(seen, dflt).order != choice.order) return false;
  }
  trie.alias(candidates[0].alias)
      .fa_default.store(static_cast<std::int8_t>(choice.fa_default), std::memory_order_relaxed);
  if (choice.order >= 0) {
    const Candidate& c = candidates[static_cast<std::size_t>(choice.order)];
    res.fi = c.fi;
    res.nh = c.nh;
    res.alias = c.alias;
    res.object = c.fi->nh != nullptr ? c.fi->nh->object.get() : nullptr;
    res.object_member = nullptr;
  }
  return true;
}

}  // namespace txp
