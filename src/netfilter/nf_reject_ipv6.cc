// SPDX-License-Identifier: Apache-2.0
// nf_send_unreach6: the ICMPv6 error of `reject`.
//
// Kernel twin: net/ipv6/netfilter/nf_reject_ipv6.c, nf_send_unreach6(), reject6_csum_ok();
// net/netfilter/utils.c, nf_ip6_checksum().
// Differs: as nf_reject_ipv4.cc. Drops: none; the caller does.
#include "netfilter/nf_reject_ipv6.h"

#include <linux/in.h>

#include "base/checksum.h"
#include "ip6/icmpv6.h"
#include "ip6/ip6.h"
#include "netfilter/nft_payload.h"
#include "wire/ipv6.h"
#include "wire/udp.h"

namespace txp {
namespace {

// Whether the packet's checksum holds, from its transport header on.
bool checksum6_holds(const Skb& skb, const Ipv6Header& ip, std::uint32_t thoff,
                     std::uint8_t proto) {
  Csum sum = csum_ipv6_nofold(ip.saddr, ip.daddr, skb.len - thoff, proto, 0);
  std::size_t offset = 0;
  const auto add = [&](std::span<const std::uint8_t> bytes) {
    sum = csum_block_add(sum, csum_partial(bytes, 0), offset);
    offset += bytes.size();
  };
  add(skb.bytes().subspan(thoff));
  for (const Skb* part = skb.frag_list; part != nullptr; part = part->next) add(part->bytes());
  return csum_fold(sum) == 0;
}

bool answerable6(const Skb& skb) {
  if (skb.ip_summed == IpSummed::partial) return true;  // skb_csum_unnecessary()
  const std::span<const std::uint8_t> packet(skb.network(), skb.tail);
  const auto ip = Ipv6Header::parse(packet);
  if (!ip) return false;
  std::uint8_t proto = ip->nexthdr;
  const auto inner = ipv6_skip_exthdr(packet, kIpv6Hlen, proto);
  if (!inner || inner->offset >= packet.size() || (inner->frag_off & ~7) != 0) return false;
  if (proto == IPPROTO_UDP) {
    const auto udp = UdpHeader::parse(packet.subspan(inner->offset));
    if (udp && udp->check == 0) return true;
  }
  const auto network = static_cast<std::uint32_t>(skb.network() - skb.data);
  return checksum6_holds(skb, *ip, network + static_cast<std::uint32_t>(inner->offset), proto);
}

}  // namespace

void nf_send_unreach6(NftPkt& pkt, std::uint8_t code) {
  nft_leave_checksum(pkt);  // it is quoted
  if (answerable6(pkt.skb)) icmp6_send(pkt.net, pkt.skb, kIcmpv6DestUnreach, code, 0);
}

}  // namespace txp
