// SPDX-License-Identifier: Apache-2.0
// udp_rcv: a received datagram to its socket, or to every socket of its group.
//
// Kernel twin: net/ipv4/udp.c, __udp4_lib_rcv(), __udp4_lib_mcast_deliver(),
// __udp_enqueue_schedule_skb().
// Differs: the payload is copied out of the skb here (the kernel does at recvmsg()), so the
// checksum is always judged here and counts before the socket's limit does; no socket filters, no
// encapsulation, no udp_mem. A segmentation packet from this host is taken apart, as for a socket
// without UDP_GRO. Drops (as received packets): PKT_TOO_SMALL, UDP_CSUM, NO_SOCKET (with ICMP port
// unreachable), SOCKET_RCVBUFF.
#include <algorithm>

#include "dev/netdevice.h"
#include "ip/icmp.h"
#include "ip/ip.h"
#include "ip/ip_options.h"
#include "net.h"
#include "netfilter/nf_conntrack.h"
#include "route/ip_route.h"
#include "socket/timestamping.h"
#include "udp/udp_table.h"
#include "wire/ipv4.h"
#include "wire/udp.h"

namespace txp {
namespace {

struct Received {
  SockAddr4 from;
  SockAddr4 to;
  std::span<const std::uint8_t> payload;
  std::uint32_t truesize;
  PacketInfo info;
};

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

// __udp_queue_rcv_skb(): one datagram into the socket's queue. False: no room.
bool enqueue(Net& net, Sock& sk, const Received& r, std::span<const std::uint8_t> payload,
             std::uint32_t truesize) {
  const std::lock_guard guard(sk.rx_lock);
  const auto rcvbuf =
      static_cast<std::uint32_t>(std::max(sk.rcvbuf.load(std::memory_order_relaxed), 0));
  const std::uint32_t rmem = sk.rmem_alloc.load(std::memory_order_relaxed);
  // At least one datagram is always taken.
  if (rmem != 0 && std::uint64_t{rmem} + truesize > rcvbuf) {
    sk.drops.fetch_add(1, std::memory_order_relaxed);
    snmp(net, Snmp::UdpRcvbufErrors);
    snmp(net, Snmp::UdpInErrors);
    return false;
  }
  sk.rmem_alloc.store(rmem + truesize, std::memory_order_relaxed);
  Datagram d;
  d.from = r.from;
  d.to = r.to;
  d.payload.assign(payload.begin(), payload.end());
  d.truesize = truesize;
  d.info = r.info;
  d.drops = static_cast<std::uint32_t>(sk.drops.load(std::memory_order_relaxed));
  sk.rx_queue.push_back(std::move(d));
  if (sk.flag(SockFlag::rcvtstamp) || (sk.tsflags & SOF_TIMESTAMPING_RX_SOFTWARE) != 0)
    sk.rx_queue.back().info.tstamp = net.clock.wall();
  return true;
}

// udp_queue_rcv_skb(): a segmentation packet becomes its datagrams. False: all were refused.
bool queue_rcv(Net& net, Sock& sk, const Received& r, std::size_t gso_size) {
  if (gso_size == 0) return enqueue(net, sk, r, r.payload, r.truesize);
  bool any = false;
  for (std::size_t at = 0; at < r.payload.size(); at += gso_size) {
    const auto part = r.payload.subspan(at, std::min(gso_size, r.payload.size() - at));
    any |=
        enqueue(net, sk, r, part, skb_truesize(net, static_cast<std::uint32_t>(part.size()) + 64));
  }
  return any;
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
  const Received r{{ip.saddr(), uh->source},
                   {ip.daddr(), uh->dest},
                   datagram.subspan(kUdpHlen),
                   skb->truesize,
                   packet_info(net, *skb, ip, uh->dest)};
  const int dif = skb->dev->ifindex;
  // inet_iif(): what this host sent to itself came in at the device that has the address.
  const int iif = skb->rt.iif != 0 ? skb->rt.iif : dif;
  const std::size_t gso_size = gso ? skb->gso_size : 0;
  bool taken = false;
  const auto give = [&](Sock& sk) { taken |= queue_rcv(net, sk, r, gso_size); };

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
