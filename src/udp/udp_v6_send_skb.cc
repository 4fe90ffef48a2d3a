// SPDX-License-Identifier: Apache-2.0
// udp_v6_send_skb: the UDP header, its checksum (which IPv6 wants), the segmentation request.
//
// Kernel twin: net/ipv6/udp.c, udp_v6_send_skb(), udp6_hwcsum_outgoing(),
// udp_v6_push_pending_frames().
// Differs: nothing. Drops: none of its own; a bad segment size frees the skb with EINVAL or
// EMSGSIZE (NOT_SPECIFIED, as kfree_skb() there).
#include "ip6/ip6.h"
#include "net.h"
#include "observe/trace.h"
#include "udp/udp_table.h"
#include "wire/ipv4.h"
#include "wire/ipv6.h"
#include "wire/udp.h"

namespace txp {
namespace {

// udp6_hwcsum_outgoing(): the pseudo-header's sum now, the rest by whoever completes it.
void leave_checksum6(Skb& skb, UdpHeader& uh, const Flow6& fl6, std::uint32_t len) {
  skb.ip_summed = IpSummed::partial;
  skb.csum_start = skb.transport_header;
  skb.csum_offset = kUdpCheckOffset;
  uh.check = static_cast<std::uint16_t>(
      ~csum_fold(csum_ipv6_nofold(fl6.saddr, fl6.daddr, len, kIpProtoUdp, 0)));
}

std::uint16_t checksum6(const Skb& skb, const UdpHeader& uh, const Flow6& fl6, std::uint32_t len) {
  Csum sum = csum_add(skb.csum, (Csum{uh.source} + uh.dest) + uh.len);
  for (const Skb* f = skb.frag_list; f != nullptr; f = f->next) sum = csum_add(sum, f->csum);
  const std::uint16_t check =
      csum_fold(csum_ipv6_nofold(fl6.saddr, fl6.daddr, len, kIpProtoUdp, sum));
  return check != 0 ? check : kCsumMangled0;
}

}  // namespace

SockResult<void> udp_v6_send_skb(Net& net, SkbPtr skb, const Flow6& fl6, const Cork& cork) {
  enter(net, Stage::udp_v6_send_skb, *skb);
  const Sock& sk = *skb->sk;
  const bool no_check = sk.flag(SockFlag::no_check6_tx);
  const std::uint32_t ip_hlen = skb->transport_header - std::uint32_t{skb->network_header};
  const std::uint32_t len = skb->len - ip_hlen;  // UDP header and payload
  const std::uint32_t datalen = len - static_cast<std::uint32_t>(kUdpHlen);
  UdpHeader uh{fl6.sport, fl6.dport, static_cast<std::uint16_t>(len), 0};
  bool gso = false;
  if (cork.gso_size != 0) {
    if (const int code = udp_check_gso(cork, ip_hlen, datalen, no_check); code != 0) {
      drop(net, Stage::udp_v6_send_skb, std::move(skb), DropReason::NOT_SPECIFIED);
      return err(code);
    }
    if (datalen > cork.gso_size) {
      gso = true;
      skb->gso_size = cork.gso_size;
      skb->gso_type = GsoType::udp_l4;
      skb->gso_segs = static_cast<std::uint16_t>((datalen + cork.gso_size - 1) / cork.gso_size);
    }
  }
  if (gso)
    leave_checksum6(*skb, uh, fl6, len);
  else if (no_check)
    skb->ip_summed = IpSummed::none;
  else if (skb->ip_summed == IpSummed::partial)
    leave_checksum6(*skb, uh, fl6, len);
  else
    uh.check = checksum6(*skb, uh, fl6, len);
  uh.emit(skb->transport());
  if (skb->trace != nullptr) {
    if (sk.port_is_random) skb->trace->masked("udp.sport");
    skb->trace->out(Stage::udp_v6_send_skb, "checksum",
                    no_check && !gso                      ? "none"
                    : skb->ip_summed == IpSummed::partial ? "left to the device"
                                                          : "software");
    if (gso) skb->trace->out(Stage::udp_v6_send_skb, "segments", skb->gso_segs);
  }
  const bool recverr = sk.inet6->recverr;  // the skb, and with it the charge, may be gone below
  const int code = ip6_send_skb(net, std::move(skb));
  if (code == 0) {
    snmp(net, Snmp::Udp6OutDatagrams);
  } else if (code == ENOBUFS && !recverr) {
    snmp(net, Snmp::Udp6SndbufErrors);
  } else {
    return err(code);
  }
  return {};
}

SockResult<void> udp_v6_push_pending_frames(Net& net, Sock& sk) {
  Cork& cork = sk.cork;
  Cork6& cork6 = sk.inet6->cork6;
  SkbPtr skb = ip6_finish_skb(net, sk, cork, cork6, cork.trace);
  SockResult<void> sent;
  if (skb) sent = udp_v6_send_skb(net, std::move(skb), cork6.fl6, cork);
  cork.udp_len = 0;
  cork.pending = false;
  sk.inet6->cork_is_v6 = false;
  return sent;
}

}  // namespace txp
