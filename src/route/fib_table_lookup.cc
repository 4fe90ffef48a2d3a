// SPDX-License-Identifier: Apache-2.0
// Kernel twin: net/ipv4/fib_trie.c (fib_table_lookup()).
#include <algorithm>
#include <array>
#include <cerrno>

#include "dev/netdevice.h"
#include "net.h"
#include "route/fib_lookup.h"
#include "route/nexthop_object.h"
#include "route/table_lookup.h"

namespace txp {
namespace {

// fib_props[].error, positive.
int type_error(RouteType type) {
  switch (type) {
    case RouteType::blackhole:
    case RouteType::nat:
    case RouteType::xresolve: return EINVAL;
    case RouteType::unreachable: return EHOSTUNREACH;
    case RouteType::prohibit: return EACCES;
    case RouteType::throw_: return EAGAIN;
    default: return 0;
  }
}

}  // namespace

bool fib_lookup_good_nhc(Net& net, const FibNh& nh, const Flow4& fl4) {
  const std::uint8_t flags = nh.flags.load(std::memory_order_relaxed);
  if ((flags & kNhfDead) != 0) return false;
  if ((flags & kNhfLinkdown) != 0) {
    const NetDevice* dev = net.dev->by_index(nh.oif);
    if (dev != nullptr && dev->in_dev().conf.ignore_routes_with_linkdown) return false;
  }
  return fl4.oif == 0 || fl4.oif == nh.oif;
}

int fib_leaf_lookup(Net& net, const FibTable& table, std::uint32_t node_index, const Flow4& fl4,
                    FibResult& res) {
  const FibTables::Impl& fib = net.fib->impl();
  const TrieNode& node = table.trie.node(node_index);
  for (std::uint32_t i = node.alias.load(std::memory_order_acquire); i != 0;) {
    const FibAlias& fa = table.trie.alias(i);
    const std::uint32_t index = i;
    i = fa.next.load(std::memory_order_acquire);
    if (fa.tos != 0 && !fib_dscp_masked_match(fa.tos, fl4)) continue;
    const FibInfo& fi = fib.info(fa);
    if (fi.dead.load(std::memory_order_relaxed) || fi.scope < fl4.scope) continue;

    const auto found = [&](const FibNh* nh, const NhObject* object, const NhObject* member) {
      res.table = &table;
      res.fi = &fi;
      res.nh = nh;
      res.object = object;
      res.object_member = member;
      res.node = node_index;
      res.alias = index;
      res.prefix = Ip4{node.key};
      res.prefixlen = node.plen;
      res.type = fi.type;
      res.scope = fi.scope;
    };
    if (const int error = type_error(fi.type); error != 0) {
      found(nullptr, nullptr, nullptr);
      return error;
    }
    if (fi.nh != nullptr) {
      const NhObject* object = fi.nh->object.get();
      if (object == nullptr) continue;
      if (nexthop_is_blackhole(*object)) {
        found(nullptr, object, nullptr);
        return EINVAL;
      }
      const NhObject* member = nullptr;
      if (const FibNh* nh = nexthop_get_nhc_lookup(net, *object, fl4, &member)) {
        found(nh, object, member);
        return 0;
      }
      continue;
    }
    for (const FibNh& nh : fi.hops()) {
      if (!fib_lookup_good_nhc(net, nh, fl4)) continue;
      found(&nh, nullptr, nullptr);
      return 0;
    }
  }
  return EAGAIN;
}

int fib_table_lookup(Net& net, const FibTable& table, const Flow4& fl4, FibResult& res) {
  res.type = RouteType::unspec;
  TrieMatches m;
  table.trie.match(fl4.daddr, m);
  for (;;) {
    while (m.count != 0) {
      const int error = fib_leaf_lookup(net, table, m.node[--m.count], fl4, res);
      // A throw route ends the search in this table.
      if (error != EAGAIN || res.type == RouteType::throw_) return error;
    }
    if (m.from == 0) return EAGAIN;
    table.trie.match_rest(fl4.daddr, m);
  }
}

int fib_merged_lookup(Net& net, const FibTable* local, const FibTable* main, const Flow4& fl4,
                      FibResult& res) {
  if (local == nullptr || main == nullptr) {
    const FibTable* only = local != nullptr ? local : main;
    return only != nullptr ? fib_table_lookup(net, *only, fl4, res) : EAGAIN;
  }
  res.type = RouteType::unspec;
  TrieMatches l, m;
  local->trie.match(fl4.daddr, l);
  main->trie.match(fl4.daddr, m);
  for (;;) {
    if (l.count == 0 && l.from != 0) local->trie.match_rest(fl4.daddr, l);
    if (m.count == 0 && m.from != 0) main->trie.match_rest(fl4.daddr, m);
    if (l.count + m.count == 0) return EAGAIN;
    bool from_local = l.count != 0;
    if (l.count != 0 && m.count != 0)
      from_local =
          local->trie.node(l.node[l.count - 1]).plen >= main->trie.node(m.node[m.count - 1]).plen;
    const FibTable& table = from_local ? *local : *main;
    TrieMatches& from = from_local ? l : m;
    const int error = fib_leaf_lookup(net, table, from.node[--from.count], fl4, res);
    if (error != EAGAIN || res.type == RouteType::throw_) return error;
  }
}

}  // namespace txp
