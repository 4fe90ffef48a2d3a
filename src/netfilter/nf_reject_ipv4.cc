// SPDX-License-Identifier: Apache-2.0
// nf_send_unreach: the ICMP error of `reject` and of the target REJECT.
//
// Kernel twin: net/ipv4/netfilter/nf_reject_ipv4.c, nf_send_unreach(); include/net/netfilter/
// nf_reject.h, nf_reject_verify_csum(); net/netfilter/utils.c, nf_ip_checksum().
// Differs: protocols without a checksum of their own (ESP, SCTP ...) are not told apart: this host
// sends UDP, TCP and ICMP. Drops: none; the caller does.
#include "netfilter/nf_reject_ipv4.h"

#include <linux/in.h>

#include "base/checksum.h"
#include "ip/icmp.h"
#include "ip/ip.h"
#include "netfilter/nft_payload.h"
#include "wire/ipv4.h"
#include "wire/udp.h"

namespace txp {
namespace {

// nf_ip_checksum() of CHECKSUM_NONE: over all of the packet, where a sound IP header adds nothing.
bool checksum_holds(const Skb& skb, const Ipv4View& ip) {
  const auto dataoff = static_cast<std::uint32_t>(ip.hlen());
  const std::uint8_t proto = ip.protocol();
  Csum sum = 0;
  if (proto == IPPROTO_TCP || proto == IPPROTO_UDP)
    sum = csum_tcpudp_nofold(ip.saddr().host, ip.daddr().host, skb.len - dataoff, proto, 0);
  std::size_t offset = 0;
  const auto add = [&](std::span<const std::uint8_t> bytes) {
    sum = csum_block_add(sum, csum_partial(bytes, 0), offset);
    offset += bytes.size();
  };
  add(skb.bytes());
  for (const Skb* part = skb.frag_list; part != nullptr; part = part->next) add(part->bytes());
  return csum_fold(sum) == 0;
}

bool answerable(const Skb& skb, const Ipv4View& ip) {
  if (skb.ip_summed == IpSummed::partial) return true;  // skb_csum_unnecessary()
  if (ip.protocol() == IPPROTO_UDP) {
    const auto udp = UdpHeader::parse({skb.network() + ip.hlen(), skb.tail});
    if (udp && udp->check == 0) return true;
  }
  return checksum_holds(skb, ip);
}

}  // namespace

void nf_send_unreach(NftPkt& pkt, std::uint8_t code) {
  const Ipv4View ip(pkt.skb.network());
  if ((ip.frag_off() & kIpOffset) != 0) return;
  nft_leave_checksum(pkt);  // it is quoted
  if (answerable(pkt.skb, ip)) icmp_send(pkt.net, pkt.skb, kIcmpDestUnreach, code, 0);
}

}  // namespace txp
