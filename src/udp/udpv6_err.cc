// SPDX-License-Identifier: Apache-2.0
// udpv6_err: an ICMPv6 error about a datagram of ours becomes its socket's error.
//
// Kernel twin: net/ipv6/udp.c, __udp6_lib_err(), udpv6_err_update_exception(); net/ipv6/icmp.c,
// icmpv6_err_convert(); net/ipv6/route.c, ip6_sk_update_pmtu().
// Differs: no encapsulation sockets; redirects are ignored.
#include <netinet/in.h>

#include <array>

#include "dev/netdevice.h"
#include "ip6/icmpv6.h"
#include "net.h"
#include "route/ip6_route.h"
#include "socket/error_queue.h"
#include "socket/inet6_sock.h"
#include "udp/udp_table.h"
#include "wire/ipv6.h"
#include "wire/udp.h"

namespace txp {
namespace {

struct Icmp6Error {
  int code = EPROTO;
  bool fatal = false;
};

// tab_unreach[], by the code of a destination unreachable (RFC 4443, 3.1).
constexpr std::array<Icmp6Error, 7> kUnreach6 = {{
    {ENETUNREACH, false},   // no route
    {EACCES, true},         // prohibited
    {EHOSTUNREACH, false},  // beyond the scope of the source
    {EHOSTUNREACH, false},  // address
    {ECONNREFUSED, true},   // port
    {EACCES, true},         // the source failed a policy
    {EACCES, true},         // a reject route
}};

Icmp6Error icmpv6_err_convert(std::uint8_t type, std::uint8_t code) {
  switch (type) {
    case kIcmpv6DestUnreach:
      return code < kUnreach6.size() ? kUnreach6[code] : Icmp6Error{EPROTO, true};
    case kIcmpv6PktToobig: return {EMSGSIZE, false};
    case kIcmpv6Paramprob: return {EPROTO, true};
    case kIcmpv6TimeExceed: return {EHOSTUNREACH, false};
    default: return {};
  }
}

// ip6_sk_update_pmtu(): and the route that a connected socket keeps is renewed.
void ip6_sk_update_pmtu(Net& net, Sock& sk, std::span<const std::uint8_t> quoted,
                        std::uint32_t mtu) {
  ip6_update_pmtu(net, quoted, mtu, sk.bound_dev_if, sk.mark, sk.uid);
  if (sk.dst_mtu.load(std::memory_order_relaxed) == Sock::kDstNone) return;
  Flow6 fl6;
  fl6.oif = sk.bound_dev_if;
  fl6.mark = sk.mark;
  fl6.uid = sk.uid;
  fl6.saddr = sk.inet6->saddr;
  fl6.daddr = sk.inet6->daddr;
  fl6.sport = sk.inet_num;
  fl6.dport = sk.inet_dport;
  fl6.proto = IPPROTO_UDP;
  if (const auto rt = ip6_route_output(net, &sk, fl6, 0, nullptr); rt && rt->error == 0)
    ip6_dst_store(sk, *rt);
}

}  // namespace

void udpv6_err(Net& net, Skb& about, std::span<const std::uint8_t> quoted, std::size_t offset,
               std::uint32_t info) {
  const auto ip = Ipv6Header::parse(quoted);
  const auto uh = UdpHeader::parse(quoted.subspan(offset));
  if (!ip || !uh) return;
  const std::uint8_t type = about.data[0];
  const bool too_big = type == kIcmpv6PktToobig;
  if (too_big) ip6_update_pmtu(net, quoted, info, about.dev->ifindex, 0, 0);
  const bool found = net.udp->with_socket6(
      ip->daddr, uh->dest, ip->saddr, uh->source, inet6_iif(about), [&](Sock& sk) {
        const Ipv6Pinfo& np = *sk.inet6;
        Icmp6Error e = icmpv6_err_convert(type, about.data[1]);
        if (too_big) {
          if (np.pmtudisc == IPV6_PMTUDISC_INTERFACE || np.pmtudisc == IPV6_PMTUDISC_OMIT) return;
          ip6_sk_update_pmtu(net, sk, quoted, info);
          if (np.pmtudisc != IPV6_PMTUDISC_DONT) e.fatal = true;
        }
        if (!np.recverr && (!e.fatal || !sk.connected)) return;
        if (np.recverr)
          ipv6_icmp_error(sk, about, e.code, uh->dest, info, quoted.subspan(offset + kUdpHlen));
        sk.sk_err.store(e.code, std::memory_order_relaxed);
      });
  if (!found) snmp(net, Snmp::Icmp6InErrors);
}

}  // namespace txp
