// SPDX-License-Identifier: Apache-2.0
// connect(2) of an IPv6 UDP socket: fixes the peer and the source address.
//
// Kernel twin: net/ipv6/datagram.c, __ip6_datagram_connect(), ip6_datagram_dst_update().
// Differs: the route is not cached in the socket.
#include <netinet/in.h>

#include "base/rcu.h"
#include "dev/netdevice.h"
#include "ip6/ip6.h"
#include "net.h"
#include "route/ip6_route.h"
#include "socket/inet6_sock.h"
#include "udp/udp_table.h"
#include "wire/ipv4.h"
#include "wire/ipv6.h"

namespace txp {
namespace {

// ip6_datagram_dst_update()
SockResult<void> dst_update(Sock& sk) {
  Net& net = sk.net;
  Ipv6Pinfo& np = *sk.inet6;
  Flow6 fl6;
  fl6.proto = kIpProtoUdp;
  fl6.daddr = np.daddr;
  fl6.saddr = np.saddr;
  fl6.mark = sk.mark;
  fl6.dport = sk.inet_dport;
  fl6.sport = sk.inet_num;
  fl6.flowlabel = ip6_make_flowinfo(np.tclass, np.flow_label);
  fl6.uid = sk.uid;
  fl6.oif = sk.bound_dev_if;
  if (fl6.oif == 0) fl6.oif = np.sticky_ifindex;
  if (fl6.oif == 0) fl6.oif = fl6.daddr.is_multicast() ? np.mcast_oif : np.ucast_oif;
  Ip6 final_dst;
  const bool past = fl6_update_dst(fl6, np.opt.get(), final_dst);
  auto rt = ip6_dst_lookup_flow(net, &sk, fl6, past ? &final_dst : nullptr, nullptr);
  if (!rt) return std::unexpected(rt.error());
  if (np.saddr.is_any()) np.saddr = fl6.saddr;
  if (np.rcv_saddr.is_any()) {
    np.rcv_saddr = fl6.saddr;
    sk.inet_rcv_saddr = Ip4{0x7f000006};  // LOOPBACK4_IPV6
  }
  ip6_dst_store(sk, *rt);
  return {};
}

SockResult<void> connect6(Sock& sk, SockAddr6 to) {
  Ipv6Pinfo& np = *sk.inet6;
  const Ip6Type t = to.addr.type();
  if (t.needs_scope_id()) {
    if (to.scope_id != 0) {
      if (sk.bound_dev_if != 0 && sk.bound_dev_if != static_cast<int>(to.scope_id))
        return err(EINVAL);
      sk.bound_dev_if = static_cast<int>(to.scope_id);
    }
    if (sk.bound_dev_if == 0 && t.is(kIpv6AddrMulticast)) sk.bound_dev_if = np.mcast_oif;
    if (sk.bound_dev_if == 0) return err(EINVAL);
  }
  const Ip6 old_daddr = std::exchange(np.daddr, to.addr);
  const std::uint32_t old_label =
      std::exchange(np.flow_label, np.sndflow ? to.flowinfo & kFlowinfoMask : 0);
  const std::uint16_t old_dport = std::exchange(sk.inet_dport, to.port);
  if (auto done = dst_update(sk); !done) {
    np.daddr = old_daddr;
    np.flow_label = old_label;
    sk.inet_dport = old_dport;
    return done;
  }
  sk.connected = true;
  sk.txhash = sk.net.random.u32() | 1;
  return {};
}

}  // namespace

void ip6_dst_store(Sock& sk, const Rt6Info& rt) {
  const auto change = [](auto& to, auto value) {  // a send rarely changes anything
    if (to.load(std::memory_order_relaxed) != value) to.store(value, std::memory_order_relaxed);
  };
  change(sk.dst_expires, Nanos{0});
  change(sk.dst_oif, rt.dst.dev->ifindex);
  change(sk.dst_mtu, rt.dst.mtu);
}

SockResult<void> ip6_datagram_connect(Sock& sk, const SockAddr6& addr) {
  const RcuReader reader;
  if (sk.inet_num == 0)
    if (auto bound = inet_autobind(sk.net, sk, nullptr); !bound)
      return std::unexpected(bound.error());
  Ipv6Pinfo& np = *sk.inet6;
  SockAddr6 to = addr;
  if (to.addr.is_any())
    to.addr = np.rcv_saddr.is_v4mapped() ? Ip6::mapped(Ip4{0x7f000001}) : Ip6::loopback();
  if (to.addr.is_v4mapped()) {
    if (np.v6only) return err(ENETUNREACH);
    return inet_dgram_connect(sk, {to.addr.v4(), to.port, AF_INET});
  }
  const std::lock_guard guard(sk.lock);
  const SockChange change(sk);
  return connect6(sk, to);
}

}  // namespace txp
