// SPDX-License-Identifier: Apache-2.0
// ipv6_recv_error: recvmsg(MSG_ERRQUEUE) of an AF_INET6 socket, what puts errors there, and what a
// receive tells beside the bytes.
//
// Kernel twin: net/ipv6/datagram.c, ipv6_recv_error(), ipv6_recv_rxpmtu(), ipv6_icmp_error(),
// ipv6_local_error(), ipv6_local_rxpmtu(), ip6_datagram_recv_ctl().
// Differs: of a stamp without its packet (SOF_TIMESTAMPING_OPT_TSONLY) no sender is told.
#include <netinet/in.h>

#include "dev/netdevice.h"
#include "ip6/icmpv6.h"
#include "ip6/ip6.h"
#include "net.h"
#include "socket/inet6_sock.h"
#include "socket/put_cmsg.h"
#include "socket/timestamping.h"
#include "wire/ethernet.h"
#include "wire/icmp.h"
#include "wire/ipv6.h"

namespace txp {
namespace {

// ipv6_iface_scope_id()
std::uint32_t scope_of(const Ip6& addr, int ifindex) {
  return addr.type().needs_scope_id() ? static_cast<std::uint32_t>(ifindex) : 0;
}

sockaddr_in6 as_sockaddr6(const Ip6& addr, std::uint16_t port, int ifindex) {
  sockaddr_in6 a{};
  a.sin6_family = AF_INET6;
  a.sin6_port = htons(port);
  addr.store(a.sin6_addr.s6_addr);
  a.sin6_scope_id = scope_of(addr, ifindex);
  return a;
}

class Rx {
 public:
  Rx(const Sock& sk, RecvMsg& msg, const PacketInfo& info)
      : np_(*sk.inet6), msg_(msg), info_(info), headers_(info.headers6) {}

  // ip6_datagram_recv_common_ctl()
  void common() {
    if (asked(Rx6::pktinfo)) pktinfo(IPV6_PKTINFO);
  }

  // ip6_datagram_recv_specific_ctl(), in the kernel's order.
  void specific() {
    constexpr int kRecvFragSize = 77;  // IPV6_RECVFRAGSIZE
    constexpr int kOrigDstAddr = 74;   // IPV6_ORIGDSTADDR
    constexpr int kFlowInfo = 11;      // IPV6_FLOWINFO
    const auto ip = Ipv6Header::parse(headers_);
    if (!ip) return;
    if (asked(Rx6::hoplimit)) number(IPV6_HOPLIMIT, ip->hop_limit);
    if (asked(Rx6::tclass)) number(IPV6_TCLASS, ip->tclass);
    if (asked(Rx6::flow)) {
      const std::uint32_t flow = htonl(ip6_make_flowinfo(ip->tclass, ip->flowlabel));
      if (flow != 0) put_cmsg(msg_, IPPROTO_IPV6, kFlowInfo, flow);
    }
    const bool hop = ip->nexthdr == kNexthdrHop;
    if (asked(Rx6::hopopts) && hop) exthdr(IPV6_HOPOPTS, kIpv6Hlen);
    each(*ip, [&](std::uint8_t type, std::size_t at, bool) {
      if (type == kNexthdrDest && asked(Rx6::dstopts)) exthdr(IPV6_DSTOPTS, at);
      if (type == kNexthdrRouting && asked(Rx6::srcrt)) exthdr(IPV6_RTHDR, at);
    });
    if (asked(Rx6::o_pktinfo)) pktinfo(IPV6_2292PKTINFO);
    if (asked(Rx6::o_hoplimit)) number(IPV6_2292HOPLIMIT, ip->hop_limit);
    if (asked(Rx6::o_hopopts) && hop) exthdr(IPV6_2292HOPOPTS, kIpv6Hlen);
    old_style(*ip);
    if (asked(Rx6::origdstaddr))
      put_cmsg(msg_, IPPROTO_IPV6, kOrigDstAddr,
               as_sockaddr6(ip->daddr, info_.dport, info_.ifindex));
    if (asked(Rx6::fragsize) && info_.frag_max_size != 0)
      number(kRecvFragSize, info_.frag_max_size);
  }

 private:
  bool asked(Rx6 what) const { return (np_.rxopt >> static_cast<unsigned>(what) & 1) != 0; }
  void number(int type, int value) { put_cmsg(msg_, IPPROTO_IPV6, type, value); }
  void pktinfo(int type) {
    in6_pktinfo p{};
    const auto ip = Ipv6Header::parse(headers_);
    (ip ? ip->daddr : Ip6::mapped(info_.daddr)).store(p.ipi6_addr.s6_addr);
    p.ipi6_ifindex = static_cast<unsigned>(info_.ifindex);
    put_cmsg(msg_, IPPROTO_IPV6, type, p);
  }
  void exthdr(int type, std::size_t at) {
    if (at + 2 > headers_.size()) return;
    const std::size_t len = (headers_[at + 1] + std::size_t{1}) * 8;
    if (at + len <= headers_.size()) put_cmsg(msg_, IPPROTO_IPV6, type, headers_.subspan(at, len));
  }
  // `visit(type, offset, behind a routing header)` for each extension header.
  template <typename Visit>
  void each(const Ipv6Header& ip, Visit visit) {
    std::uint8_t type = ip.nexthdr;
    bool routed = false;
    for (std::size_t at = kIpv6Hlen; at + 2 <= headers_.size();) {
      visit(type, at, routed);
      routed |= type == kNexthdrRouting;
      type = headers_[at];
      at += type == kNexthdrFragment ? kFragHdrLen : (headers_[at + 1] + std::size_t{1}) * 8;
    }
  }
  // Destination options before the routing header, it, and those after it (RFC 2292).
  void old_style(const Ipv6Header& ip) {
    std::optional<std::size_t> dst0, srcrt, dst1;
    each(ip, [&](std::uint8_t type, std::size_t at, bool routed) {
      if (type == kNexthdrRouting) srcrt = at;
      if (type == kNexthdrDest) (routed ? dst1 : dst0) = at;
    });
    if (!srcrt && dst0) dst1 = std::exchange(dst0, std::nullopt);
    if (asked(Rx6::o_dstopts) && dst0) exthdr(IPV6_2292DSTOPTS, *dst0);
    if (asked(Rx6::o_srcrt) && srcrt) exthdr(IPV6_2292RTHDR, *srcrt);
    if (asked(Rx6::o_dstopts) && dst1) exthdr(IPV6_2292DSTOPTS, *dst1);
  }

  const Ipv6Pinfo& np_;
  RecvMsg& msg_;
  const PacketInfo& info_;
  std::span<const std::uint8_t> headers_;
};

}  // namespace

void ip6_datagram_recv_ctl(const Sock& sk, RecvMsg& msg, const PacketInfo& info) {
  Rx rx(sk, msg, info);
  rx.common();
  if (info.headers6.empty())
    ip_cmsg_recv(sk, msg, info);
  else
    rx.specific();
}

SockResult<std::size_t> ipv6_recv_error(Sock& sk, RecvMsg& msg) {
  const std::optional<QueuedError> e = sock_dequeue_err_skb(sk);
  if (!e) return err(EAGAIN);
  const std::size_t copied = msg.copy(e->data);
  sock_recv_timestamp(sk, msg, e->info, true);
  if (e->addr6)
    msg.name6 = SockAddr6{*e->addr6, e->port, sk.inet6->sndflow ? e->flowinfo : 0,
                          scope_of(*e->addr6, e->info.ifindex)};
  else if (e->addr)
    msg.name6 = SockAddr6{Ip6::mapped(*e->addr), e->port, 0, 0};
  struct {
    sock_extended_err ee;
    sockaddr_in6 offender;
  } head{};
  head.ee = e->ee;
  if (e->has_packet) {
    const auto ip = Ipv6Header::parse(e->info.headers6);
    head.offender =
        as_sockaddr6(ip ? ip->saddr : Ip6::mapped(e->info.saddr), 0, ip ? e->info.ifindex : 0);
    ip6_datagram_recv_ctl(sk, msg, e->info);
  }
  put_cmsg(msg, IPPROTO_IPV6, IPV6_RECVERR, head);
  msg.msg_flags |= MSG_ERRQUEUE;
  return copied;
}

SockResult<std::size_t> ipv6_recv_rxpmtu(Sock& sk, RecvMsg& msg) {
  const auto told = std::exchange(sk.inet6->rxpmtu, std::nullopt);
  if (!told) return err(EAGAIN);
  msg.name6 = SockAddr6{told->daddr, 0, 0, static_cast<std::uint32_t>(told->oif)};
  ip6_mtuinfo info{};
  info.ip6m_addr = as_sockaddr6(told->daddr, 0, 0);
  info.ip6m_addr.sin6_scope_id = static_cast<std::uint32_t>(told->oif);
  info.ip6m_mtu = told->mtu;
  PacketInfo now;
  sock_recv_timestamp(sk, msg, now, false);
  put_cmsg(msg, IPPROTO_IPV6, IPV6_PATHMTU, info);
  return 0;
}

void ipv6_icmp_error(Sock& sk, const Skb& about, int code, std::uint16_t port, std::uint32_t info,
                     std::span<const std::uint8_t> payload) {
  const std::uint8_t type = about.data[0];
  const auto quoted = about.bytes().subspan(kIcmpHlen);
  const auto inner = Ipv6Header::parse(quoted);
  if (!inner) return;
  QueuedError e;
  e.ee.ee_errno = static_cast<std::uint32_t>(code);
  e.ee.ee_origin = SO_EE_ORIGIN_ICMP6;
  e.ee.ee_type = type;
  e.ee.ee_code = about.data[1];
  e.ee.ee_info = info;
  e.addr6 = inner->daddr;
  e.flowinfo = ip6_make_flowinfo(inner->tclass, inner->flowlabel);
  e.port = port;
  e.has_packet = true;
  if (sk.flag(SockFlag::rcvtstamp) || (sk.tsflags & SOF_TIMESTAMPING_RX_SOFTWARE) != 0)
    e.info.tstamp = sk.net.clock.wall();
  e.info.ifindex = inet6_iif(about);
  e.info.headers6.assign(about.network(), about.data);
  e.data.assign(payload.begin(), payload.end());
  if (sk.inet6->recverr_rfc4884 && (type == kIcmpv6TimeExceed || type == kIcmpv6DestUnreach))
    ip_icmp_error_rfc4884(e.ee, std::size_t{about.data[4]} * 8,
                          static_cast<std::size_t>(payload.data() - quoted.data()), payload);
  e.truesize = about.truesize;
  static_cast<void>(sock_queue_err_skb(sk, std::move(e)));
}

void ipv6_local_error(Sock& sk, int code, const Flow6& fl6, std::uint32_t info) {
  if (!sk.inet6->recverr) return;
  QueuedError e;
  e.ee.ee_errno = static_cast<std::uint32_t>(code);
  e.ee.ee_origin = SO_EE_ORIGIN_LOCAL;
  e.ee.ee_info = info;
  e.addr6 = fl6.daddr;
  e.port = fl6.dport;
  e.truesize = skb_truesize(sk.net, kIpv6Hlen);
  static_cast<void>(sock_queue_err_skb(sk, std::move(e)));
}

void ipv6_local_rxpmtu(Sock& sk, const Flow6& fl6, std::uint32_t mtu) {
  constexpr auto kRxPmtu = static_cast<unsigned>(Rx6::pmtu);
  if ((sk.inet6->rxopt >> kRxPmtu & 1) == 0) return;
  const std::lock_guard guard(sk.rx_lock);
  sk.inet6->rxpmtu = Ipv6Pinfo::RxPmtu{fl6.daddr, fl6.oif, mtu};
}

}  // namespace txp
