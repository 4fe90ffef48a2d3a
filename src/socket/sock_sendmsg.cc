// SPDX-License-Identifier: Apache-2.0
// sock_sendmsg: the entry of every send call. Enters the read section that the whole walk stands
// in, waits for send-buffer room when the socket may block, and lets the softirqs run afterwards.
//
// Kernel twin: net/socket.c, sock_sendmsg(); net/core/sock.c, sock_wait_for_wmem().
// Differs: the wait for room starts the call over instead of resuming in the middle of it (nothing
// of a datagram is built before there is room, so the caller sees the same).
// Drops: none.
#include <algorithm>

#include "dev/netdevice.h"
#include "net.h"
#include "observe/observed_send.h"
#include "observe/trace.h"
#include "socket/sock.h"
#include "softirq/net_tx_action.h"

namespace txp {
namespace {

// sock_wait_for_wmem(): true when there is room; false when `until` (ns; -1: never) has passed.
bool wait_for_room(Net& net, Sock& sk, Nanos until) {
  for (;;) {
    const std::size_t done = net.poll();
    const std::uint32_t in_flight = sk.wmem_alloc.load(std::memory_order_acquire) - 1;
    if (in_flight < static_cast<std::uint32_t>(sk.sndbuf.load(std::memory_order_relaxed)) ||
        sk.sk_err.load(std::memory_order_relaxed) != 0 || sk.shutdown_send)
      return true;
    const Nanos now = net.clock.now();
    if (until >= 0 && now >= until) return false;
    if (done != 0) continue;
    if (net.clock.is_manual()) {
      // Nobody else moves a manual clock while this thread waits: go to the next event.
      const Nanos next = net.timers.next();
      if (next < 0 && until < 0) return false;
      const Nanos to = next < 0 ? until : (until < 0 ? next : std::min(next, until));
      net.clock.advance(std::max<Nanos>(to - now, 1));
      continue;
    }
    constexpr auto kNap = std::chrono::microseconds(200);  // drivers are polled, not interrupts
    std::unique_lock lock(sk.space_lock);
    sk.space.wait_for(lock, kNap);
  }
}

SockResult<std::size_t> walk(Net& net, Sock& sk, const MsgHdr& msg) {
  const RcuReader reader;
  enter(net, Stage::sock_sendmsg, msg.trace, msg.len());
  auto result = inet_sendmsg(net, sk, msg);
  net_tx_action(net);
  run_backlog(net);
  return result;
}

}  // namespace

SockResult<std::size_t> sock_sendmsg(Net& net, Sock& sk, const MsgHdr& msg) {
  if (net.observed() && !net.this_cpu().observing) [[unlikely]]
    return observed_send(net, sk, msg);

  auto result = walk(net, sk, msg);
  if (result || result.error().code != EAGAIN || !sk.nospace || sk.nonblocking ||
      (msg.flags & MSG_DONTWAIT) != 0) [[likely]]
    return result;
  const Nanos timeout = sk.sndtimeo.load(std::memory_order_relaxed);
  const Nanos until = timeout < 0 ? -1 : net.clock.now() + timeout;
  do {
    if (!wait_for_room(net, sk, until)) {
      snmp(net, Snmp::IpOutDiscards);
      snmp(net, Snmp::UdpSndbufErrors);
      return err(EAGAIN);
    }
    result = walk(net, sk, msg);
  } while (!result && result.error().code == EAGAIN);
  return result;
}

SockResult<std::size_t> sock_sendmmsg(Net& net, Sock& sk, std::span<const MsgHdr> messages) {
  std::size_t sent = 0;
  for (const MsgHdr& m : messages) {
    if (const auto one = sock_sendmsg(net, sk, m); !one) {
      if (sent == 0) return one;
      break;
    }
    ++sent;
  }
  return sent;
}

template <typename Piece>
void IovReader::pieces(std::size_t n, Piece piece) {
  while (n > 0) {
    const iovec& v = iov_.front();
    const std::size_t here = std::min(v.iov_len - offset_, n);
    const auto* base = static_cast<const std::uint8_t*>(v.iov_base);
    if (here > 0) piece(std::span(base + offset_, here));
    n -= here;
    offset_ += here;
    if (offset_ == v.iov_len) {
      iov_ = iov_.subspan(1);
      offset_ = 0;
    }
  }
}

void IovReader::copy(std::uint8_t* to, std::size_t n) {
  pieces(n, [&to](std::span<const std::uint8_t> p) { to = std::ranges::copy(p, to).out; });
}

Csum IovReader::csum_and_copy(std::uint8_t* to, std::size_t n) {
  Csum sum = 0;
  std::size_t at = 0;
  pieces(n, [&](std::span<const std::uint8_t> p) {
    sum = csum_block_add(sum, csum_partial_copy(p, to + at, 0), at);
    at += p.size();
  });
  return sum;
}

}  // namespace txp
