// SPDX-License-Identifier: Apache-2.0
// setsockopt and getsockopt at IPPROTO_IPV6.
//
// Kernel twin: net/ipv6/ipv6_sockglue.c, do_ipv6_setsockopt(), do_ipv6_getsockopt();
// net/ipv6/mcast.c, __ipv6_sock_mc_join().
// Differs: leased flow labels (IPV6_FLOWLABEL_MGR), source filters, anycast groups, segment routing
// headers of a socket and IPsec policies are unknown; options that only concern receiving are kept.
#include <netinet/in.h>

#include <algorithm>
#include <array>

#include "base/byteorder.h"
#include "base/rcu.h"
#include "dev/netdevice.h"
#include "ip6/ip6.h"
#include "net.h"
#include "route/ip6_route.h"
#include "socket/inet6_sock.h"
#include "socket/sockopt.h"
#include "wire/ipv6.h"

#ifndef IPV6_RECVERR_RFC4884
#define IPV6_RECVERR_RFC4884 31
#endif
#ifndef IPV6_TRANSPARENT
#define IPV6_TRANSPARENT 75
#endif
#ifndef IPV6_UNICAST_IF
#define IPV6_UNICAST_IF 76
#endif
#ifndef IPV6_RECVFRAGSIZE
#define IPV6_RECVFRAGSIZE 77
#endif
#ifndef IPV6_FREEBIND
#define IPV6_FREEBIND 78
#endif
#ifndef IPV6_FLOWINFO
#define IPV6_FLOWINFO 11
#define IPV6_FLOWLABEL_MGR 32
#define IPV6_FLOWINFO_SEND 33
#endif

namespace txp {
namespace {

// Read and written as 0 or 1; a change needs a whole int.
constexpr std::array kRxOptions = std::to_array<std::pair<int, Rx6>>({
    {IPV6_RECVPKTINFO, Rx6::pktinfo},
    {IPV6_2292PKTINFO, Rx6::o_pktinfo},
    {IPV6_RECVHOPLIMIT, Rx6::hoplimit},
    {IPV6_2292HOPLIMIT, Rx6::o_hoplimit},
    {IPV6_RECVRTHDR, Rx6::srcrt},
    {IPV6_2292RTHDR, Rx6::o_srcrt},
    {IPV6_RECVHOPOPTS, Rx6::hopopts},
    {IPV6_2292HOPOPTS, Rx6::o_hopopts},
    {IPV6_RECVDSTOPTS, Rx6::dstopts},
    {IPV6_2292DSTOPTS, Rx6::o_dstopts},
    {IPV6_RECVTCLASS, Rx6::tclass},
    {IPV6_FLOWINFO, Rx6::flow},
    {IPV6_RECVPATHMTU, Rx6::pmtu},
    {IPV6_RECVORIGDSTADDR, Rx6::origdstaddr},
    {IPV6_RECVFRAGSIZE, Rx6::fragsize},
});

const std::pair<int, Rx6>* find_rx(int optname) {
  const auto at = std::ranges::find(kRxOptions, optname, &std::pair<int, Rx6>::first);
  return at == kRxOptions.end() ? nullptr : &*at;
}

bool mroute_opt(int optname) { return optname >= 200 && optname <= 212; }  // MRT6_BASE ...

// ip6_sock_set_addr_preferences()
SockResult<void> set_addr_preferences(Ipv6Pinfo& np, int val) {
  constexpr int kTmp = 1, kPublic = 2, kCoa = 4, kPubtmpDefault = 0x100, kHome = 0x400, kCga = 8,
                kNoncga = 0x800;
  unsigned pref = 0;
  unsigned mask = ~0U;
  switch (val & (kPublic | kTmp | kPubtmpDefault)) {
    case kPublic: pref |= kPublic; break;
    case kTmp: pref |= kTmp; break;
    case kPubtmpDefault: break;
    case 0: mask &= ~static_cast<unsigned>(kPublic | kTmp); break;
    default: return err(EINVAL);
  }
  switch (val & (kHome | kCoa)) {
    case kHome: break;
    case kCoa: pref |= kCoa; break;
    case 0: mask &= ~static_cast<unsigned>(kCoa); break;
    default: return err(EINVAL);
  }
  switch (val & (kCga | kNoncga)) {
    case kCga:
    case kNoncga:
    case 0: break;
    default: return err(EINVAL);
  }
  np.srcprefs = (np.srcprefs & ~mask) | pref;
  return {};
}

SockResult<void> multicast_if(Sock& sk, int val) {
  if (val != 0) {
    const RcuReader reader;
    if (sk.net.dev->by_index(val) == nullptr) return err(ENODEV);
    if (sk.bound_dev_if != 0 && sk.bound_dev_if != val) return err(EINVAL);
  }
  sk.inet6->mcast_oif = val;
  return {};
}

SockResult<void> unicast_if(Sock& sk, OptValue value) {
  if (value.size() != sizeof(int)) return err(EINVAL);
  const auto ifindex = static_cast<int>(load_be32(value.data()));
  if (ifindex != 0) {
    const RcuReader reader;
    if (sk.net.dev->by_index(ifindex) == nullptr) return err(EADDRNOTAVAIL);
    if (sk.bound_dev_if != 0) return err(EINVAL);
  }
  sk.inet6->ucast_oif = ifindex;
  return {};
}

// ipv6_set_opt_hdr()
SockResult<void> set_opt_hdr(Sock& sk, int optname, OptValue value) {
  constexpr std::uint8_t kType2 = 2;
  constexpr std::uint8_t kType4 = 4;
  if (optname != IPV6_RTHDR && !sk.privileged) return err(EPERM);
  if (!value.empty()) {
    if (value.size() < 2 || (value.size() & 7) != 0 || value.size() > 8 * 255) return err(EINVAL);
    if ((value[1] + std::size_t{1}) * 8 > value.size()) return err(EINVAL);
  }
  const std::size_t len = value.empty() ? 0 : (value[1] + std::size_t{1}) * 8;
  Ipv6TxOptions opt = sk.inet6->opt ? *sk.inet6->opt : Ipv6TxOptions{};
  std::vector<std::uint8_t>& to = optname == IPV6_HOPOPTS        ? opt.hopopt
                                  : optname == IPV6_RTHDRDSTOPTS ? opt.dst0opt
                                  : optname == IPV6_RTHDR        ? opt.srcrt
                                                                 : opt.dst1opt;
  to.assign(value.begin(), value.begin() + static_cast<std::ptrdiff_t>(len));
  if (optname == IPV6_RTHDR && !to.empty()) {
    if (to[2] == kType4) return err(kUnknown);
    if (sk.net.sysctl().mip6 == 0 || to[2] != kType2 || to[1] != 2 || to[3] != 1)
      return err(EINVAL);
  }
  sk.inet6->opt = std::make_shared<const Ipv6TxOptions>(std::move(opt));
  sk.dst_reset();
  return {};
}

SockResult<void> sticky_pktinfo(Sock& sk, OptValue value) {
  if (value.size() < sizeof(in6_pktinfo)) return err(EINVAL);
  const auto info = load<in6_pktinfo>(value);
  const auto ifindex = static_cast<int>(info.ipi6_ifindex);
  if (sk.bound_dev_if != 0 && ifindex != 0 && sk.bound_dev_if != ifindex) return err(EINVAL);
  sk.inet6->sticky_ifindex = ifindex;
  sk.inet6->sticky_addr = Ip6::load(value.data());
  return {};
}

// Takes a group off the device once, if it is there.
void leave_device(Sock& sk, const Ip6& group, int ifindex) {
  sk.net.dev->change_inet6(ifindex, [&](Inet6Dev& in) {
    const auto at = std::ranges::find(in.mc_groups, group);
    if (at != in.mc_groups.end()) in.mc_groups.erase(at);
  });
}

SockResult<void> mc_change(Sock& sk, const Ip6& group, int ifindex, bool join) {
  if (!group.is_multicast()) return err(EINVAL);
  Ipv6Pinfo& np = *sk.inet6;
  const auto mine = std::ranges::find_if(np.memberships, [&](const auto& m) {
    return m.first == group && (ifindex == 0 || m.second == ifindex);
  });
  const std::lock_guard guard(sk.net.rtnl);
  const RcuReader reader;
  if (!join) {
    if (mine == np.memberships.end()) return err(EADDRNOTAVAIL);
    leave_device(sk, group, mine->second);
    np.memberships.erase(mine);
    return {};
  }
  if (mine != np.memberships.end()) return err(EADDRINUSE);
  const NetDevice* dev = sk.net.dev->by_index(ifindex);
  if (ifindex == 0) {  // rt6_lookup() of the group
    Flow6 fl6;
    fl6.daddr = group;
    const auto rt = ip6_route_output(sk.net, nullptr, fl6, 0, nullptr);
    dev = rt && rt->error == 0 ? rt->dst.dev : nullptr;
  }
  if (dev == nullptr) return err(ENODEV);
  np.memberships.emplace_back(group, dev->ifindex);
  sk.net.dev->change_inet6(dev->ifindex, [&](Inet6Dev& in) { in.mc_groups.push_back(group); });
  return {};
}

SockResult<void> mreq(Sock& sk, OptValue value, bool join) {
  if (value.size() < sizeof(ipv6_mreq)) return err(EINVAL);
  const auto m = load<ipv6_mreq>(value);
  return mc_change(sk, Ip6::load(value.data()), static_cast<int>(m.ipv6mr_interface), join);
}

SockResult<void> group_req6(Sock& sk, OptValue value, bool join) {
  if (value.size() < sizeof(group_req)) return err(EINVAL);
  const auto g = load<group_req>(value);
  if (g.gr_group.ss_family != AF_INET6) return err(EADDRNOTAVAIL);
  const std::size_t at = offsetof(group_req, gr_group) + offsetof(sockaddr_in6, sin6_addr);
  return mc_change(sk, Ip6::load(&value[at]), static_cast<int>(g.gr_interface), join);
}

SockResult<std::size_t> sticky_opt(const Sock& sk, int optname, OptRoom room) {
  if (!sk.inet6->opt) return std::size_t{0};
  const Ipv6TxOptions& opt = *sk.inet6->opt;
  const std::vector<std::uint8_t>& from = optname == IPV6_HOPOPTS        ? opt.hopopt
                                          : optname == IPV6_RTHDRDSTOPTS ? opt.dst0opt
                                          : optname == IPV6_RTHDR        ? opt.srcrt
                                                                         : opt.dst1opt;
  const std::size_t n = std::min(room.size(), from.size());
  std::copy_n(from.begin(), n, room.begin());
  return n;
}

}  // namespace

SockResult<void> ipv6_setsockopt(Sock& sk, int optname, OptValue value) {
  Ipv6Pinfo& np = *sk.inet6;
  const bool whole = value.size() >= sizeof(int);
  const int val = whole ? load<int>(value) : 0;
  const bool on = val != 0;
  const auto in_range = [&](int low, int high) { return whole && val >= low && val <= high; };
  if (mroute_opt(optname)) return err(EOPNOTSUPP);
  if (const auto* rx = find_rx(optname)) {
    if (!whole && optname != IPV6_RECVFRAGSIZE) return err(EINVAL);
    const std::uint32_t bit = 1U << static_cast<unsigned>(rx->second);
    np.rxopt = on ? np.rxopt | bit : np.rxopt & ~bit;
    return {};
  }
  switch (optname) {
    case IPV6_UNICAST_HOPS:
      if (!in_range(-1, 255)) return err(EINVAL);
      np.hop_limit = val;
      return {};
    case IPV6_MULTICAST_LOOP:
      if (!in_range(0, 1)) return err(EINVAL);
      np.mc_loop = on;
      return {};
    case IPV6_MULTICAST_HOPS:
      if (!in_range(-1, 255)) return err(EINVAL);
      np.mcast_hops = val == -1 ? 1 : val;
      return {};
    case IPV6_MTU:
      if (!whole || (on && static_cast<std::uint32_t>(val) < kIpv6MinMtu) || val < 0)
        return err(EINVAL);
      np.frag_size = static_cast<std::uint32_t>(val);
      return {};
    case IPV6_MINHOPCOUNT:
      if (!in_range(0, 255)) return err(EINVAL);
      np.min_hopcount = static_cast<std::uint8_t>(val);
      return {};
    case IPV6_RECVERR_RFC4884:
      if (!in_range(0, 1)) return err(EINVAL);
      np.recverr_rfc4884 = on;
      return {};
    case IPV6_MULTICAST_ALL:
      if (!whole) return err(EINVAL);
      np.mc_all = on;
      return {};
    case IPV6_AUTOFLOWLABEL:
      np.autoflowlabel = on;
      np.autoflowlabel_set = true;
      return {};
    case IPV6_DONTFRAG: np.dontfrag = on; return {};
    case IPV6_RECVERR:
      if (!whole) return err(EINVAL);
      np.recverr = on;
      if (!on) skb_errqueue_purge(sk);
      return {};
    case IPV6_MTU_DISCOVER:
      if (!in_range(IPV6_PMTUDISC_DONT, IPV6_PMTUDISC_OMIT)) return err(EINVAL);
      np.pmtudisc = static_cast<std::uint8_t>(val);
      return {};
    case IPV6_FLOWINFO_SEND:
      if (!whole) return err(EINVAL);
      np.sndflow = on;
      return {};
    case IPV6_ADDR_PREFERENCES:
      if (!whole) return err(EINVAL);
      return set_addr_preferences(np, val);
    case IPV6_MULTICAST_IF:
      if (!whole) return err(EINVAL);
      return multicast_if(sk, val);
    case IPV6_UNICAST_IF: return unicast_if(sk, value);
    case IPV6_V6ONLY:
      if (!whole || sk.inet_num != 0) return err(EINVAL);
      np.v6only = on;
      return {};
    case IPV6_TCLASS:
      if (!in_range(-1, 255)) return err(EINVAL);
      if (const auto tclass = static_cast<std::uint8_t>(val == -1 ? 0 : val); np.tclass != tclass) {
        np.tclass = tclass;
        sk.dst_reset();
      }
      return {};
    case IPV6_TRANSPARENT:
      if (on && !sk.privileged) return err(EPERM);
      if (!whole) return err(EINVAL);
      sk.transparent = on;
      return {};
    case IPV6_FREEBIND:
      if (!whole) return err(EINVAL);
      sk.freebind = on;
      return {};
    case IPV6_HOPOPTS:
    case IPV6_RTHDRDSTOPTS:
    case IPV6_RTHDR:
    case IPV6_DSTOPTS: return set_opt_hdr(sk, optname, value);
    case IPV6_PKTINFO: return sticky_pktinfo(sk, value);
    case IPV6_ADD_MEMBERSHIP: return mreq(sk, value, true);
    case IPV6_DROP_MEMBERSHIP: return mreq(sk, value, false);
    case MCAST_JOIN_GROUP: return group_req6(sk, value, true);
    case MCAST_LEAVE_GROUP: return group_req6(sk, value, false);
    case IPV6_ROUTER_ALERT_ISOLATE:
    case IPV6_ROUTER_ALERT:
      if (!whole) return err(EINVAL);
      return optname == IPV6_ROUTER_ALERT ? SockResult<void>(err(ENOPROTOOPT)) : SockResult<void>();
    case IPV6_JOIN_ANYCAST:
    case IPV6_LEAVE_ANYCAST:
      if (value.size() < sizeof(ipv6_mreq)) return err(EINVAL);
      return err(kUnknown);
    case IPV6_XFRM_POLICY:
    case IPV6_IPSEC_POLICY:
      if (!sk.privileged) return err(EPERM);
      return err(kUnknown);
    case IPV6_ADDRFORM:
    case IPV6_2292PKTOPTIONS:
    case IPV6_FLOWLABEL_MGR:
    case MCAST_JOIN_SOURCE_GROUP:
    case MCAST_LEAVE_SOURCE_GROUP:
    case MCAST_BLOCK_SOURCE:
    case MCAST_UNBLOCK_SOURCE:
    case MCAST_MSFILTER: return err(kUnknown);
    default: return err(ENOPROTOOPT);
  }
}

SockResult<std::size_t> ipv6_getsockopt(Sock& sk, int optname, OptRoom room) {
  const Ipv6Pinfo& np = *sk.inet6;
  if (mroute_opt(optname)) return err(EOPNOTSUPP);
  if (const auto* rx = find_rx(optname))
    return store(room, static_cast<int>(np.rxopt >> static_cast<unsigned>(rx->second) & 1U));
  const auto hops = [&](int own) {
    if (own >= 0) return own;
    const RcuReader reader;
    const NetDevice* dev = sk.dst_mtu.load(std::memory_order_relaxed) != Sock::kDstNone
                               ? sk.net.dev->by_index(sk.dst_oif)
                               : nullptr;
    return dev != nullptr ? int{dev->in6_dev().conf.hop_limit} : int{sk.net.sysctl().ip6_hop_limit};
  };
  switch (optname) {
    case IPV6_UNICAST_HOPS: return store(room, hops(np.hop_limit));
    case IPV6_MULTICAST_HOPS: return store(room, hops(np.mcast_hops));
    case IPV6_MULTICAST_LOOP: return store(room, int{np.mc_loop});
    case IPV6_MULTICAST_IF: return store(room, np.mcast_oif);
    case IPV6_MULTICAST_ALL: return store(room, int{np.mc_all});
    case IPV6_UNICAST_IF: return store(room, htonl(static_cast<std::uint32_t>(np.ucast_oif)));
    case IPV6_MTU_DISCOVER: return store(room, int{np.pmtudisc});
    case IPV6_RECVERR: return store(room, int{np.recverr});
    case IPV6_RECVERR_RFC4884: return store(room, int{np.recverr_rfc4884});
    case IPV6_FLOWINFO_SEND: return store(room, int{np.sndflow});
    case IPV6_V6ONLY: return store(room, int{np.v6only});
    case IPV6_TCLASS: return store(room, int{np.tclass});
    case IPV6_TRANSPARENT: return store(room, int{sk.transparent});
    case IPV6_FREEBIND: return store(room, int{sk.freebind});
    case IPV6_MINHOPCOUNT: return store(room, int{np.min_hopcount});
    case IPV6_DONTFRAG: return store(room, int{np.dontfrag});
    case IPV6_AUTOFLOWLABEL: return store(room, int{ip6_autoflowlabel(sk.net, sk)});
    case IPV6_ROUTER_ALERT:
    case IPV6_ROUTER_ALERT_ISOLATE: return store(room, 0);
    case IPV6_MTU: {
      const std::uint32_t mtu = sk.dst_mtu.load(std::memory_order_relaxed);
      if (mtu == Sock::kDstNone) return err(ENOTCONN);
      return store(room, static_cast<int>(mtu));
    }
    case IPV6_ADDR_PREFERENCES: {
      unsigned v = np.srcprefs & 3U;
      if (v == 0) v = 0x100;  // IPV6_PREFER_SRC_PUBTMP_DEFAULT
      v |= (np.srcprefs & 4U) != 0 ? 4U : 0x400U;
      return store(room, static_cast<int>(v));
    }
    case IPV6_HOPOPTS:
    case IPV6_RTHDRDSTOPTS:
    case IPV6_RTHDR:
    case IPV6_DSTOPTS: return sticky_opt(sk, optname, room);
    case IPV6_ADDRFORM:
      if (!sk.connected) return err(ENOTCONN);
      return store(room, int{AF_INET6});
    case IPV6_FLOWLABEL_MGR:
    case IPV6_PATHMTU:
    case MCAST_MSFILTER: return err(kUnknown);
    default: return err(ENOPROTOOPT);
  }
}

void ipv6_mc_drop_socket(Sock& sk) {
  if (!sk.inet6 || sk.inet6->memberships.empty()) return;
  const std::lock_guard guard(sk.net.rtnl);
  for (const auto& [group, ifindex] : sk.inet6->memberships) leave_device(sk, group, ifindex);
  sk.inet6->memberships.clear();
}

}  // namespace txp
