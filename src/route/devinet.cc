// SPDX-License-Identifier: Apache-2.0
// Questions about our own addresses. Kernel twins: net/ipv4/devinet.c (inet_select_addr(),
// __ip_dev_find()), net/ipv4/fib_frontend.c (inet_addr_type()), net/ipv4/igmp.c
// (ip_check_mc_rcu()).
#include <algorithm>

#include "dev/netdevice.h"
#include "net.h"
#include "route/fib_lookup.h"
#include "route/ip_route.h"
#include "route/output.h"
#include "route/table_lookup.h"

namespace txp {
namespace {

// in_dev_select_addr().
Ip4 in_dev_select_addr(const InDevice& in_dev, std::uint8_t scope) {
  for (const InAddr& a : in_dev.addrs)
    if (!a.secondary() && a.scope != kScopeLink && a.scope <= scope) return a.local;
  return {};
}

bool ifa_match(const InAddr& a, Ip4 addr) { return Prefix4{a.peer, a.prefixlen}.contains(addr); }

int lookup_local(Net& net, Ip4 addr, FibResult& res) {
  const FibTables::Impl& fib = net.fib->impl();
  const FibTable* local = fib.get_table(kTableLocal);
  if (local == nullptr) return EAGAIN;
  Flow4 fl4;
  fl4.daddr = addr;
  return net.rules->custom() ? fib_table_lookup(net, *local, fl4, res)
                             : fib_merged_lookup(net, local, fib.get_table(kTableMain), fl4, res);
}

bool owns(const NetDevice& dev, Ip4 addr) {
  return std::ranges::any_of(dev.in_dev().addrs,
                             [addr](const InAddr& a) { return a.local == addr; });
}

}  // namespace

bool has_in_dev(const NetDevice& dev) {
  constexpr std::uint32_t kIpv4MinMtu = 68;
  return dev.mtu() >= kIpv4MinMtu;
}

RouteType inet_dev_addr_type(Net& net, const NetDevice* dev, Ip4 addr) {
  if (addr.is_zero() || addr.is_lbcast()) return RouteType::broadcast;
  if (addr.is_multicast()) return RouteType::multicast;
  FibResult res;
  if (lookup_local(net, addr, res) != 0) return RouteType::unicast;
  const FibNh* nh = fib_info_nhc(res, 0);
  if (dev != nullptr && (nh == nullptr || nh->oif != dev->ifindex)) return RouteType::unicast;
  return res.type;
}

RouteType inet_addr_type(Net& net, Ip4 addr) { return inet_dev_addr_type(net, nullptr, addr); }

Ip4 inet_select_addr(Net& net, const NetDevice* dev, Ip4 dst, std::uint8_t scope) {
  if (dev != nullptr && has_in_dev(*dev)) {
    const InDevice& in_dev = dev->in_dev();
    // With route_localnet an address of scope host may be used on the link.
    const std::uint8_t localnet = in_dev.conf.route_localnet ? kScopeLink : kScopeHost;
    Ip4 addr;
    for (const InAddr& a : in_dev.addrs) {
      if (a.secondary() || std::min(a.scope, localnet) > scope) continue;
      if (dst.is_zero() || ifa_match(a, dst)) return a.local;
      if (addr.is_zero()) addr = a.local;
    }
    if (!addr.is_zero()) return addr;
  }
  for (const NetDevice* d : net.dev->all()) {
    if (!has_in_dev(*d)) continue;
    if (const Ip4 addr = in_dev_select_addr(d->in_dev(), scope); !addr.is_zero()) return addr;
  }
  return {};
}

NetDevice* ip_dev_find(Net& net, Ip4 addr) {
  // The local table knows our addresses without a walk over the devices. Of two devices with the
  // same address the kernel finds the one that got it last.
  const FibTables::Impl& fib = net.fib->impl();
  if (const FibTable* local = fib.get_table(kTableLocal)) {
    NetDevice* last = nullptr;
    const std::uint32_t node = local->trie.find({addr, 32});
    for (std::uint32_t i = node != 0 ? local->trie.node(node).alias.load(std::memory_order_acquire)
                                     : 0;
         i != 0;) {
      const FibAlias& fa = local->trie.alias(i);
      i = fa.next.load(std::memory_order_acquire);
      const FibInfo& fi = fib.info(fa);
      if (fi.type != RouteType::local || fi.nh_count == 0) continue;
      NetDevice* dev = net.dev->by_index(fi.nhs[0].oif);
      if (dev != nullptr && owns(*dev, addr)) last = dev;
    }
    if (last != nullptr) return last;
  }
  for (NetDevice* dev : net.dev->all())
    if (owns(*dev, addr)) return dev;
  // So that a whole local subnet (127/8) is ours.
  FibResult res;
  if (lookup_local(net, addr, res) != 0 || res.type != RouteType::local) return nullptr;
  return net.dev->by_index(res.nh->oif);
}

bool ip_check_mc(const NetDevice& dev, Ip4 group, Ip4 source) {
  const InDevice& in_dev = dev.in_dev();
  const auto members = std::ranges::count(in_dev.mc_groups, group);
  if (members == 0 || source.is_zero() || in_dev.mc_filters.empty()) [[likely]]
    return members != 0;
  std::ptrdiff_t filtered = 0;
  for (const McFilter& f : in_dev.mc_filters) {
    if (f.group != group) continue;
    ++filtered;
    if ((std::ranges::find(f.sources, source) != f.sources.end()) == f.include) return true;
  }
  return filtered < members;  // somebody hears everybody
}

}  // namespace txp
