// SPDX-License-Identifier: Apache-2.0
// ip6_rcv: what comes in over IPv6, from this host's own loopback and multicast copies above all.
//
// Kernel twin: net/ipv6/ip6_input.c, ip6_rcv_core(), ip6_mc_input(), ip6_protocol_deliver_rcu();
// net/ipv6/exthdrs.c, ipv6_rthdr_rcv().
// Differs: nothing is forwarded; the options in extension headers are not looked at; no source
// filters of groups. Drops (as received packets): OTHERHOST, IPV6DISABLED, IP_INHDR,
// UNHANDLED_PROTO, IP_INADDRERRORS, IP_NOPROTO (with ICMPv6 parameter problem), NOT_SPECIFIED.
#include "dev/netdevice.h"
#include "ip/inet_fragment.h"
#include "ip6/icmpv6.h"
#include "ip6/ip6.h"
#include "net.h"
#include "route/ip6_route.h"
#include "udp/udp_table.h"
#include "wire/ipv4.h"
#include "wire/ipv6.h"

namespace txp {
namespace {

void count_ecn(Net& net, std::uint8_t tclass) {
  constexpr Snmp kByBits[] = {Snmp::Ip6InNoECTPkts, Snmp::Ip6InECT1Pkts, Snmp::Ip6InECT0Pkts,
                              Snmp::Ip6InCEPkts};
  snmp(net, kByBits[tclass & 3]);
}

// ip6_protocol_deliver_rcu(): through the extension headers, each in turn.
void deliver6(Net& net, SkbPtr skb) {
  std::uint32_t nexthdr_at = 6;
  skb->pull(kIpv6Hlen);
  for (;;) {
    const std::uint8_t next = skb->network()[nexthdr_at];
    const auto here = static_cast<std::uint32_t>(skb->data - skb->network());
    if (next == kNexthdrFragment) {
      skb = net.frags6->rcv(std::move(skb), nexthdr_at);
      if (!skb) return;
      continue;
    }
    if (next != kNexthdrHop && next != kNexthdrDest && next != kNexthdrRouting) break;
    const auto bytes = std::as_const(*skb).bytes();
    const std::size_t len = bytes.size() >= 8 ? (bytes[1] + std::size_t{1}) * 8 : 0;
    if (len == 0 || len > bytes.size()) {
      snmp(net, Snmp::Ip6InHdrErrors);
      return rx_drop(net, std::move(skb), DropReason::IP_INHDR);
    }
    if (next == kNexthdrRouting && bytes[3] != 0) {  // it leads on: we are no home agent's node
      snmp(net, Snmp::Ip6InAddrErrors);
      return rx_drop(net, std::move(skb), DropReason::NOT_SPECIFIED);
    }
    nexthdr_at = here;
    skb->pull(len);
  }
  skb->set_transport_header();
  switch (skb->network()[nexthdr_at]) {
    case kIpProtoUdp: udpv6_rcv(net, std::move(skb)); break;
    case kNexthdrIcmpv6: icmpv6_rcv(net, std::move(skb)); break;
    case kNexthdrNone: consume(std::move(skb)); break;
    default:
      snmp(net, Snmp::Ip6InUnknownProtos);
      icmp6_send(net, *skb, kIcmpv6Paramprob, kIcmpv6UnkNexthdr, nexthdr_at);
      return rx_drop(net, std::move(skb), DropReason::IP_NOPROTO);
  }
  snmp(net, Snmp::Ip6InDelivers);
}

}  // namespace

void ip6_rcv(Net& net, SkbPtr skb, NetDevice& dev) {
  if (skb->pkt_type == PacketType::otherhost)
    return rx_drop(net, std::move(skb), DropReason::OTHERHOST);
  snmp(net, Snmp::Ip6InReceives);
  snmp(net, Snmp::Ip6InOctets, skb->len);
  if (!has_in6_dev(dev) || dev.in6_dev().conf.disable_ipv6) {
    snmp(net, Snmp::Ip6InDiscards);
    return rx_drop(net, std::move(skb), DropReason::IPV6DISABLED);
  }
  const auto ip = Ipv6Header::parse(std::as_const(*skb).bytes());
  const bool loopback = (dev.flags() & kIffLoopback) != 0;
  const bool superframe = skb->is_gso();
  const bool bad = !ip || ip->saddr.is_multicast() ||
                   ((ip->saddr.is_loopback() || ip->daddr.is_loopback()) && !loopback);
  if (bad || (!superframe && ip->payload_len + kIpv6Hlen > skb->len) || !skb_linearize(net, skb)) {
    snmp(net, Snmp::Ip6InHdrErrors);
    const bool other_version = !ip && skb->len >= kIpv6Hlen;
    return rx_drop(net, std::move(skb),
                   other_version ? DropReason::UNHANDLED_PROTO : DropReason::IP_INHDR);
  }
  count_ecn(net, ip->tclass);
  if (!superframe && ip->payload_len + kIpv6Hlen < skb->len) {  // a frame's padding
    const auto extra = static_cast<std::uint32_t>(skb->len - ip->payload_len - kIpv6Hlen);
    skb->tail -= extra;
    skb->len -= extra;
  }
  if (ip->daddr.is_multicast()) {
    snmp(net, Snmp::Ip6InMcastPkts);
    snmp(net, Snmp::Ip6InMcastOctets, skb->len);
    if (!ipv6_chk_mcast_addr(dev, ip->daddr))
      return rx_drop(net, std::move(skb), DropReason::NOT_SPECIFIED);
  } else if (!ipv6_chk_addr(net, ip->daddr, nullptr, 0)) {
    snmp(net, Snmp::Ip6InAddrErrors);
    return rx_drop(net, std::move(skb), DropReason::IP_INADDRERRORS);
  }
  deliver6(net, std::move(skb));
}

}  // namespace txp
