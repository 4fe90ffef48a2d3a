// SPDX-License-Identifier: Apache-2.0
// udp_send_skb: the UDP header, its checksum (done, left to the driver, or none), the segmentation
// request.
//
// Kernel twin: net/ipv4/udp.c, udp_send_skb(), udp4_hwcsum(), udp_push_pending_frames().
// Differs: nothing. Drops: none of its own; a bad segment size frees the skb with EINVAL or
// EMSGSIZE (NOT_SPECIFIED, as kfree_skb() there).
#include <algorithm>

#include "ip/ip.h"
#include "ip6/ip6.h"
#include "net.h"
#include "observe/trace.h"
#include "udp/udp_table.h"
#include "wire/ipv4.h"
#include "wire/udp.h"

namespace txp {
namespace {

// udp4_hwcsum(): the pseudo-header's sum now, the rest by whoever completes the checksum.
void leave_checksum(Skb& skb, UdpHeader& uh, const Flow4& fl4) {
  skb.ip_summed = IpSummed::partial;
  skb.csum_start = skb.transport_header;
  skb.csum_offset = kUdpCheckOffset;
  uh.check = static_cast<std::uint16_t>(
      ~csum_fold(csum_tcpudp_nofold(fl4.saddr.host, fl4.daddr.host, uh.len, kIpProtoUdp, 0)));
}

// udp_csum() and the pseudo-header. Payload sums were taken while copying.
std::uint16_t checksum(const Skb& skb, const UdpHeader& uh, const Flow4& fl4) {
  Csum sum = csum_add(skb.csum, (Csum{uh.source} + uh.dest) + uh.len);
  for (const Skb* f = skb.frag_list; f != nullptr; f = f->next) sum = csum_add(sum, f->csum);
  const std::uint16_t check =
      csum_fold(csum_tcpudp_nofold(fl4.saddr.host, fl4.daddr.host, uh.len, kIpProtoUdp, sum));
  return check != 0 ? check : kCsumMangled0;
}

}  // namespace

int udp_check_gso(const Cork& cork, std::uint32_t ip_hlen, std::uint32_t datalen,
                  bool no_check_tx) {
  constexpr std::uint32_t kUdpMaxSegments = 128;  // UDP_MAX_SEGMENTS
  const std::uint32_t hlen = ip_hlen + std::uint32_t{kUdpHlen};
  if (hlen + std::min<std::uint32_t>(datalen, cork.gso_size) > cork.fragsize) return EMSGSIZE;
  if (datalen > cork.gso_size * kUdpMaxSegments) return EINVAL;
  return no_check_tx ? EINVAL : 0;
}

SockResult<void> udp_send_skb(Net& net, SkbPtr skb, const Flow4& fl4, const Cork& cork) {
  enter(net, Stage::udp_send_skb, *skb);
  Sock& sk = *skb->sk;
  const std::uint32_t ip_hlen = skb->transport_header - std::uint32_t{skb->network_header};
  const std::uint32_t len = skb->len - ip_hlen;  // UDP header and payload
  const std::uint32_t datalen = len - static_cast<std::uint32_t>(kUdpHlen);
  UdpHeader uh{sk.inet_num, fl4.dport, static_cast<std::uint16_t>(len), 0};
  bool gso = false;
  if (cork.gso_size != 0) {
    if (const int code = udp_check_gso(cork, ip_hlen, datalen, sk.no_check_tx); code != 0) {
      drop(net, Stage::udp_send_skb, std::move(skb), DropReason::NOT_SPECIFIED);
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
    leave_checksum(*skb, uh, fl4);
  else if (sk.no_check_tx)
    skb->ip_summed = IpSummed::none;
  else if (skb->ip_summed == IpSummed::partial)
    leave_checksum(*skb, uh, fl4);
  else
    uh.check = checksum(*skb, uh, fl4);
  uh.emit(skb->transport());
  if (skb->trace != nullptr) {
    if (sk.port_is_random) skb->trace->masked("udp.sport");
    skb->trace->out(Stage::udp_send_skb, "checksum",
                    sk.no_check_tx && !gso                ? "none"
                    : skb->ip_summed == IpSummed::partial ? "left to the device"
                                                          : "software");
    if (gso) skb->trace->out(Stage::udp_send_skb, "segments", skb->gso_segs);
  }
  const bool recverr = sk.recverr;  // the skb, and with it the charge, may be gone below
  const int code = udp_sent(net, ip_send_skb(net, std::move(skb)), recverr);
  if (code != 0) return err(code);
  return {};
}

int udp_sent(Net& net, int code, bool recverr) {
  if (code == 0) {
    snmp(net, Snmp::UdpOutDatagrams);
  } else if (code == ENOBUFS && !recverr) {
    snmp(net, Snmp::UdpSndbufErrors);
    return 0;
  }
  return code;
}

SockResult<void> udp_push_pending_frames(Net& net, Sock& sk) {
  if (sk.inet6 && sk.inet6->cork_is_v6) return udp_v6_push_pending_frames(net, sk);
  Cork& cork = sk.cork;
  SkbPtr skb = ip_finish_skb(net, sk, cork.fl4, cork, cork.trace);
  SockResult<void> sent;
  if (skb) sent = udp_send_skb(net, std::move(skb), cork.fl4, cork);
  cork.udp_len = 0;
  cork.pending = false;
  return sent;
}

void udp_flush_pending_frames(Sock& sk) {
  if (!sk.cork.pending) return;
  sk.cork.udp_len = 0;
  sk.cork.pending = false;
  if (sk.inet6 && sk.inet6->cork_is_v6) return ip6_flush_pending_frames(sk.cork, sk.inet6->cork6);
  ip_flush_pending_frames(sk.cork);
}

}  // namespace txp
