// SPDX-License-Identifier: Apache-2.0
// udpv6_rcv: a received IPv6 datagram to its socket, or to every socket of its group.
//
// Kernel twin: net/ipv6/udp.c, __udp6_lib_rcv(), __udp6_lib_mcast_deliver().
// Differs: as udp_rcv(). Drops (as received packets): PKT_TOO_SMALL, UDP_CSUM, NO_SOCKET (with
// ICMPv6 port unreachable), SOCKET_RCVBUFF.
#include "dev/netdevice.h"
#include "ip6/icmpv6.h"
#include "ip6/ip6.h"
#include "net.h"
#include "netfilter/nf_conntrack.h"
#include "socket/inet6_sock.h"
#include "udp/udp_table.h"
#include "wire/ipv4.h"
#include "wire/ipv6.h"
#include "wire/udp.h"

namespace txp {
namespace {

void input_error6(Net& net, SkbPtr skb, DropReason reason) {
  snmp(net, Snmp::Udp6InErrors);
  rx_drop(net, std::move(skb), reason);
}

bool checksum6_good(const Skb& skb, const Ipv6Header& ip, std::span<const std::uint8_t> datagram,
                    std::uint16_t check) {
  if (skb.ip_summed == IpSummed::partial) return true;
  if (check == 0) return ip.daddr.is_multicast();  // its sockets are asked one by one
  return csum_fold(csum_ipv6_nofold(ip.saddr, ip.daddr, static_cast<std::uint32_t>(datagram.size()),
                                    kIpProtoUdp, csum_partial(datagram, 0))) == 0;
}

}  // namespace

int inet6_iif(const Skb& skb) {
  const bool looped = (skb.dev->flags() & kIffLoopback) != 0;
  return looped && skb.rt.iif != 0 ? skb.rt.iif : skb.dev->ifindex;
}

void udpv6_rcv(Net& net, SkbPtr skb) {
  const auto bytes = std::as_const(*skb).bytes();
  const auto uh = UdpHeader::parse(bytes);
  const auto ip = Ipv6Header::parse({skb->network(), skb->tail});
  if (!uh || !ip) return input_error6(net, std::move(skb), DropReason::NOT_SPECIFIED);
  const bool gso = skb->is_gso();
  const std::size_t ulen = gso || uh->len == 0 ? bytes.size() : uh->len;
  if (ulen > bytes.size() || ulen < kUdpHlen)
    return input_error6(net, std::move(skb), DropReason::PKT_TOO_SMALL);
  const auto datagram = bytes.first(ulen);
  if (!checksum6_good(*skb, *ip, datagram, uh->check)) {
    snmp(net, Snmp::Udp6InCsumErrors);
    return input_error6(net, std::move(skb), DropReason::UDP_CSUM);
  }
  const int iif = inet6_iif(*skb);
  const auto scope_of = [iif](const Ip6& a) {
    return a.type().needs_scope_id() ? static_cast<std::uint32_t>(iif) : 0U;
  };
  Datagram r;
  r.from6 = SockAddr6{ip->saddr, uh->source, 0, scope_of(ip->saddr)};
  r.to6 = SockAddr6{ip->daddr, uh->dest, 0, scope_of(ip->daddr)};
  r.info.ifindex = iif;
  r.info.dport = uh->dest;
  r.info.headers6.assign(skb->network(), skb->data);
  r.info.frag_max_size = skb->frag_max_size;
  const auto payload = datagram.subspan(kUdpHlen);
  bool taken = false;
  const auto give = [&](Sock& sk) { taken |= udp_queue_rcv_skb(net, sk, r, payload, *skb); };
  if (ip->daddr.is_multicast()) {
    std::size_t heard = 0;
    const auto give_checked = [&](Sock& sk) {
      if (uh->check == 0 && !sk.flag(SockFlag::no_check6_rx)) return;
      ++heard;
      give(sk);
    };
    net.udp->for_each_mcast6(ip->saddr, uh->source, ip->daddr, uh->dest, iif, give_checked);
    if (heard == 0) {
      snmp(net, Snmp::Udp6IgnoredMulti);
      return rx_drop(net, std::move(skb), DropReason::NOT_SPECIFIED);
    }
  } else if (!net.udp->with_socket6(ip->saddr, uh->source, ip->daddr, uh->dest, iif, give)) {
    snmp(net, Snmp::Udp6NoPorts);
    nf_reset_ct(*skb);
    icmp6_send(net, *skb, kIcmpv6DestUnreach, kIcmpv6PortUnreach, 0);
    return rx_drop(net, std::move(skb), DropReason::NO_SOCKET);
  }
  if (!taken) return rx_drop(net, std::move(skb), DropReason::SOCKET_RCVBUFF);
  consume(std::move(skb));
}

}  // namespace txp
