// SPDX-License-Identifier: Apache-2.0
// icmp_rcv: errors about what we sent go to their sockets; echo requests are answered.
//
// Kernel twin: net/ipv4/icmp.c, icmp_rcv(), icmp_unreach(), icmp_socket_deliver(), icmp_echo().
// Differs: no timestamps, extended echo and ping sockets (they are taken
// and ignored); icmp_echo_ignore_broadcasts is on. Drops (as received packets): ICMP_CSUM,
// UNHANDLED_PROTO, INVALID_PROTO, IP_INHDR, and NOT_SPECIFIED for what is cut off.
#include "ip/icmp.h"

#include "dev/netdevice.h"
#include "ip/ip.h"
#include "net.h"
#include "route/ip_route.h"
#include "udp/udp_table.h"
#include "wire/icmp.h"
#include "wire/ipv4.h"
#include "wire/udp.h"

namespace txp {
namespace {

void error(Net& net, SkbPtr skb, DropReason reason) {
  snmp(net, Snmp::IcmpInErrors);
  rx_drop(net, std::move(skb), reason);
}

// ICMPMSGIN_INC_STATS(), as far as /proc/net/snmp names the types here.
void count(Net& net, std::uint8_t type) {
  switch (type) {
    case kIcmpDestUnreach: snmp(net, Snmp::IcmpInDestUnreachs); break;
    case kIcmpTimeExceeded: snmp(net, Snmp::IcmpInTimeExcds); break;
    case kIcmpParameterProb: snmp(net, Snmp::IcmpInParmProbs); break;
    case kIcmpSourceQuench: snmp(net, Snmp::IcmpInSrcQuenchs); break;
    case kIcmpRedirect: snmp(net, Snmp::IcmpInRedirects); break;
    case kIcmpEcho: snmp(net, Snmp::IcmpInEchos); break;
    case kIcmpEchoReply: snmp(net, Snmp::IcmpInEchoReps); break;
    default: break;
  }
}

// What a "fragmentation needed" says; false: net.ipv4.ip_no_pmtu_disc forbids to listen.
bool frag_needed_info(Net& net, const IcmpHeader& icmp, std::uint32_t& info) {
  switch (net.sysctl().ip_no_pmtu_disc) {
    case 0: info = icmp.next_hop_mtu(); return true;
    case 2:
    case 3: return false;  // UDP has no icmp_strict_tag_validation
    default: return true;
  }
}

// The whole header and eight bytes more are wanted.
void icmp_socket_deliver(Net& net, SkbPtr skb, std::span<std::uint8_t> quoted, std::uint32_t info) {
  if (quoted.size() < std::size_t{static_cast<std::uint8_t>(quoted[0] & 0xf)} * 4 + 8) {
    snmp(net, Snmp::IcmpInErrors);
    return consume(std::move(skb));
  }
  const bool is_v4 = (quoted[0] >> 4) == 4;
  if (is_v4 && Ipv4View(quoted.data()).protocol() == kIpProtoUdp) udp_err(net, *skb, quoted, info);
  consume(std::move(skb));
}

// icmp_unreach(). `quoted` is the packet that the error is about.
void icmp_unreach(Net& net, SkbPtr skb, const IcmpHeader& icmp, std::span<std::uint8_t> quoted) {
  if (quoted.size() < kIpHlen) return error(net, std::move(skb), DropReason::NOT_SPECIFIED);
  const std::size_t hlen = std::size_t{static_cast<std::uint8_t>(quoted[0] & 0xf)} * 4;
  if (hlen < kIpHlen) return error(net, std::move(skb), DropReason::IP_INHDR);
  std::uint32_t info = 0;
  bool listen = true;
  if (icmp.type == kIcmpDestUnreach) {
    if ((icmp.code & 15) == kIcmpFragNeeded) listen = frag_needed_info(net, icmp, info);
    if (icmp.code > kNrIcmpUnreach) listen = false;
  } else if (icmp.type == kIcmpParameterProb) {
    info = icmp.rest >> 24;
  } else if (icmp.type == kIcmpTimeExceeded && icmp.code == kIcmpExcFragtime) {
    listen = false;
  }
  if (!listen) return consume(std::move(skb));
  icmp_socket_deliver(net, std::move(skb), quoted, info);
}

// icmp_redirect().
void icmp_redirect(Net& net, SkbPtr skb, const IcmpHeader& icmp, std::span<std::uint8_t> quoted) {
  if (quoted.size() < kIpHlen) return error(net, std::move(skb), DropReason::NOT_SPECIFIED);
  icmp_socket_deliver(net, std::move(skb), quoted, icmp.rest);
}

}  // namespace

void icmp_rcv(Net& net, SkbPtr skb) {
  snmp(net, Snmp::IcmpInMsgs);
  const auto bytes = std::as_const(*skb).bytes();
  if (csum_fold(csum_partial(bytes, 0)) != 0) {
    snmp(net, Snmp::IcmpInCsumErrors);
    return error(net, std::move(skb), DropReason::ICMP_CSUM);
  }
  const auto icmp = IcmpHeader::parse(bytes);
  if (!icmp) return error(net, std::move(skb), DropReason::NOT_SPECIFIED);
  count(net, icmp->type);
  if (icmp->type == kIcmpExtEcho) return consume(std::move(skb));
  if (icmp->type > kNrIcmpTypes) return error(net, std::move(skb), DropReason::UNHANDLED_PROTO);
  if ((skb->rt.is_broadcast || skb->rt.is_multicast) && icmp->type != kIcmpAddress &&
      icmp->type != kIcmpAddressReply)
    return error(net, std::move(skb), DropReason::INVALID_PROTO);
  switch (icmp->type) {
    case kIcmpDestUnreach:
    case kIcmpSourceQuench:
    case kIcmpTimeExceeded:
    case kIcmpParameterProb: {
      const auto quoted = skb->bytes().subspan(kIcmpHlen);
      return icmp_unreach(net, std::move(skb), *icmp, quoted);
    }
    case kIcmpRedirect: {
      const auto quoted = skb->bytes().subspan(kIcmpHlen);
      return icmp_redirect(net, std::move(skb), *icmp, quoted);
    }
    case kIcmpEcho:
      if (!net.sysctl().icmp_echo_ignore_all) icmp_reply(net, *skb);
      break;
    default: break;
  }
  consume(std::move(skb));
}

}  // namespace txp
