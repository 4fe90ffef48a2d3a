// SPDX-License-Identifier: Apache-2.0
// ip_recv_error: recvmsg(MSG_ERRQUEUE), and what puts ICMP and local errors there.
//
// Kernel twin: net/ipv4/ip_sockglue.c, ip_recv_error(), ip_icmp_error(), ip_local_error(),
// ip_icmp_error_rfc4884().
// Differs: nothing.
#include <netinet/in.h>

#include <algorithm>
#include <cstring>

#include "dev/netdevice.h"
#include "ip/icmp.h"
#include "net.h"
#include "socket/error_queue.h"
#include "socket/put_cmsg.h"
#include "socket/sock.h"
#include "socket/timestamping.h"
#include "wire/icmp.h"
#include "wire/ipv4.h"

namespace txp {
namespace {

constexpr std::uint8_t kExtensionVersion = 2;
constexpr std::size_t kExtensionHeader = 4;  // struct icmp_ext_hdr, and struct icmp_extobj_hdr

// Whether the ICMP extensions (RFC 4884) are sound.
bool extensions_valid(std::span<const std::uint8_t> ext) {
  if (ext[0] >> 4 != kExtensionVersion) return true;
  if (load_be16(&ext[2]) != 0 && csum_fold(csum_partial(ext, 0)) != 0) return false;
  for (auto rest = ext.subspan(kExtensionHeader); !rest.empty();) {
    if (rest.size() < kExtensionHeader) return false;
    const std::size_t len = load_be16(rest.data());
    if (len < kExtensionHeader || len > rest.size()) return false;
    rest = rest.subspan(len);
  }
  return true;
}

}  // namespace

void ip_icmp_error_rfc4884(sock_extended_err& ee, std::size_t off, std::size_t headers,
                           std::span<const std::uint8_t> payload) {
  constexpr std::size_t kLeastQuoted = 128;
  if (off < kLeastQuoted || off < headers) return;
  if (off - headers + kExtensionHeader > payload.size()) return;
  ee.ee_rfc4884.len = static_cast<std::uint16_t>(off - headers);
  if (!extensions_valid(payload.subspan(off - headers)))
    ee.ee_rfc4884.flags |= SO_EE_RFC4884_FLAG_INVALID;
}

SockResult<std::size_t> ip_recv_error(Sock& sk, RecvMsg& msg) {
  const std::optional<QueuedError> e = sock_dequeue_err_skb(sk);
  if (!e) return err(EAGAIN);
  const std::size_t copied = msg.copy(e->data);
  sock_recv_timestamp(sk, msg, e->info, true);
  if (e->addr) msg.name = SockAddr4{*e->addr, e->port, AF_INET};
  struct {
    sock_extended_err ee;
    sockaddr_in offender;
  } head{};
  head.ee = e->ee;
  if (e->has_packet) {
    head.offender.sin_family = AF_INET;
    head.offender.sin_addr.s_addr = htonl(e->info.saddr.host);
    ip_cmsg_recv(sk, msg, e->info);
  }
  put_cmsg(msg, IPPROTO_IP, IP_RECVERR, head);
  msg.msg_flags |= MSG_ERRQUEUE;
  return copied;
}

void ip_icmp_error(Sock& sk, const Skb& about, int code, std::uint16_t port, std::uint32_t info,
                   Ip4 inner_daddr, std::span<const std::uint8_t> payload) {
  const Ipv4View ip(about.network());
  QueuedError e;
  e.ee.ee_errno = static_cast<std::uint32_t>(code);
  e.ee.ee_origin = SO_EE_ORIGIN_ICMP;
  e.ee.ee_type = about.data[0];
  e.ee.ee_code = about.data[1];
  e.ee.ee_info = info;
  e.addr = inner_daddr;
  e.port = port;
  e.has_packet = true;
  // What comes in is stamped for those who asked for it.
  if (sk.flag(SockFlag::rcvtstamp) || (sk.tsflags & SOF_TIMESTAMPING_RX_SOFTWARE) != 0)
    e.info.tstamp = sk.net.clock.wall();
  e.info.ifindex = about.dev->ifindex;
  e.info.saddr = ip.saddr();
  e.info.daddr = ip.daddr();
  e.info.ttl = ip.ttl();
  e.info.tos = ip.tos();
  e.data.assign(payload.begin(), payload.end());
  if (sk.recverr_rfc4884 && about.data[0] != kIcmpSourceQuench)
    ip_icmp_error_rfc4884(e.ee, std::size_t{about.data[5]} * 4,
                          static_cast<std::size_t>(payload.data() - about.data) - kIcmpHlen,
                          payload);
  e.truesize = about.truesize;
  static_cast<void>(sock_queue_err_skb(sk, std::move(e)));
}

void ip_local_error(Sock& sk, int code, Ip4 daddr, std::uint16_t port, std::uint32_t info) {
  if (!sk.recverr) return;
  QueuedError e;
  e.ee.ee_errno = static_cast<std::uint32_t>(code);
  e.ee.ee_origin = SO_EE_ORIGIN_LOCAL;
  e.ee.ee_info = info;
  e.addr = daddr;
  e.port = port;
  e.truesize = skb_truesize(sk.net, kIpHlen);
  static_cast<void>(sock_queue_err_skb(sk, std::move(e)));
}

}  // namespace txp
