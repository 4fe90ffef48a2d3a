// SPDX-License-Identifier: Apache-2.0
// udp_err: an ICMP error about a datagram of ours becomes its socket's error.
//
// Kernel twin: net/ipv4/udp.c, __udp4_lib_err(); net/ipv4/icmp.c, icmp_err_convert;
// net/ipv4/route.c, ipv4_sk_update_pmtu().
// Differs: no error queue (IP_RECVERR makes the error reported, but MSG_ERRQUEUE is empty); no
// encapsulation sockets; redirects are ignored.
#include <netinet/in.h>

#include <array>

#include "ip/icmp.h"
#include "net.h"
#include "route/ip_route.h"
#include "udp/udp_table.h"
#include "wire/udp.h"

namespace txp {
namespace {

struct IcmpError {
  int code;
  bool fatal;
};

// icmp_err_convert[], by the code of a destination unreachable (RFC 1122, 3.2.2.1).
constexpr std::array<IcmpError, kNrIcmpUnreach + 1> kConvert = {{
    {ENETUNREACH, false},   // net
    {EHOSTUNREACH, false},  // host
    {ENOPROTOOPT, true},    // protocol
    {ECONNREFUSED, true},   // port
    {EMSGSIZE, false},      // fragmentation needed
    {EOPNOTSUPP, false},    // source route failed
    {ENETUNREACH, true},    // net unknown
    {EHOSTDOWN, true},      // host unknown
    {ENONET, true},         // host isolated
    {ENETUNREACH, true},    // net prohibited
    {EHOSTUNREACH, true},   // host prohibited
    {ENETUNREACH, false},   // net, for this TOS
    {EHOSTUNREACH, false},  // host, for this TOS
    {EHOSTUNREACH, true},   // filtered
    {EHOSTUNREACH, true},   // precedence violation
    {EHOSTUNREACH, true},   // precedence cutoff
}};

// ipv4_sk_update_pmtu().
void update_pmtu(Net& net, const Sock& sk, Ip4 saddr, Ip4 daddr, std::uint32_t mtu) {
  if (sk.pmtudisc == IP_PMTUDISC_INTERFACE || sk.pmtudisc == IP_PMTUDISC_OMIT) return;
  Flow4 fl4;
  fl4.oif = sk.bound_dev_if;
  fl4.iif = 1;  // LOOPBACK_IFINDEX
  fl4.mark = sk.mark;
  fl4.uid = sk.uid;
  fl4.saddr = saddr;
  fl4.daddr = daddr;
  fl4.tos = sk.tos & 0xfc;
  fl4.proto = IPPROTO_UDP;
  if (const auto rt = ip_route_output_flow(net, fl4, nullptr); rt)
    ip_rt_update_pmtu(net, *rt, daddr, mtu, false);
}

// The error for the socket; a code of 0: none.
IcmpError convert(const Sock& sk, std::uint8_t type, std::uint8_t code) {
  switch (type) {
    case kIcmpSourceQuench:
    case kIcmpRedirect: return {0, false};
    case kIcmpParameterProb: return {EPROTO, true};
    case kIcmpDestUnreach:
      if (code == kIcmpFragNeeded)
        return sk.pmtudisc != IP_PMTUDISC_DONT ? IcmpError{EMSGSIZE, true} : IcmpError{0, false};
      if (code <= kNrIcmpUnreach) return kConvert[code];
      return {EHOSTUNREACH, false};
    default: return {EHOSTUNREACH, false};
  }
}

}  // namespace

void udp_err(Net& net, Ip4 inner_saddr, Ip4 inner_daddr, std::span<const std::uint8_t> inner,
             std::uint8_t type, std::uint8_t code, std::uint32_t info, int dif) {
  const auto uh = UdpHeader::parse(inner);
  if (!uh) return;
  const bool found =
      net.udp->with_socket(inner_daddr, uh->dest, inner_saddr, uh->source, dif, [&](Sock& sk) {
        if (type == kIcmpDestUnreach && code == kIcmpFragNeeded)
          update_pmtu(net, sk, inner_saddr, inner_daddr, info);
        const IcmpError e = convert(sk, type, code);
        if (e.code == 0) return;
        if (!sk.recverr && (!e.fatal || !sk.connected)) return;
        sk.sk_err.store(e.code, std::memory_order_relaxed);
      });
  if (!found) snmp(net, Snmp::IcmpInErrors);
}

}  // namespace txp
