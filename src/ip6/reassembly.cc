// SPDX-License-Identifier: Apache-2.0
// reassembly: puts an IPv6 datagram together from its fragments (RFC 8200, 4.5).
//
// Kernel twin: net/ipv6/reassembly.c, ipv6_frag_rcv(), ip6_frag_queue(), ip6_frag_reasm(),
// ip6frag_expire_frag_queue(); net/ipv6/exthdrs_core.c, ipv6frag_thdr_truncated().
// Differs: as inet_fragment.cc, whose drops are its own too. Drops besides: NOT_SPECIFIED, with
// ICMPv6 parameter problem, for a header that cannot be right.
#include <algorithm>
#include <cstring>

#include "dev/netdevice.h"
#include "ip/inet_fragment.h"
#include "ip6/icmpv6.h"
#include "ip6/ip6.h"
#include "net.h"
#include "wire/ipv4.h"
#include "wire/ipv6.h"

namespace txp {
namespace {

constexpr std::uint8_t kTcp6 = 6;

// icmpv6_param_prob().
SkbPtr param_prob(Net& net, SkbPtr skb, std::uint8_t code, std::size_t at) {
  snmp(net, Snmp::Ip6InHdrErrors);
  icmp6_send(net, *skb, kIcmpv6Paramprob, code, static_cast<std::uint32_t>(at));
  rx_drop(net, std::move(skb), DropReason::NOT_SPECIFIED);
  return nullptr;
}

// ipv6frag_thdr_truncated(): a first fragment without the whole of its transport header.
bool thdr_truncated(const Skb& skb) {
  const std::span<const std::uint8_t> packet(skb.network(), skb.tail);
  std::uint8_t nexthdr = packet[6];
  const auto inner = ipv6_skip_exthdr(packet, kIpv6Hlen, nexthdr);
  if (!inner || (inner->frag_off & ~7) != 0) return false;
  const std::size_t wanted = nexthdr == kTcp6                                      ? 20
                             : nexthdr == kIpProtoUdp || nexthdr == kNexthdrIcmpv6 ? 8
                                                                                   : 1;
  return inner->offset + wanted > packet.size();
}

}  // namespace

Ip6Frags::Ip6Frags(Net& net)
    : InetFrags(net,
                {Snmp::Ip6ReasmReqds, Snmp::Ip6ReasmOKs, Snmp::Ip6ReasmFails, Snmp::Ip6ReasmTimeout,
                 std::nullopt},
                kTimeout) {}

SkbPtr Ip6Frags::rcv(SkbPtr skb, std::uint32_t& nexthdr_at) {
  snmp(net_, Snmp::Ip6ReasmReqds);
  const Ipv6View ip(skb->network());
  const auto here = static_cast<std::size_t>(skb->data - skb->network());
  const auto fh = FragHeader::parse(std::as_const(*skb).bytes());
  if (ip.payload_len() == 0 || !fh) return param_prob(net_, std::move(skb), kIcmpv6HdrField, here);
  if ((fh->frag_off & ~6) == 0) {  // it is not a fragmented frame
    nexthdr_at = static_cast<std::uint32_t>(here);
    skb->frag_max_size = static_cast<std::uint16_t>(ip.payload_len() + kIpv6Hlen);
    skb->pull(kFragHdrLen);
    snmp(net_, Snmp::Ip6ReasmOKs);
    return skb;
  }
  if (thdr_truncated(*skb)) return param_prob(net_, std::move(skb), kIcmpv6HdrIncomp, 0);
  Part part;
  part.hlen = kFragHdrLen;
  part.offset = fh->frag_off & ~7U;
  part.end = part.offset + skb->len - kFragHdrLen;
  part.more = (fh->frag_off & kIp6Mf) != 0;
  part.ecn = ip.tclass() & 3;
  part.nexthdr_at = nexthdr_at;
  if (part.end > kIpv6MaxPlen) return param_prob(net_, std::move(skb), kIcmpv6HdrField, here + 2);
  if (part.more && (part.end & 7) != 0)
    return param_prob(net_, std::move(skb), kIcmpv6HdrField, 4);  // payload_len
  Key key{ip.saddr(), ip.daddr(), fh->id};
  if (key.daddr.is_multicast() || key.daddr.is_linklocal()) key.iif = skb->dev->ifindex;
  SkbPtr whole = take(key, part, std::move(skb));
  if (!whole) return nullptr;
  // As the first fragment had it.
  const auto hlen = static_cast<std::size_t>(whole->transport_header - whole->network_header);
  std::uint8_t nexthdr = whole->network()[6];
  nexthdr_at = 6;
  for (std::size_t at = kIpv6Hlen;
       at < hlen &&
       (nexthdr == kNexthdrHop || nexthdr == kNexthdrRouting || nexthdr == kNexthdrDest);) {
    nexthdr_at = static_cast<std::uint32_t>(at);
    nexthdr = whole->network()[at];
    at += (whole->network()[at + 1] + std::size_t{1}) * 8;
  }
  whole->pull(hlen);
  return whole;
}

std::size_t Ip6Frags::write_headers(const Queue& q, const Skb& first, Skb& whole) {
  const auto hlen = static_cast<std::size_t>(first.data - first.network()) - kFragHdrLen;
  std::memcpy(whole.put(hlen), first.network(), hlen);
  whole.data[q.nexthdr_at] = first.network()[hlen];
  return hlen;
}

bool Ip6Frags::finish_headers(const Queue&, Skb& whole, std::uint8_t ecn) {
  if (whole.len - kIpv6Hlen > kIpv6MaxPlen) return false;
  Ipv6View ip(whole.network());
  ip.set_payload_len(static_cast<std::uint16_t>(whole.len - kIpv6Hlen));
  ip.set_tclass(static_cast<std::uint8_t>(ip.tclass() | ecn));
  return true;
}

void Ip6Frags::tell_timeout(Skb& head) {
  icmp6_send(net_, head, kIcmpv6TimeExceed, kIcmpv6ExcFragtime, 0);
}

}  // namespace txp
