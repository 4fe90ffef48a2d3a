// SPDX-License-Identifier: Apache-2.0
// udp_recvmsg: the oldest datagram that waits on a socket, or its oldest error (MSG_ERRQUEUE).
//
// Kernel twin: net/ipv4/udp.c, udp_recvmsg(), __skb_recv_udp(); net/ipv6/udp.c, udpv6_recvmsg().
// Differs: never waits; no SO_PEEK_OFF; no SO_MARK, SO_PRIORITY and UDP_GRO messages.
#include <algorithm>
#include <cstring>

#include "net.h"
#include "socket/inet6_sock.h"
#include "socket/put_cmsg.h"
#include "socket/sock.h"

namespace txp {
namespace {

int sock_error(Sock& sk) { return sk.sk_err.exchange(0, std::memory_order_relaxed); }

// __skb_recv_udp(): what has come is moved over to the reader in one go.
void refill_reader(Sock& sk) {
  if (sk.reader_queue == 0) sk.reader_queue = sk.rx_queue.size();
}

// __skb_unlink() and udp_rmem_release(): the buffer's room comes back in quarters of it, or when
// the reader has nothing left.
Datagram take_first(Sock& sk) {
  Datagram d = std::move(sk.rx_queue.front());
  sk.rx_queue.pop_front();
  snmp(sk.net, d.from6 ? Snmp::Udp6InDatagrams : Snmp::UdpInDatagrams);
  --sk.reader_queue;
  sk.forward_deficit += d.truesize;
  if (sk.forward_deficit < sk.forward_threshold && sk.reader_queue != 0) return d;
  sk.rmem_alloc.fetch_sub(std::exchange(sk.forward_deficit, 0U), std::memory_order_relaxed);
  return d;
}

// sock_recv_cmsgs() and ip_cmsg_recv().
void tell(const Sock& sk, RecvMsg& msg, const Datagram& d) {
  sock_recv_timestamp(sk, msg, d.info, false);
  if (sk.flag(SockFlag::rxq_ovfl) && d.drops != 0) put_cmsg(msg, SOL_SOCKET, SO_RXQ_OVFL, d.drops);
  if (d.from6)
    msg.name6 = d.from6;
  else
    msg.name = d.from;
  if (sk.inet6)
    ip6_datagram_recv_ctl(sk, msg, d.info);
  else
    ip_cmsg_recv(sk, msg, d.info);
}

}  // namespace

SockResult<Datagram> udp_recvmsg(Sock& sk) {
  if (const int pending = sock_error(sk); pending != 0) return err(pending);
  const std::lock_guard guard(sk.rx_lock);
  if (sk.rx_queue.empty()) return err(EAGAIN);
  refill_reader(sk);
  return take_first(sk);
}

SockResult<std::size_t> udp_recvmsg(Sock& sk, RecvMsg& msg) {
  if ((msg.flags & MSG_ERRQUEUE) != 0)
    return sk.inet6 ? ipv6_recv_error(sk, msg) : ip_recv_error(sk, msg);
  if (const int pending = sock_error(sk); pending != 0) return err(pending);
  const std::lock_guard guard(sk.rx_lock);
  if (sk.inet6 && sk.inet6->rxpmtu) return ipv6_recv_rxpmtu(sk, msg);
  if (sk.rx_queue.empty()) {
    const bool would_wait = !sk.nonblocking && (msg.flags & MSG_DONTWAIT) == 0;
    if (sk.shutdown_recv && would_wait) return 0;
    return err(EAGAIN);
  }
  refill_reader(sk);
  const Datagram& d = sk.rx_queue.front();
  const std::size_t copied = msg.copy(d.payload);
  tell(sk, msg, d);
  const std::size_t whole = d.payload.size();
  if ((msg.flags & MSG_PEEK) == 0) take_first(sk);
  return (msg.flags & MSG_TRUNC) != 0 ? whole : copied;
}

std::size_t RecvMsg::copy(std::span<const std::uint8_t> from) {
  std::size_t copied = 0;
  for (const iovec& v : iov) {
    const std::size_t n = std::min(v.iov_len, from.size() - copied);
    if (n > 0) std::memcpy(v.iov_base, from.data() + copied, n);
    copied += n;
  }
  if (copied < from.size()) msg_flags |= MSG_TRUNC;
  return copied;
}

}  // namespace txp
