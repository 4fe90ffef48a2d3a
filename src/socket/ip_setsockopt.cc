// SPDX-License-Identifier: Apache-2.0
// setsockopt at IPPROTO_IP.
//
// Kernel twin: net/ipv4/ip_sockglue.c, do_ip_setsockopt(); net/ipv4/ipmr.c, ip_mroute_setsockopt().
// Differs: whole source filters (IP_MSFILTER) and IPsec policies are unknown; options that only
// concern receiving are kept and tell what they can (put_cmsg.cc).
#include <netinet/in.h>

#include "base/byteorder.h"
#include "base/rcu.h"
#include "dev/netdevice.h"
#include "ip/ip_options.h"
#include "net.h"
#include "route/ip_route.h"
#include "socket/sockopt.h"
#include "socket/sockopt_names.h"

namespace txp {
namespace {

constexpr int kMrtBase = 200;  // MRT_BASE: multicast routers use raw sockets
constexpr int kMrtMax = 212;

// The kernel reads an int where there are four bytes, else one byte, else 0.
int read_int(OptValue value) {
  if (value.size() >= sizeof(int)) return load<int>(value);
  return value.empty() ? 0 : value[0];
}

// The three forms that IP_MULTICAST_IF and memberships take: ip_mreqn, ip_mreq, in_addr.
SockResult<Sock::Membership> read_mreqn(OptValue value, bool bare_address) {
  if (value.size() >= sizeof(ip_mreqn))
    return Sock::Membership{Ip4{load_be32(value.data())}, Ip4{load_be32(value.data() + 4)},
                            load<int>(value.subspan(8))};
  if (value.size() >= sizeof(ip_mreq))
    return Sock::Membership{Ip4{load_be32(value.data())}, Ip4{load_be32(value.data() + 4)}, 0};
  if (bare_address && value.size() >= sizeof(in_addr))
    return Sock::Membership{{}, Ip4{load_be32(value.data())}, 0};
  return err(EINVAL);
}

// struct group_req (MCAST_JOIN_GROUP): the interface, then a sockaddr at eight bytes.
SockResult<Sock::Membership> read_group_req(OptValue value) {
  if (value.size() < sizeof(group_req)) return err(EINVAL);
  const auto g = load<group_req>(value);
  if (g.gr_group.ss_family != AF_INET) return err(EINVAL);
  return Sock::Membership{Ip4{load_be32(&value[offsetof(group_req, gr_group) + 4])},
                          {},
                          static_cast<int>(g.gr_interface)};
}

SockResult<void> set_multicast_if(Sock& sk, OptValue value) {
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

SockResult<void> set_unicast_if(Sock& sk, OptValue value) {
  if (value.size() != sizeof(int)) return err(EINVAL);
  const int ifindex = static_cast<int>(load_be32(value.data()));
  if (ifindex == 0) {
    sk.uc_index = 0;
    return {};
  }
  const RcuReader reader;
  if (sk.net.dev->by_index(ifindex) == nullptr) return err(EADDRNOTAVAIL);
  if (sk.bound_dev_if != 0) return err(EINVAL);  // but for a VRF, and those are unknown
  sk.uc_index = ifindex;
  return {};
}

SockResult<void> membership(Sock& sk, SockResult<Sock::Membership> m, bool join) {
  if (!m) return std::unexpected(m.error());
  return join ? ip_mc_join_group(sk, *m) : ip_mc_leave_group(sk, *m);
}

SockResult<void> set_port_range(Sock& sk, OptValue value) {
  if (value.size() != sizeof(std::uint32_t)) return err(EINVAL);
  const auto range = load<std::uint32_t>(value);
  const std::uint32_t lo = range & 0xffff;
  const std::uint32_t hi = range >> 16;
  if (lo != 0 && hi != 0 && lo > hi) return err(EINVAL);
  sk.local_port_range = range;
  return {};
}

SockResult<void> set_options(Sock& sk, OptValue value) {
  if (value.size() > kMaxIpOptions) return err(EINVAL);
  const RcuReader reader;
  const auto opt = ip_options_get(sk.net, value, sk.privileged);
  if (!opt) return std::unexpected(opt.error());
  sk.set_ip_options(*opt);
  return {};
}

// A number within bounds; 0 bytes are none.
bool within(OptValue value, int val, int low, int high) {
  return !value.empty() && val >= low && val <= high;
}

// What the options about sources do.
struct SourceChange {
  bool include;
  bool add;
  bool join;
};
constexpr SourceChange kBlock{false, true, false};
constexpr SourceChange kUnblock{false, false, false};
constexpr SourceChange kJoin{true, true, true};
constexpr SourceChange kLeave{true, false, false};

// struct ip_mreq_source: the group, the interface's address, the source.
SockResult<void> change_source(Sock& sk, OptValue value, const SourceChange& c) {
  if (value.size() != sizeof(ip_mreq_source)) return err(EINVAL);
  const Sock::Membership m{Ip4{load_be32(&value[0])}, Ip4{load_be32(&value[4])}, 0};
  return ip_mc_source(sk, m, Ip4{load_be32(&value[8])}, c.include, c.add, c.join);
}

// struct group_source_req (do_mcast_group_source()).
SockResult<void> change_group_source(Sock& sk, OptValue value, const SourceChange& c) {
  if (value.size() < sizeof(group_source_req)) return err(EINVAL);
  const auto g = load<group_source_req>(value);
  if (g.gsr_group.ss_family != AF_INET || g.gsr_source.ss_family != AF_INET)
    return err(EADDRNOTAVAIL);
  const auto address = [value](std::size_t sockaddr_at) {
    return Ip4{load_be32(&value[sockaddr_at + offsetof(sockaddr_in, sin_addr)])};
  };
  const Sock::Membership m{
      address(offsetof(group_source_req, gsr_group)), {}, static_cast<int>(g.gsr_interface)};
  return ip_mc_source(sk, m, address(offsetof(group_source_req, gsr_source)), c.include, c.add,
                      c.join);
}

SockResult<void> at_least(OptValue value, std::size_t size) {
  return value.size() >= size ? err(kUnknown) : err(EINVAL);
}

}  // namespace

SockResult<void> ip_setsockopt(Sock& sk, int optname, OptValue value) {
  const int val = read_int(value);
  if (const auto flag = find_flag(kIpFlags, optname)) {
    sk.set_flag(*flag, val != 0);
    return {};
  }
  switch (optname) {
    case IP_TOS: {
      const auto tos = static_cast<std::uint8_t>(val);
      if (sk.tos == tos && sk.tos == val) return {};  // __ip_sock_set_tos(): the priority stays
      sk.tos = tos;
      sk.priority = rt_tos2priority(tos);
      sk.dst_reset();
      return {};
    }
    case IP_TTL:
      if (val != -1 && !within(value, val, 1, 255)) return err(EINVAL);
      sk.uc_ttl = val;
      return {};
    case IP_MINTTL:
      if (!within(value, val, 0, 255)) return err(EINVAL);
      sk.min_ttl = static_cast<std::uint8_t>(val);
      return {};
    case IP_MULTICAST_TTL:
      if (!within(value, val, -1, 255)) return err(EINVAL);
      sk.mc_ttl = val == -1 ? 1 : val;
      return {};
    case IP_MULTICAST_LOOP:
      if (value.empty()) return err(EINVAL);
      sk.mc_loop = val != 0;
      return {};
    case IP_MULTICAST_ALL:
      if (!within(value, val, 0, 1)) return err(EINVAL);
      sk.mc_all = val != 0;
      return {};
    case IP_MULTICAST_IF: return set_multicast_if(sk, value);
    case IP_UNICAST_IF: return set_unicast_if(sk, value);
    case IP_ADD_MEMBERSHIP: return membership(sk, read_mreqn(value, false), true);
    case IP_DROP_MEMBERSHIP: return membership(sk, read_mreqn(value, false), false);
    case MCAST_JOIN_GROUP: return membership(sk, read_group_req(value), true);
    case MCAST_LEAVE_GROUP: return membership(sk, read_group_req(value), false);
    case IP_MTU_DISCOVER:
      if (val < IP_PMTUDISC_DONT || val > IP_PMTUDISC_OMIT) return err(EINVAL);
      sk.pmtudisc = static_cast<std::uint8_t>(val);
      return {};
    case IP_RECVERR:
      sk.recverr = val != 0;
      if (!sk.recverr) skb_errqueue_purge(sk);
      return {};
    case IP_RECVERR_RFC4884:
      if (val < 0 || val > 1) return err(EINVAL);
      sk.recverr_rfc4884 = val != 0;
      return {};
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
    case IP_OPTIONS: return set_options(sk, value);
    case IP_ROUTER_ALERT: return err(EINVAL);  // for raw sockets; the next two too
    case IP_HDRINCL:
    case IP_NODEFRAG: return err(ENOPROTOOPT);
    case IP_BLOCK_SOURCE: return change_source(sk, value, kBlock);
    case IP_UNBLOCK_SOURCE: return change_source(sk, value, kUnblock);
    case IP_ADD_SOURCE_MEMBERSHIP: return change_source(sk, value, kJoin);
    case IP_DROP_SOURCE_MEMBERSHIP: return change_source(sk, value, kLeave);
    case IP_MSFILTER: return at_least(value, IP_MSFILTER_SIZE(0));
    case MCAST_BLOCK_SOURCE: return change_group_source(sk, value, kBlock);
    case MCAST_UNBLOCK_SOURCE: return change_group_source(sk, value, kUnblock);
    case MCAST_JOIN_SOURCE_GROUP: return change_group_source(sk, value, kJoin);
    case MCAST_LEAVE_SOURCE_GROUP: return change_group_source(sk, value, kLeave);
    case MCAST_MSFILTER: return at_least(value, GROUP_FILTER_SIZE(0));
    case IP_XFRM_POLICY:
    case IP_IPSEC_POLICY:
      if (!sk.privileged) return err(EPERM);
      return err(kUnknown);
    default:
      if (optname >= kMrtBase && optname <= kMrtMax) return err(EOPNOTSUPP);
      return err(ENOPROTOOPT);
  }
}

}  // namespace txp
