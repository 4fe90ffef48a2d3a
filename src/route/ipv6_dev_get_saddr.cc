// SPDX-License-Identifier: Apache-2.0
// ipv6_dev_get_saddr: which of this host's addresses a datagram comes from, by RFC 6724.
//
// Kernel twin: net/ipv6/addrconf.c, ipv6_dev_get_saddr(), ipv6_get_saddr_eval(),
// ipv6_chk_addr_and_flags(); net/ipv6/addrlabel.c, ipv6_addr_label().
// Differs: no l3mdev. The order of the rules, and that of the addresses in a device, are the
// kernel's.
#include <algorithm>
#include <array>

#include "dev/netdevice.h"
#include "net.h"
#include "route/ip6_route.h"
#include "wire/ipv6.h"

namespace txp {
namespace {

constexpr unsigned kPreferTmp = 1;     // IPV6_PREFER_SRC_TMP
constexpr unsigned kPreferPublic = 2;  // IPV6_PREFER_SRC_PUBLIC
constexpr unsigned kPreferCoa = 4;     // IPV6_PREFER_SRC_COA

struct Dst {
  Ip6 addr;
  int ifindex = 0;
  int scope = 0;
  std::uint32_t label = 0;
  unsigned prefs = 0;
};

struct SaddrScore {
  const NetDevice* dev = nullptr;
  const In6Addr* ifa = nullptr;
};

bool orchid(const Ip6& a) { return (a.hi >> 36) == 0x2001001; }  // 2001:10::/28

bool avoided(const Net& net, const SaddrScore& c) {
  std::uint32_t avoid = kIfaDeprecated;
  const Inet6DevConf& conf = c.dev->in6_dev().conf;
  if (!conf.use_optimistic && !net.sysctl().use_optimistic) avoid |= kIfaOptimistic;
  const Ip6Type t = c.ifa->local.type();
  const bool preferred =
      t.is(kIpv6AddrMapped) || t.is(kIpv6AddrCompatv4) || t.is(kIpv6AddrLoopback);
  return !preferred && (c.ifa->flags & avoid) != 0;
}

// ipv6_get_saddr_eval(): how well a candidate does by one rule; more is better.
constexpr int kRules = 11;
constexpr int kScopeRule = 1;
int eval(Net& net, const SaddrScore& c, const Dst& dst, int rule) {
  const In6Addr& ifa = *c.ifa;
  const Ip6Type t = ifa.local.type();
  switch (rule) {
    case 0: return ifa.local == dst.addr ? 1 : 0;
    case kScopeRule: return t.scope >= dst.scope ? -t.scope : t.scope - 128;
    case 2: return avoided(net, c) ? 0 : 1;
    case 3: {
      const bool home = (ifa.flags & kIfaHomeaddress) != 0;
      return home == ((dst.prefs & kPreferCoa) == 0) ? 1 : 0;
    }
    case 4: return dst.ifindex == 0 || dst.ifindex == c.dev->ifindex ? 1 : 0;
    case 5: return ipv6_addr_label(net, ifa.local, c.dev->ifindex) == dst.label ? 1 : 0;
    case 6: {
      const bool told = (dst.prefs & (kPreferPublic | kPreferTmp)) != 0;
      const bool prefer_tmp =
          told ? (dst.prefs & kPreferTmp) != 0 : c.dev->in6_dev().conf.use_tempaddr >= 2;
      return ((ifa.flags & kIfaTemporary) != 0) == prefer_tmp ? 1 : 0;
    }
    case 7: return orchid(ifa.local) == orchid(dst.addr) ? 1 : 0;
    case 8: return std::min<int>(ip6_common_bits(ifa.local, dst.addr), ifa.prefixlen);
    case 9: return (ifa.flags & kIfaOptimistic) == 0 ? 1 : 0;
    default: return 0;
  }
}

bool is_candidate(const In6Addr& a) {
  if ((a.flags & kIfaTentative) != 0 && (a.flags & kIfaOptimistic) == 0) return false;
  return !a.local.is_any() && !a.local.is_multicast();
}

// __ipv6_dev_get_saddr(): the better of `best` and the device's addresses.
void look_at(Net& net, const NetDevice& dev, const Dst& dst, SaddrScore& best) {
  for (const In6Addr& a : dev.in6_dev().addrs) {
    if (!is_candidate(a)) continue;
    const SaddrScore c{&dev, &a};
    if (best.ifa == nullptr) {
      best = c;
      continue;
    }
    for (int rule = 0; rule < kRules; ++rule) {
      const int mine = eval(net, c, dst, rule);
      const int other = eval(net, best, dst, rule);
      if (mine == other) continue;
      if (mine > other) best = c;
      break;
    }
  }
}

}  // namespace

bool has_in6_dev(const NetDevice& dev) { return dev.mtu() >= kIpv6MinMtu; }

std::uint32_t ipv6_addr_label(Net& net, const Ip6& addr, int ifindex) {
  for (const AddrLabel& l : net.fib6->labels())
    if ((l.ifindex == 0 || l.ifindex == ifindex) && l.prefix.contains(addr)) return l.label;
  return 0xffffffff;
}

std::optional<Ip6> ipv6_dev_get_saddr(Net& net, const NetDevice* dev, const Ip6& daddr,
                                      unsigned prefs) {
  const Ip6Type t = daddr.type();
  Dst dst;
  dst.addr = daddr;
  dst.ifindex = dev != nullptr ? dev->ifindex : 0;
  dst.scope = t.scope;
  dst.label = ipv6_addr_label(net, daddr, dst.ifindex);
  dst.prefs = prefs;
  SaddrScore best;
  const bool only_oif =
      dev != nullptr && (t.is(kIpv6AddrMulticast) || dst.scope <= kIpv6ScopeLinklocal ||
                         dev->in6_dev().conf.use_oif_addrs_only);
  if (only_oif) {
    if (has_in6_dev(*dev)) look_at(net, *dev, dst, best);
  } else {
    for (const NetDevice* d : net.dev->all())
      if (has_in6_dev(*d)) look_at(net, *d, dst, best);
  }
  if (best.ifa == nullptr) return std::nullopt;
  return best.ifa->local;
}

bool ipv6_chk_addr(Net& net, const Ip6& addr, const NetDevice* dev, std::uint32_t banned) {
  for (const NetDevice* d : net.dev->all())
    for (const In6Addr& a : d->in6_dev().addrs) {
      if (a.local != addr) continue;
      const std::uint32_t flags =
          (a.flags & kIfaOptimistic) != 0 ? a.flags & ~kIfaTentative : a.flags;
      if ((flags & banned) != 0) continue;
      const bool of_its_device = addr.is_linklocal() || addr.is_loopback();
      if (dev == nullptr || dev == d || !of_its_device) return true;
    }
  return false;
}

bool ipv6_chk_mcast_addr(const NetDevice& dev, const Ip6& group) {
  const auto& groups = dev.in6_dev().mc_groups;
  return std::ranges::find(groups, group) != groups.end();
}

std::uint8_t ip6_dst_hoplimit(const Net& net, const Rtable& rt) {
  if (rt.hoplimit != 0) return rt.hoplimit;
  return rt.dev != nullptr && has_in6_dev(*rt.dev) ? rt.dev->in6_dev().conf.hop_limit
                                                   : net.sysctl().ip6_hop_limit;
}

}  // namespace txp
