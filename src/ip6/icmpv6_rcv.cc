// SPDX-License-Identifier: Apache-2.0
// icmpv6_rcv: errors about what we sent go to their sockets; echo requests are answered; neighbour
// discovery has its own.
//
// Kernel twin: net/ipv6/icmp.c, icmpv6_rcv(), icmpv6_notify().
// Differs: redirects change no route; no extended echo and ping sockets; MLD is taken without a
// word. Drops (as received packets): ICMP_CSUM, PKT_TOO_SMALL, IPV6_BAD_EXTHDR, NOT_SPECIFIED.
#include "dev/netdevice.h"
#include "ip6/icmpv6.h"
#include "ip6/ip6.h"
#include "neigh/ndisc.h"
#include "net.h"
#include "udp/udp_table.h"
#include "wire/icmp.h"
#include "wire/ipv4.h"
#include "wire/ipv6.h"

namespace txp {
namespace {

void error6(Net& net, SkbPtr skb, DropReason reason) {
  snmp(net, Snmp::Icmp6InErrors);
  rx_drop(net, std::move(skb), reason);
}

// ICMP6MSGIN_INC_STATS(), as far as /proc/net/snmp6 names the types here.
void count6(Net& net, std::uint8_t type) {
  switch (type) {
    case kIcmpv6DestUnreach: snmp(net, Snmp::Icmp6InDestUnreachs); break;
    case kIcmpv6PktToobig: snmp(net, Snmp::Icmp6InPktTooBigs); break;
    case kIcmpv6TimeExceed: snmp(net, Snmp::Icmp6InTimeExcds); break;
    case kIcmpv6Paramprob: snmp(net, Snmp::Icmp6InParmProblems); break;
    case kIcmpv6EchoRequest: snmp(net, Snmp::Icmp6InEchos); break;
    case kIcmpv6EchoReply: snmp(net, Snmp::Icmp6InEchoReplies); break;
    default: break;
  }
}

// icmpv6_notify(): what it is about stands behind the ICMPv6 header.
void icmpv6_notify(Net& net, SkbPtr skb, std::uint32_t info) {
  const auto quoted = std::as_const(*skb).bytes().subspan(kIcmpHlen);
  const auto ip = Ipv6Header::parse(quoted);
  if (!ip) return error6(net, std::move(skb), DropReason::PKT_TOO_SMALL);
  std::uint8_t nexthdr = ip->nexthdr;
  const auto inner = ipv6_skip_exthdr(quoted, kIpv6Hlen, nexthdr);
  if (!inner) return error6(net, std::move(skb), DropReason::IPV6_BAD_EXTHDR);
  constexpr std::size_t kInner = 8;  // bytes that are wanted of what follows
  if (inner->offset + kInner > quoted.size())
    return error6(net, std::move(skb), DropReason::PKT_TOO_SMALL);
  if (nexthdr == kIpProtoUdp) udpv6_err(net, *skb, quoted, inner->offset, info);
  consume(std::move(skb));
}

}  // namespace

void icmpv6_rcv(Net& net, SkbPtr skb) {
  snmp(net, Snmp::Icmp6InMsgs);
  const auto bytes = std::as_const(*skb).bytes();
  const auto ip = Ipv6Header::parse({skb->network(), skb->tail});
  if (!ip) return error6(net, std::move(skb), DropReason::NOT_SPECIFIED);
  const auto len = static_cast<std::uint32_t>(bytes.size());
  if (csum_fold(csum_ipv6_nofold(ip->saddr, ip->daddr, len, kNexthdrIcmpv6,
                                 csum_partial(bytes, 0))) != 0) {
    snmp(net, Snmp::Icmp6InCsumErrors);
    return error6(net, std::move(skb), DropReason::ICMP_CSUM);
  }
  const auto icmp = IcmpHeader::parse(bytes);
  if (!icmp) return error6(net, std::move(skb), DropReason::NOT_SPECIFIED);
  count6(net, icmp->type);
  if ((icmp->type & kIcmpv6InfomsgMask) == 0) return icmpv6_notify(net, std::move(skb), icmp->rest);
  if (icmp->type == kIcmpv6EchoRequest)
    icmpv6_echo_reply(net, *skb);
  else
    ndisc_rcv(net, *skb->dev, *ip, bytes);
  consume(std::move(skb));
}

}  // namespace txp
