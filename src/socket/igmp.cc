// SPDX-License-Identifier: Apache-2.0
// Multicast groups of a socket.
//
// Kernel twin: net/ipv4/igmp.c, ip_mc_join_group(), ip_mc_leave_group(), ip_mc_drop_socket(),
// ip_mc_find_dev(), ip_mc_source().
// Differs: no IGMP reports.
#include <netinet/in.h>

#include <algorithm>

#include "base/rcu.h"
#include "dev/netdevice.h"
#include "net.h"
#include "route/ip_route.h"
#include "socket/sockopt.h"

namespace txp {
namespace {

// By index, by address, or where the group's route goes.
const NetDevice* ip_mc_find_dev(Net& net, const Sock::Membership& m) {
  if (m.ifindex != 0) return net.dev->by_index(m.ifindex);
  if (!m.address.is_zero()) return ip_dev_find(net, m.address);
  Flow4 fl4;
  fl4.daddr = m.group;
  const auto rt = ip_route_output_flow(net, fl4, nullptr);
  return rt ? rt->dev : nullptr;
}

// ip_mc_add_src(), ip_mc_del_src(): the device hears of the socket's filter.
void filter_device(const Sock& sk, const Sock::Membership& m) {
  sk.net.dev->set_mc_filter(m.ifindex, {&sk, m.group, m.include, m.sources});
}

// ip_mc_dec_group(): the device may be gone.
void leave(const Sock& sk, int ifindex, Ip4 group) {
  Net& net = sk.net;
  const NetDevice* dev = net.dev->by_index(ifindex);
  if (dev == nullptr) return;
  net.dev->set_mc_filter(ifindex, {.sk = &sk, .group = group});
  std::vector<Ip4> groups = dev->in_dev().mc_groups;
  if (const auto at = std::ranges::find(groups, group); at != groups.end()) groups.erase(at);
  net.dev->set_mc_groups(ifindex, std::move(groups));
}

}  // namespace

SockResult<void> ip_mc_join_group(Sock& sk, const Sock::Membership& m) {
  if (!m.group.is_multicast()) return err(EINVAL);
  const std::lock_guard guard(sk.net.rtnl);
  const RcuReader reader;
  const NetDevice* dev = ip_mc_find_dev(sk.net, m);
  if (dev == nullptr) return err(ENODEV);
  {
    const std::lock_guard receivers(sk.rx_lock);  // udp_table.cc reads them
    for (const Sock::Membership& mine : sk.memberships)
      if (mine.group == m.group && mine.ifindex == dev->ifindex) return err(EADDRINUSE);
    if (sk.memberships.size() >= static_cast<std::size_t>(sk.net.sysctl().igmp_max_memberships))
      return err(ENOBUFS);
    sk.memberships.push_back({m.group, m.address, dev->ifindex, m.include});
  }
  std::vector<Ip4> groups = dev->in_dev().mc_groups;
  groups.push_back(m.group);
  sk.net.dev->set_mc_groups(dev->ifindex, std::move(groups));
  return {};
}

SockResult<void> ip_mc_leave_group(Sock& sk, const Sock::Membership& m) {
  const std::lock_guard guard(sk.net.rtnl);
  const RcuReader reader;
  const NetDevice* dev = ip_mc_find_dev(sk.net, m);
  if (m.ifindex == 0 && m.address.is_zero() && dev == nullptr) return err(ENODEV);
  const int wanted = dev != nullptr ? dev->ifindex : m.ifindex;
  int ifindex = 0;
  {
    const std::lock_guard receivers(sk.rx_lock);
    const auto mine = std::ranges::find_if(sk.memberships, [&](const Sock::Membership& x) {
      if (x.group != m.group) return false;
      if (wanted != 0) return x.ifindex == wanted;
      return m.address.is_zero() || x.address == m.address;
    });
    if (mine == sk.memberships.end()) return err(EADDRNOTAVAIL);
    ifindex = mine->ifindex;
    sk.memberships.erase(mine);
  }
  leave(sk, ifindex, m.group);
  return {};
}

void ip_mc_drop_socket(Sock& sk) {
  if (sk.memberships.empty()) return;
  const std::lock_guard guard(sk.net.rtnl);
  const RcuReader reader;
  std::vector<Sock::Membership> all;
  {
    const std::lock_guard receivers(sk.rx_lock);
    all.swap(sk.memberships);
  }
  for (const Sock::Membership& m : all) leave(sk, m.ifindex, m.group);
}

SockResult<void> ip_mc_source(Sock& sk, Sock::Membership m, Ip4 source, bool include, bool add,
                              bool join) {
  if (join) {  // ip_mc_join_group_ssm()
    m.include = true;
    if (auto joined = ip_mc_join_group(sk, m); !joined && joined.error().code != EADDRINUSE)
      return joined;
  }
  if (!m.group.is_multicast()) return err(EINVAL);
  {
    const std::lock_guard guard(sk.net.rtnl);
    const RcuReader reader;
    const NetDevice* dev = ip_mc_find_dev(sk.net, m);
    if (dev == nullptr) return err(ENODEV);
    m.ifindex = dev->ifindex;
    const std::lock_guard receivers(sk.rx_lock);
    const auto mine = std::ranges::find_if(sk.memberships, [&m](const Sock::Membership& x) {
      return x.group == m.group && x.ifindex == m.ifindex;
    });
    if (mine == sk.memberships.end()) return err(EINVAL);
    if (mine->include != include) {
      if (!mine->sources.empty()) return err(EINVAL);
      mine->include = include;
      filter_device(sk, *mine);
    }
    std::vector<Ip4>& sources = mine->sources;
    const auto at = std::ranges::find(sources, source);
    if (add) {
      if (sources.size() >= static_cast<std::size_t>(sk.net.sysctl().igmp_max_msf))
        return err(ENOBUFS);
      if (at != sources.end()) return err(EADDRNOTAVAIL);
      sources.push_back(source);
      filter_device(sk, *mine);
      return {};
    }
    if (at == sources.end()) return err(EADDRNOTAVAIL);
    if (sources.size() > 1 || !include) {
      sources.erase(at);
      filter_device(sk, *mine);
      return {};
    }
  }
  return ip_mc_leave_group(sk, m);  // to hear nobody is to leave
}

}  // namespace txp
