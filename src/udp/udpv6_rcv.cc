// SPDX-License-Identifier: Apache-2.0
// udpv6_rcv: a received IPv6 datagram to its socket, or to every socket of its group.
//
// Kernel twin: net/ipv6/udp.c, __udp6_lib_rcv(), __udp6_lib_mcast_deliver().
// Differs: as udp_rcv(); port unreachable is not answered. Drops (as received packets):
// PKT_TOO_SMALL, UDP_CSUM, NO_SOCKET, SOCKET_RCVBUFF.
#include <algorithm>

#include "dev/netdevice.h"
#include "net.h"
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

// False: no room.
bool enqueue6(Net& net, Sock& sk, const Datagram& d, std::uint32_t truesize) {
  const std::lock_guard guard(sk.rx_lock);
  const auto rcvbuf =
      static_cast<std::uint32_t>(std::max(sk.rcvbuf.load(std::memory_order_relaxed), 0));
  const std::uint32_t rmem = sk.rmem_alloc.load(std::memory_order_relaxed);
  if (rmem != 0 && std::uint64_t{rmem} + truesize > rcvbuf) {
    sk.drops.fetch_add(1, std::memory_order_relaxed);
    snmp(net, Snmp::Udp6RcvbufErrors);
    snmp(net, Snmp::Udp6InErrors);
    return false;
  }
  sk.rmem_alloc.store(rmem + truesize, std::memory_order_relaxed);
  sk.rx_queue.push_back(d);
  sk.rx_queue.back().truesize = truesize;
  sk.rx_queue.back().drops = static_cast<std::uint32_t>(sk.drops.load(std::memory_order_relaxed));
  return true;
}

}  // namespace

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
  const bool unsummed = uh->check == 0 && skb->ip_summed != IpSummed::partial;
  if (unsummed ||
      (skb->ip_summed != IpSummed::partial &&
       csum_fold(csum_ipv6_nofold(ip->saddr, ip->daddr, static_cast<std::uint32_t>(ulen),
                                  kIpProtoUdp, csum_partial(datagram, 0))) != 0)) {
    snmp(net, Snmp::Udp6InCsumErrors);
    return input_error6(net, std::move(skb), DropReason::UDP_CSUM);
  }
  const int dif = skb->dev->ifindex;
  const auto scope_of = [dif](const Ip6& a) {
    return a.type().needs_scope_id() ? static_cast<std::uint32_t>(dif) : 0U;
  };
  Datagram d;
  d.from6 = SockAddr6{ip->saddr, uh->source, 0, scope_of(ip->saddr)};
  d.to6 = SockAddr6{ip->daddr, uh->dest, 0, scope_of(ip->daddr)};
  const auto payload = datagram.subspan(kUdpHlen);
  const std::size_t step = gso ? skb->gso_size : std::max<std::size_t>(payload.size(), 1);
  bool taken = false;
  const auto give = [&](Sock& sk) {
    std::size_t at = 0;
    do {  // a segmentation packet becomes its datagrams
      const auto part = payload.subspan(at, std::min(step, payload.size() - at));
      d.payload.assign(part.begin(), part.end());
      const std::uint32_t truesize =
          gso ? skb_truesize(net, static_cast<std::uint32_t>(part.size()) + 64) : skb->truesize;
      taken |= enqueue6(net, sk, d, truesize);
      at += step;
    } while (at < payload.size());
  };
  if (ip->daddr.is_multicast()) {
    if (net.udp->for_each_mcast6(ip->saddr, uh->source, ip->daddr, uh->dest, dif, give) == 0) {
      snmp(net, Snmp::Udp6IgnoredMulti);
      return rx_drop(net, std::move(skb), DropReason::NOT_SPECIFIED);
    }
  } else if (!net.udp->with_socket6(ip->saddr, uh->source, ip->daddr, uh->dest, dif, give)) {
    snmp(net, Snmp::Udp6NoPorts);
    return rx_drop(net, std::move(skb), DropReason::NO_SOCKET);
  }
  if (!taken) return rx_drop(net, std::move(skb), DropReason::SOCKET_RCVBUFF);
  consume(std::move(skb));
}

}  // namespace txp
