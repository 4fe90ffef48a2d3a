// SPDX-License-Identifier: Apache-2.0
// put_cmsg: what a receive tells beside the bytes.
//
// Kernel twin: net/core/scm.c, put_cmsg(); net/socket.c, __sock_recv_timestamp();
// net/ipv4/ip_sockglue.c, ip_cmsg_recv_offset().
// Differs: no hardware stamps; IP_PASSSEC, IP_CHECKSUM and IP_RECVFRAGSIZE tell nothing.
#include "socket/put_cmsg.h"

#include <netinet/in.h>
#include <sys/time.h>

#include <algorithm>
#include <cstring>

#include "net.h"
#include "socket/timestamping.h"

namespace txp {
namespace {

timespec as_timespec(Nanos t) { return {t / kSecond, t % kSecond}; }
timeval wall_timeval(Nanos t) { return {t / kSecond, t % kSecond / 1000}; }

sockaddr_in as_sockaddr(Ip4 addr, std::uint16_t port) {
  sockaddr_in a{};
  a.sin_family = AF_INET;
  a.sin_addr.s_addr = htonl(addr.host);
  a.sin_port = htons(port);
  return a;
}

}  // namespace

void put_cmsg(RecvMsg& msg, int level, int type, std::span<const std::uint8_t> data) {
  const auto room = msg.control.subspan(msg.controllen);
  if (room.size() < sizeof(cmsghdr)) {
    msg.msg_flags |= MSG_CTRUNC;
    return;
  }
  cmsghdr head{};
  head.cmsg_level = level;
  head.cmsg_type = type;
  head.cmsg_len = CMSG_LEN(data.size());
  if (head.cmsg_len > room.size()) {
    msg.msg_flags |= MSG_CTRUNC;
    head.cmsg_len = room.size();
  }
  std::memcpy(room.data(), &head, sizeof head);
  if (head.cmsg_len > CMSG_LEN(0))
    std::memcpy(room.data() + CMSG_LEN(0), data.data(), head.cmsg_len - CMSG_LEN(0));
  msg.controllen += std::min<std::size_t>(CMSG_SPACE(data.size()), room.size());
}

void sock_recv_timestamp(const Sock& sk, RecvMsg& msg, const PacketInfo& info,
                         bool from_error_queue) {
  const bool is_new = sk.flag(SockFlag::tstamp_new);
  if (sk.flag(SockFlag::rcvtstamp)) {
    const Nanos t = info.tstamp != 0 ? info.tstamp : sk.net.clock.wall();
    if (sk.flag(SockFlag::rcvtstampns))
      put_cmsg(msg, SOL_SOCKET, is_new ? SO_TIMESTAMPNS_NEW : SO_TIMESTAMPNS_OLD, as_timespec(t));
    else
      put_cmsg(msg, SOL_SOCKET, is_new ? SO_TIMESTAMP_NEW : SO_TIMESTAMP_OLD, wall_timeval(t));
  }
  const std::uint32_t flags = sk.tsflags;
  const bool wanted = from_error_queue || (flags & SOF_TIMESTAMPING_RX_SOFTWARE) != 0 ||
                      (flags & kSofOptRxFilter) == 0;
  if ((flags & SOF_TIMESTAMPING_SOFTWARE) == 0 || !wanted || info.tstamp == 0) return;
  const scm_timestamping stamps{{as_timespec(info.tstamp), {}, {}}};
  put_cmsg(msg, SOL_SOCKET, is_new ? SO_TIMESTAMPING_NEW : SO_TIMESTAMPING_OLD, stamps);
}

void ip_cmsg_recv(const Sock& sk, RecvMsg& msg, const PacketInfo& info) {
  if (sk.flag(SockFlag::pktinfo)) {
    in_pktinfo p{};
    p.ipi_ifindex = info.ifindex;
    p.ipi_spec_dst.s_addr = htonl(info.spec_dst.host);
    p.ipi_addr.s_addr = htonl(info.daddr.host);
    put_cmsg(msg, IPPROTO_IP, IP_PKTINFO, p);
  }
  if (sk.flag(SockFlag::recvttl)) put_cmsg(msg, IPPROTO_IP, IP_TTL, int{info.ttl});
  if (sk.flag(SockFlag::recvtos)) put_cmsg(msg, IPPROTO_IP, IP_TOS, info.tos);
  if (sk.flag(SockFlag::recvopts) && !info.options.empty())
    put_cmsg(msg, IPPROTO_IP, IP_RECVOPTS, std::span(info.options));
  if (sk.flag(SockFlag::retopts) && !info.options.empty())
    put_cmsg(msg, IPPROTO_IP, IP_RETOPTS, std::span(info.retoptions));
  if (sk.flag(SockFlag::recvorigdstaddr))
    put_cmsg(msg, IPPROTO_IP, IP_ORIGDSTADDR, as_sockaddr(info.daddr, info.dport));
}

}  // namespace txp
