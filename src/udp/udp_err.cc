// SPDX-License-Identifier: Apache-2.0
// udp_err: an ICMP error about a datagram of ours becomes its socket's error.
//
// Kernel twin: net/ipv4/udp.c, __udp4_lib_err(); net/ipv4/icmp.c, icmp_err_convert;
// net/ipv4/route.c, ipv4_sk_update_pmtu(), ipv4_sk_redirect().
// Differs: no encapsulation sockets.
#include <netinet/in.h>

#include <array>

#include "dev/netdevice.h"
#include "ip/icmp.h"
#include "net.h"
#include "route/ip_route.h"
#include "socket/error_queue.h"
#include "udp/udp_table.h"
#include "wire/ipv4.h"
#include "wire/udp.h"
#include "wire/vxlan.h"

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

// __build_flow_key(): the way of the datagram that is quoted.
Flow4 flow_key(const Sock& sk, const Ipv4View& quoted) {
  Flow4 fl4;
  fl4.oif = sk.bound_dev_if;
  fl4.iif = 1;  // LOOPBACK_IFINDEX
  fl4.mark = sk.mark;
  fl4.uid = sk.uid;
  fl4.saddr = quoted.saddr();
  fl4.daddr = quoted.daddr();
  fl4.tos = sk.tos & 0xfc;
  fl4.proto = IPPROTO_UDP;
  return fl4;
}

// ipv4_sk_update_pmtu(): the path that the datagram took learns, and the route that a connected
// socket keeps is renewed.
void ipv4_sk_update_pmtu(Net& net, Sock& sk, const Ipv4View& quoted, std::uint32_t mtu) {
  if (sk.pmtudisc == IP_PMTUDISC_INTERFACE || sk.pmtudisc == IP_PMTUDISC_OMIT) return;
  Flow4 fl4 = flow_key(sk, quoted);
  if (const auto rt = ip_route_output_flow(net, fl4, nullptr); rt)
    ip_rt_update_pmtu(net, *rt, fl4, mtu);
  if (sk.dst_mtu.load(std::memory_order_relaxed) == Sock::kDstNone) return;
  if (const auto rt = ip_route_output_flow(net, fl4, nullptr); rt) sk.dst_set(*rt);
}

void ipv4_sk_redirect(Net& net, const Sock& sk, const Ipv4View& quoted, const Skb& about, Ip4 to) {
  Flow4 fl4 = flow_key(sk, quoted);
  const Ip4 from = Ipv4View(std::as_const(about).network()).saddr();
  if (const auto rt = ip_route_output_flow(net, fl4, nullptr); rt)
    ip_do_redirect(net, *rt, fl4, *about.dev, from, to, about.data[1]);
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

// __udp4_lib_err_encap(): whether the quoted packet is one that a VXLAN of this host sent; then its
// route learns a path MTU. No socket of the engine's is behind it.
bool udp_err_encap(Net& net, const Ipv4View& quoted, std::span<const std::uint8_t> datagram,
                   std::uint16_t dport, std::optional<std::uint32_t> mtu) {
  const auto vxlan = VxlanHeader::parse(datagram.subspan(kUdpHlen));
  if (!vxlan) return false;
  const auto& devices = net.dev->all();
  const auto sent_it = [&](const NetDevice* dev) {
    const auto* cfg = dev->link().as<VxlanInfo>();
    return cfg != nullptr && dev->is_up() && cfg->port == dport && cfg->id == vxlan->vni;
  };
  if (std::ranges::none_of(devices, sent_it)) return false;
  if (!mtu) return true;
  Flow4 fl4;
  fl4.iif = 1;  // LOOPBACK_IFINDEX
  fl4.saddr = quoted.saddr();
  fl4.daddr = quoted.daddr();
  fl4.proto = IPPROTO_UDP;
  if (const auto rt = ip_route_output_flow(net, fl4, nullptr); rt)
    ip_rt_update_pmtu(net, *rt, fl4, *mtu);
  return true;
}

}  // namespace

void udp_err(Net& net, Skb& about, std::span<std::uint8_t> inner, std::uint32_t info) {
  const Ipv4View quoted(inner.data());
  const auto datagram = inner.subspan(quoted.hlen());
  const auto uh = UdpHeader::parse(datagram);
  if (!uh) return;
  const std::uint8_t type = about.data[0];
  const std::uint8_t code = about.data[1];
  const bool frag_needed = type == kIcmpDestUnreach && code == kIcmpFragNeeded;
  const bool found = net.udp->with_socket(
      quoted.daddr(), uh->dest, quoted.saddr(), uh->source, about.dev->ifindex, [&](Sock& sk) {
        if (frag_needed) ipv4_sk_update_pmtu(net, sk, quoted, info);
        if (type == kIcmpRedirect) ipv4_sk_redirect(net, sk, quoted, about, Ip4{info});
        const IcmpError e = convert(sk, type, code);
        if (e.code == 0) return;
        if (!sk.recverr && (!e.fatal || !sk.connected)) return;
        if (sk.recverr)
          ip_icmp_error(sk, about, e.code, uh->dest, info, quoted.daddr(),
                        datagram.subspan(kUdpHlen));
        sk.sk_err.store(e.code, std::memory_order_relaxed);
      });
  if (!found && !udp_err_encap(net, quoted, datagram, uh->dest,
                               frag_needed ? std::optional(info) : std::nullopt))
    snmp(net, Snmp::IcmpInErrors);
}

}  // namespace txp
