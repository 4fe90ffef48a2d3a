// SPDX-License-Identifier: Apache-2.0
// setsockopt and getsockopt at IPPROTO_IP.
//
// Kernel twin: net/ipv4/ip_sockglue.c, do_ip_setsockopt(), do_ip_getsockopt(); net/ipv4/igmp.c,
// ip_mc_join_group(), ip_mc_drop_socket(), without the IGMP reports.
// Differs: IP_OPTIONS is unknown; options that only concern receiving are taken without effect.
#include <netinet/in.h>

#include <algorithm>
#include <cstring>

#include "base/byteorder.h"
#include "base/rcu.h"
#include "dev/netdevice.h"
#include "net.h"
#include "route/ip_route.h"
#include "socket/sockopt.h"

#ifndef IP_LOCAL_PORT_RANGE
#define IP_LOCAL_PORT_RANGE 51
#endif

namespace txp {
namespace {

// The kernel reads an int where there are four bytes, else one byte, else 0.
int read_int(std::span<const std::uint8_t> value) {
  int val = 0;
  if (value.size() >= sizeof val)
    std::memcpy(&val, value.data(), sizeof val);
  else if (!value.empty())
    val = value[0];
  return val;
}

struct Mreqn {
  Ip4 multiaddr;
  Ip4 address;
  int ifindex = 0;
};

// The three forms that IP_MULTICAST_IF and memberships take: ip_mreqn, ip_mreq, in_addr.
SockResult<Mreqn> read_mreqn(std::span<const std::uint8_t> value, bool bare_address) {
  Mreqn m;
  if (value.size() >= sizeof(ip_mreqn)) {
    m = {Ip4{load_be32(value.data())}, Ip4{load_be32(value.data() + 4)}, 0};
    std::memcpy(&m.ifindex, value.data() + 8, sizeof m.ifindex);
  } else if (value.size() >= sizeof(ip_mreq)) {
    m = {Ip4{load_be32(value.data())}, Ip4{load_be32(value.data() + 4)}, 0};
  } else if (bare_address && value.size() >= sizeof(in_addr)) {
    m.address = Ip4{load_be32(value.data())};
  } else {
    return err(EINVAL);
  }
  return m;
}

SockResult<void> set_multicast_if(Sock& sk, std::span<const std::uint8_t> value) {
  auto m = read_mreqn(value, true);
  if (!m) return std::unexpected(m.error());
  const RcuReader reader;
  if (m->ifindex == 0 && m->address.is_zero()) {
    sk.mc_index = 0;
    sk.mc_addr = Ip4{};
    return {};
  }
  const NetDevice* dev =
      m->ifindex == 0 ? ip_dev_find(sk.net, m->address) : sk.net.dev->by_index(m->ifindex);
  if (dev == nullptr) return err(EADDRNOTAVAIL);
  if (sk.bound_dev_if != 0 && dev->ifindex != sk.bound_dev_if) return err(EINVAL);
  sk.mc_index = dev->ifindex;
  sk.mc_addr = m->address;
  return {};
}

SockResult<void> set_unicast_if(Sock& sk, std::span<const std::uint8_t> value) {
  if (value.size() != sizeof(int)) return err(EINVAL);
  const int ifindex = static_cast<int>(load_be32(value.data()));
  if (ifindex == 0) {
    sk.uc_index = 0;
    return {};
  }
  const RcuReader reader;
  if (sk.net.dev->by_index(ifindex) == nullptr) return err(EADDRNOTAVAIL);
  if (sk.bound_dev_if != 0 && ifindex != sk.bound_dev_if) return err(EINVAL);
  sk.uc_index = ifindex;
  return {};
}

// ip_mc_find_dev(): by index, by address, or where the group's route goes.
NetDevice* find_mc_dev(Net& net, const Mreqn& m) {
  if (m.ifindex != 0) return net.dev->by_index(m.ifindex);
  if (!m.address.is_zero()) return ip_dev_find(net, m.address);
  Flow4 fl4;
  fl4.daddr = m.multiaddr;
  auto rt = ip_route_output_flow(net, fl4, nullptr);
  return rt ? rt->dev : nullptr;
}

SockResult<void> membership(Sock& sk, std::span<const std::uint8_t> value, bool join) {
  auto m = read_mreqn(value, false);
  if (!m) return std::unexpected(m.error());
  if (!m->multiaddr.is_multicast()) return err(EINVAL);
  const std::lock_guard guard(sk.net.rtnl);
  const RcuReader reader;
  const NetDevice* dev = find_mc_dev(sk.net, *m);
  if (dev == nullptr) return err(ENODEV);
  std::vector<Ip4> groups = dev->in_dev().mc_groups;
  const std::lock_guard receivers(sk.rx_lock);  // udp_table.cc reads them
  const auto mine = std::ranges::find(sk.memberships, std::pair(dev->ifindex, m->multiaddr));
  if (join) {
    if (mine != sk.memberships.end()) return err(EADDRINUSE);
    sk.memberships.emplace_back(dev->ifindex, m->multiaddr);
    groups.push_back(m->multiaddr);
  } else {
    if (mine == sk.memberships.end()) return err(EADDRNOTAVAIL);
    sk.memberships.erase(mine);
    if (const auto at = std::ranges::find(groups, m->multiaddr); at != groups.end())
      groups.erase(at);
  }
  sk.net.dev->set_mc_groups(dev->ifindex, std::move(groups));
  return {};
}

}  // namespace

void ip_mc_drop_socket(Sock& sk) {
  if (sk.memberships.empty()) return;
  const std::lock_guard guard(sk.net.rtnl);
  const RcuReader reader;
  const std::lock_guard receivers(sk.rx_lock);
  for (const auto& [ifindex, group] : sk.memberships) {
    const NetDevice* dev = sk.net.dev->by_index(ifindex);
    if (dev == nullptr) continue;
    std::vector<Ip4> groups = dev->in_dev().mc_groups;
    if (const auto at = std::ranges::find(groups, group); at != groups.end()) groups.erase(at);
    sk.net.dev->set_mc_groups(ifindex, std::move(groups));
  }
  sk.memberships.clear();
}

namespace {

SockResult<void> set_port_range(Sock& sk, std::span<const std::uint8_t> value) {
  if (value.size() != sizeof(std::uint32_t)) return err(EINVAL);
  const auto range = static_cast<std::uint32_t>(read_int(value));
  const std::uint32_t lo = range & 0xffff;
  const std::uint32_t hi = range >> 16;
  if (lo != 0 && hi != 0 && lo > hi) return err(EINVAL);
  sk.local_port_range = range;
  return {};
}

void set_tos(Sock& sk, int val) {
  sk.tos = static_cast<std::uint8_t>(val);
  sk.priority = rt_tos2priority(sk.tos);
}

}  // namespace

SockResult<void> ip_setsockopt(Sock& sk, int optname, std::span<const std::uint8_t> value) {
  const int val = read_int(value);
  switch (optname) {
    case IP_TOS: set_tos(sk, val); return {};
    case IP_TTL:
      if (value.empty() || (val != -1 && (val < 1 || val > 255))) return err(EINVAL);
      sk.uc_ttl = val;
      return {};
    case IP_MULTICAST_TTL:
      if (value.empty() || val < -1 || val > 255) return err(EINVAL);
      sk.mc_ttl = val == -1 ? 1 : val;
      return {};
    case IP_MULTICAST_LOOP:
      if (value.empty()) return err(EINVAL);
      sk.mc_loop = val != 0;
      return {};
    case IP_MULTICAST_ALL:
      if (value.empty() || (val != 0 && val != 1)) return err(EINVAL);
      sk.mc_all = val != 0;
      return {};
    case IP_MULTICAST_IF: return set_multicast_if(sk, value);
    case IP_UNICAST_IF: return set_unicast_if(sk, value);
    case IP_ADD_MEMBERSHIP: return membership(sk, value, true);
    case IP_DROP_MEMBERSHIP: return membership(sk, value, false);
    case IP_MTU_DISCOVER:
      if (val < IP_PMTUDISC_DONT || val > IP_PMTUDISC_OMIT) return err(EINVAL);
      sk.pmtudisc = static_cast<std::uint8_t>(val);
      return {};
    case IP_RECVERR: sk.recverr = val != 0; return {};
    case IP_FREEBIND:
      if (value.empty()) return err(EINVAL);
      sk.freebind = val != 0;
      return {};
    case IP_TRANSPARENT:
      if (val != 0 && !sk.privileged) return err(EPERM);
      if (value.empty()) return err(EINVAL);
      sk.transparent = val != 0;
      return {};
    case IP_BIND_ADDRESS_NO_PORT: sk.bind_address_no_port = val != 0; return {};
    case IP_LOCAL_PORT_RANGE: return set_port_range(sk, value);
    case IP_PKTINFO:
    case IP_RECVTTL:
    case IP_RECVTOS:
    case IP_RECVOPTS:
    case IP_RETOPTS:
    case IP_RECVORIGDSTADDR:
    case IP_CHECKSUM:
    case IP_RECVFRAGSIZE: return {};
    case IP_OPTIONS:
      if (value.empty()) return {};  // no options, as it already is
      return err(kUnknown);
    case IP_XFRM_POLICY:
    case IP_IPSEC_POLICY: return err(kUnknown);
    default: return err(ENOPROTOOPT);
  }
}

SockResult<int> ip_getsockopt(Sock& sk, int optname) {
  switch (optname) {
    case IP_TOS: return sk.tos;
    case IP_TTL: return sk.uc_ttl == -1 ? sk.net.sysctl().ip_default_ttl : sk.uc_ttl;
    case IP_MULTICAST_TTL: return sk.mc_ttl;
    case IP_MULTICAST_LOOP: return sk.mc_loop;
    case IP_MULTICAST_ALL: return sk.mc_all;
    case IP_MTU_DISCOVER: return sk.pmtudisc;
    case IP_RECVERR: return sk.recverr;
    case IP_FREEBIND: return sk.freebind;
    case IP_TRANSPARENT: return sk.transparent;
    case IP_BIND_ADDRESS_NO_PORT: return sk.bind_address_no_port;
    case IP_LOCAL_PORT_RANGE: return static_cast<int>(sk.local_port_range);
    case IP_UNICAST_IF: return static_cast<int>(htonl(static_cast<std::uint32_t>(sk.uc_index)));
    case IP_MTU: {
      if (!sk.connected) return err(ENOTCONN);
      Flow4 fl4;
      fl4.oif = sk.bound_dev_if;
      fl4.mark = sk.mark;
      fl4.uid = sk.uid;
      fl4.tos = sk.tos & 0xfc;
      fl4.proto = IPPROTO_UDP;
      fl4.saddr = sk.inet_saddr;
      fl4.daddr = sk.inet_daddr;
      fl4.sport = sk.inet_num;
      fl4.dport = sk.inet_dport;
      const RcuReader reader;
      auto rt = ip_route_output_flow(sk.net, fl4, nullptr);
      if (!rt) return err(ENOTCONN);
      return static_cast<int>(rt->mtu);
    }
    default: return err(ENOPROTOOPT);
  }
}

}  // namespace txp
