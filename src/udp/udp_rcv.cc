// SPDX-License-Identifier: Apache-2.0
// udp_rcv: a received datagram to its socket, or to every socket of its group.
//
// Kernel twin: net/ipv4/udp.c, __udp4_lib_rcv(), __udp4_lib_mcast_deliver().
// Differs: the payload is copied out of the skb here (the kernel does at recvmsg()), so the
// checksum is always judged here and counts before the socket's limit does. A segmentation packet
// from this host is taken apart, as for a socket without UDP_GRO. Drops (as received packets):
// PKT_TOO_SMALL, UDP_CSUM, NO_SOCKET (with ICMP port unreachable), SOCKET_RCVBUFF.
#include "dev/netdevice.h"
#include "ip/icmp.h"
#include "ip/ip.h"
#include "ip/ip_options.h"
#include "net.h"
#include "netfilter/nf_conntrack.h"
#include "route/ip_route.h"
#include "udp/udp_table.h"
#include "wire/ipv4.h"
#include "wire/udp.h"

namespace txp {
namespace {

// What the control messages of recvmsg() will be made from (ipv4_pktinfo_prepare()).
PacketInfo packet_info(Net& net, const Skb& skb, const Ipv4View& ip, std::uint16_t dport) {
  PacketInfo info;
  const bool looped = (skb.dev->flags() & kIffLoopback) != 0;
  info.ifindex = looped && skb.rt.iif != 0 ? skb.rt.iif : skb.dev->ifindex;
  info.spec_dst = fib_compute_spec_dst(net, skb);
  info.saddr = ip.saddr();
  info.daddr = ip.daddr();
  info.dport = dport;
  info.ttl = ip.ttl();
  info.tos = ip.tos();
  if (skb.opt.optlen == 0) return info;
  const std::uint8_t* options = skb.network() + kIpHlen;
  info.options.assign(options, options + skb.opt.optlen);
  if (auto echo = ip_options_echo(net, skb); echo) {
    ip_options_undo(*echo);
    info.retoptions.assign(echo->data.begin(), echo->data.begin() + echo->optlen);
  }
  return info;
}

void input_error(Net& net, SkbPtr skb, DropReason reason) {
  snmp(net, Snmp::UdpInErrors);
  rx_drop(net, std::move(skb), reason);
}

bool checksum_good(const Skb& skb, const Ipv4View& ip, std::span<const std::uint8_t> datagram,
                   std::uint16_t check) {
  if (check == 0 || skb.ip_summed == IpSummed::partial) return true;
  const Csum sum = csum_partial(datagram, 0);
  return csum_fold(csum_tcpudp_nofold(ip.saddr().host, ip.daddr().host,
                                      static_cast<std::uint32_t>(datagram.size()), kIpProtoUdp,
                                      sum)) == 0;
}

}  // namespace

void udp_rcv(Net& net, SkbPtr skb) {
  const auto bytes = std::as_const(*skb).bytes();
  const auto uh = UdpHeader::parse(bytes);
  if (!uh) return input_error(net, std::move(skb), DropReason::NOT_SPECIFIED);
  const bool gso = skb->is_gso();
  const std::size_t ulen = gso ? bytes.size() : uh->len;
  if (ulen > bytes.size() || ulen < kUdpHlen)
    return input_error(net, std::move(skb), DropReason::PKT_TOO_SMALL);
  const auto datagram = bytes.first(ulen);
  const Ipv4View ip(skb->network());
  if (!checksum_good(*skb, ip, datagram, uh->check)) {
    snmp(net, Snmp::UdpInCsumErrors);
    return input_error(net, std::move(skb), DropReason::UDP_CSUM);
  }
  Datagram r;
  r.from = {ip.saddr(), uh->source};
  r.to = {ip.daddr(), uh->dest};
  r.info = packet_info(net, *skb, ip, uh->dest);
  const auto payload = datagram.subspan(kUdpHlen);
  const int dif = skb->dev->ifindex;
  // inet_iif(): what this host sent to itself came in at the device that has the address.
  const int iif = skb->rt.iif != 0 ? skb->rt.iif : dif;
  bool taken = false;
  const auto give = [&](Sock& sk) { taken |= udp_queue_rcv_skb(net, sk, r, payload, *skb); };

  if (skb->rt.is_broadcast || skb->rt.is_multicast) {
    if (net.udp->for_each_mcast(ip.saddr(), uh->source, ip.daddr(), uh->dest, dif, give) == 0) {
      snmp(net, Snmp::UdpIgnoredMulti);
      return rx_drop(net, std::move(skb), DropReason::NOT_SPECIFIED);
    }
  } else if (!net.udp->with_socket(ip.saddr(), uh->source, ip.daddr(), uh->dest, iif, give)) {
    snmp(net, Snmp::UdpNoPorts);
    nf_reset_ct(*skb);
    icmp_send(net, *skb, kIcmpDestUnreach, kIcmpPortUnreach, 0);
    return rx_drop(net, std::move(skb), DropReason::NO_SOCKET);
  }
  if (!taken) return rx_drop(net, std::move(skb), DropReason::SOCKET_RCVBUFF);
  consume(std::move(skb));
}

}  // namespace txp
