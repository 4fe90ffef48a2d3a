// SPDX-License-Identifier: Apache-2.0
// udp_recvmsg: the oldest datagram that waits on a socket.
//
// Kernel twin: net/ipv4/udp.c, udp_recvmsg().
// Differs: never waits; no peeking, no truncation.
#include "net.h"
#include "socket/sock.h"

namespace txp {

SockResult<Datagram> udp_recvmsg(Sock& sk) {
  if (const int pending = sk.sk_err.exchange(0, std::memory_order_relaxed); pending != 0)
    return err(pending);
  const std::lock_guard guard(sk.rx_lock);
  if (sk.rx_queue.empty()) return err(EAGAIN);
  Datagram d = std::move(sk.rx_queue.front());
  sk.rx_queue.pop_front();
  sk.rmem_alloc.fetch_sub(d.truesize, std::memory_order_relaxed);
  snmp(sk.net, Snmp::UdpInDatagrams);
  return d;
}

}  // namespace txp
