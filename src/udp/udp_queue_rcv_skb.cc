// SPDX-License-Identifier: Apache-2.0
// udp_queue_rcv_skb: a received datagram, of either family, into its socket's queue.
//
// Kernel twin: net/ipv4/udp.c, udp_queue_rcv_skb(), __udp_enqueue_schedule_skb(); net/ipv6/udp.c,
// udpv6_queue_rcv_skb().
// Differs: the payload is copied out of the skb here (the kernel does at recvmsg()); no socket
// filters, no encapsulation, no udp_mem.
#include <algorithm>

#include "net.h"
#include "socket/timestamping.h"
#include "udp/udp_table.h"

namespace txp {
namespace {

bool enqueue(Net& net, Sock& sk, const Datagram& r, std::span<const std::uint8_t> payload,
             std::uint32_t truesize) {
  const std::lock_guard guard(sk.rx_lock);
  const auto rcvbuf =
      static_cast<std::uint32_t>(std::max(sk.rcvbuf.load(std::memory_order_relaxed), 0));
  const std::uint32_t rmem = sk.rmem_alloc.load(std::memory_order_relaxed);
  // At least one datagram is always taken.
  if (rmem != 0 && std::uint64_t{rmem} + truesize > rcvbuf) {
    sk.drops.fetch_add(1, std::memory_order_relaxed);
    snmp(net, r.from6 ? Snmp::Udp6RcvbufErrors : Snmp::UdpRcvbufErrors);
    snmp(net, r.from6 ? Snmp::Udp6InErrors : Snmp::UdpInErrors);
    return false;
  }
  sk.rmem_alloc.store(rmem + truesize, std::memory_order_relaxed);
  Datagram& d = sk.rx_queue.emplace_back(r);
  d.payload.assign(payload.begin(), payload.end());
  d.truesize = truesize;
  d.drops = static_cast<std::uint32_t>(sk.drops.load(std::memory_order_relaxed));
  if (sk.flag(SockFlag::rcvtstamp) || (sk.tsflags & SOF_TIMESTAMPING_RX_SOFTWARE) != 0)
    d.info.tstamp = net.clock.wall();
  return true;
}

}  // namespace

bool udp_queue_rcv_skb(Net& net, Sock& sk, const Datagram& r, std::span<const std::uint8_t> payload,
                       const Skb& skb) {
  if (!skb.is_gso()) return enqueue(net, sk, r, payload, skb.truesize);
  bool any = false;
  for (std::size_t at = 0; at < payload.size(); at += skb.gso_size) {
    const auto part = payload.subspan(at, std::min<std::size_t>(skb.gso_size, payload.size() - at));
    any |=
        enqueue(net, sk, r, part, skb_truesize(net, static_cast<std::uint32_t>(part.size()) + 64));
  }
  return any;
}

}  // namespace txp
