// SPDX-License-Identifier: Apache-2.0
// The IPv4 side of a device: addresses in the kernel's order, configuration, joined groups.
// Kernel twin: net/ipv4/devinet.c (__inet_insert_ifa(), __inet_del_ifa()).
//
// Differs: makes no routes; the mirror has the kernel's, and code adds its own. An address given
// twice is changed instead of refused.
#include <algorithm>
#include <utility>

#include "dev/netdevice.h"
#include "net.h"

namespace txp {
namespace {

constexpr std::uint32_t kIfaSecondary = 1;  // IFA_F_SECONDARY

// inet_ifa_match() with equal masks.
bool same_subnet(const InAddr& a, const InAddr& b) {
  return a.prefixlen == b.prefixlen && Prefix4{a.peer, a.prefixlen}.contains(b.peer);
}

// __inet_insert_ifa(): a primary goes after the last primary of its scope or a narrower one, a
// secondary to the end.
void insert_ifa(std::vector<InAddr>& list, InAddr ifa) {
  auto last_primary = list.begin();
  for (auto it = list.begin(); it != list.end(); ++it) {
    if (!it->secondary() && ifa.scope <= it->scope) last_primary = it + 1;
    if (same_subnet(*it, ifa)) ifa.flags |= kIfaSecondary;
  }
  list.insert(ifa.secondary() ? list.end() : last_primary, std::move(ifa));
}

}  // namespace

void DevTable::publish_in_dev(NetDevice& dev, const std::function<void(InDevice&)>& change) {
  auto* next = new InDevice(dev.in_dev());
  change(*next);
  net_.retired.retire(dev.in_dev_.set(next));
  net_.generations.changed(Basis::address);
}

void DevTable::set_addr(const InAddr& addr) {
  NetDevice* dev = owned(addr.ifindex);
  if (dev == nullptr || addr.prefixlen > 32) return;
  InAddr ifa = addr;
  if (ifa.peer.is_zero()) ifa.peer = ifa.local;
  publish_in_dev(*dev, [&](InDevice& in) {
    const auto it = std::ranges::find_if(in.addrs, [&](const InAddr& a) {
      return a.local == ifa.local && a.prefixlen == ifa.prefixlen;
    });
    if (it != in.addrs.end()) {
      if (it->scope == ifa.scope && it->peer == ifa.peer && it->secondary() == ifa.secondary()) {
        *it = ifa;
        return;
      }
      in.addrs.erase(it);
    }
    insert_ifa(in.addrs, std::move(ifa));
  });
}

// __inet_del_ifa(): the secondaries of a primary go with it, or the first of them takes its place
// (promote_secondaries).
void DevTable::remove_addr(int ifindex, Ip4 local, std::uint8_t prefixlen) {
  NetDevice* dev = owned(ifindex);
  if (dev == nullptr) return;
  publish_in_dev(*dev, [&](InDevice& in) {
    const auto it = std::ranges::find_if(
        in.addrs, [&](const InAddr& a) { return a.local == local && a.prefixlen == prefixlen; });
    if (it == in.addrs.end()) return;
    const InAddr gone = std::move(*it);
    in.addrs.erase(it);
    if (gone.secondary()) return;
    const auto depends = [&](const InAddr& a) { return a.secondary() && same_subnet(gone, a); };
    if (!in.conf.promote_secondaries) {
      std::erase_if(in.addrs, depends);
      return;
    }
    const auto first = std::ranges::find_if(in.addrs, depends);
    if (first == in.addrs.end()) return;
    // It stands where the deleted primary stood: after the primaries before that.
    InAddr promoted = *first;
    promoted.flags &= ~kIfaSecondary;
    in.addrs.erase(first);
    auto place = in.addrs.begin();
    for (auto a = in.addrs.begin(); a != in.addrs.end(); ++a)
      if (!a->secondary() && promoted.scope <= a->scope) place = a + 1;
    in.addrs.insert(place, std::move(promoted));
  });
}

void DevTable::set_in_conf(int ifindex, const InDevConf& conf) {
  if (NetDevice* dev = owned(ifindex)) publish_in_dev(*dev, [&](InDevice& in) { in.conf = conf; });
}

void DevTable::set_neigh_parms(int ifindex, const NeighParms& parms) {
  if (NetDevice* dev = owned(ifindex))
    publish_in_dev(*dev, [&](InDevice& in) { in.arp_parms = parms; });
}

void DevTable::set_mc_groups(int ifindex, std::vector<Ip4> groups) {
  if (NetDevice* dev = owned(ifindex))
    publish_in_dev(*dev, [&](InDevice& in) { in.mc_groups = std::move(groups); });
}

void DevTable::set_mc_filter(int ifindex, McFilter filter) {
  NetDevice* dev = owned(ifindex);
  if (dev == nullptr) return;
  publish_in_dev(*dev, [&](InDevice& in) {
    std::erase_if(in.mc_filters,
                  [&](const McFilter& f) { return f.sk == filter.sk && f.group == filter.group; });
    if (filter.include || !filter.sources.empty()) in.mc_filters.push_back(std::move(filter));
  });
}

void DevTable::set_egress_filters(int ifindex, std::vector<FilterSpec> filters) {
  NetDevice* dev = owned(ifindex);
  if (dev == nullptr) return;
  auto* next = filters.empty() ? nullptr : new std::vector<FilterSpec>(std::move(filters));
  net_.retired.retire(dev->egress_filters.set(next));
  net_.generations.changed(Basis::filter);
}

}  // namespace txp
