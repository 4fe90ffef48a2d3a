// SPDX-License-Identifier: Apache-2.0
// connect(2) on a UDP socket: fixes the peer and the source address; AF_UNSPEC undoes it.
//
// Kernel twin: net/ipv4/af_inet.c, inet_dgram_connect(); net/ipv4/datagram.c,
// __ip4_datagram_connect(); net/ipv4/udp.c, __udp_disconnect().
// Differs: the route is not cached in the socket.
#include <netinet/in.h>

#include "base/rcu.h"
#include "net.h"
#include "route/ip_route.h"
#include "socket/inet6_sock.h"
#include "socket/sock.h"
#include "udp/udp_table.h"

namespace txp {
namespace {

void udp_disconnect(Sock& sk) {
  sk.connected = false;
  sk.dst_reset();
  sk.inet_daddr = Ip4{};
  sk.inet_dport = 0;
  sk.bound_dev_if = 0;
  if (!sk.bound_addr) inet_reset_saddr(sk);
  if (!sk.bound_port) sk.net.udp->unhash(sk);
}

SockResult<void> datagram_connect(Sock& sk, const SockAddr4& to) {
  sk.dst_reset();
  Net& net = sk.net;
  Ip4 saddr = sk.inet_saddr;
  int oif = sk.bound_dev_if;
  if (to.addr.is_multicast()) {
    if (oif == 0) oif = sk.mc_index;
    if (saddr.is_zero()) saddr = sk.mc_addr;
  } else if (oif == 0) {
    oif = sk.uc_index;
  }
  // The kernel asks with the corked datagram's own flow, so that a connect() while data wait moves
  // them to the new peer, on the route that they have.
  Flow4& fl4 = sk.cork.fl4 = Flow4{};
  fl4.oif = oif;
  fl4.mark = sk.mark;
  fl4.uid = sk.uid;
  fl4.tos = sk.tos & 0xfc;
  fl4.scope = sk.localroute ? kScopeLink : kScopeUniverse;
  fl4.proto = IPPROTO_UDP;
  fl4.flags = sk.transparent ? kFlowAnysrc : 0;
  fl4.saddr = saddr;
  fl4.daddr = to.addr;
  fl4.sport = sk.inet_num;
  fl4.dport = to.port;
  auto rt = ip_route_output_flow(net, fl4, nullptr);
  if (rt && (to.addr.is_zero() || saddr.is_zero())) {
    // ip_route_connect() asks again with the source that the first answer gave: a rule may look at
    // it.
    Flow4 again = fl4;
    again.oif = oif;
    rt = ip_route_output_flow(net, again, nullptr);
    if (rt) fl4 = again;
  }
  if (!rt) {
    if (rt.error().code == ENETUNREACH) snmp(net, Snmp::IpOutNoRoutes);
    return std::unexpected(rt.error());
  }
  if (rt->is_broadcast && !sk.broadcast) return err(EACCES);
  sk.inet_daddr = fl4.daddr;
  sk.dst_set(*rt);
  sk.inet_dport = to.port;
  if (sk.inet_saddr.is_zero()) sk.inet_saddr = fl4.saddr;
  if (sk.inet_rcv_saddr.is_zero()) sk.inet_rcv_saddr = fl4.saddr;
  sk.connected = true;
  sk.txhash = net.random.u32() | 1;
  sk.inet_id = net.random.u32() & 0xffff;
  return {};
}

}  // namespace

void inet_reset_saddr(Sock& sk) {
  sk.inet_rcv_saddr = sk.inet_saddr = Ip4{};
  if (sk.inet6) sk.inet6->saddr = sk.inet6->rcv_saddr = Ip6{};
}

SockResult<void> inet_dgram_connect(Sock& sk, const SockAddr4& addr) {
  const RcuReader reader;
  if (addr.family == AF_UNSPEC) {
    const std::lock_guard guard(sk.lock);
    const SockChange change(sk);
    udp_disconnect(sk);
    return {};
  }
  if (sk.inet_num == 0)
    if (auto bound = inet_autobind(sk.net, sk, nullptr); !bound)
      return std::unexpected(bound.error());
  if (addr.family != AF_INET || ipv6_only_sock(sk)) return err(EAFNOSUPPORT);
  const std::lock_guard guard(sk.lock);
  const SockChange change(sk);
  auto done = datagram_connect(sk, addr);
  if (done && sk.inet6) {  // ipv4_connected: as __ip6_datagram_connect() leaves it
    Ipv6Pinfo& np = *sk.inet6;
    const auto none = [](const Ip6& a) { return a.is_any() || a == Ip6::mapped({}); };
    np.daddr = Ip6::mapped(sk.inet_daddr);
    if (none(np.saddr)) np.saddr = Ip6::mapped(sk.inet_saddr);
    if (none(np.rcv_saddr)) np.rcv_saddr = Ip6::mapped(sk.inet_rcv_saddr);
  }
  return done;
}

}  // namespace txp
