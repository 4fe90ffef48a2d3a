// SPDX-License-Identifier: Apache-2.0
// sock_sendmsg: the entry of every send call. Enters the read section that the whole walk stands
// in, waits for send-buffer room when the socket may block, and lets the softirqs run afterwards.
// A datagram whose flow has a plan does not walk, but flies (plan/plan.h).
//
// Kernel twin: net/socket.c, sock_sendmsg(); net/core/sock.c, sock_wait_for_wmem().
// Differs: the wait for room starts the call over instead of resuming in the middle of it (nothing
// of a datagram is built before there is room, so the caller sees the same).
// Drops: none.
#include <algorithm>
#include <array>

#include <netinet/in.h>

#include "dev/netdevice.h"
#include "net.h"
#include "observe/observed_send.h"
#include "observe/trace.h"
#include "plan/plan_recorder.h"
#include "socket/sock.h"
#include "socket/sock_send.h"
#include "softirq/net_tx_action.h"
#include "udp/udp_table.h"

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

SockResult<std::size_t> walk(Net& net, Sock& sk, const MsgHdr& msg, std::size_t len) {
  enter(net, Stage::sock_sendmsg, msg.trace, len);
  return sk.inet6 ? inet6_sendmsg(net, sk, msg) : inet_sendmsg(net, sk, msg);
}

// The first packet of a flow: the next ones will do as it did.
SockResult<std::size_t> walk_recorded(Net& net, Cpu& cpu, Sock& sk, const MsgHdr& msg,
                                      std::size_t len) {
  PlanRecorder recorder(net, cpu, sk, msg, len);
  auto result = walk(net, sk, msg, len);
  recorder.finish(result.has_value());
  return result;
}

const SockAddr4* name_of(const MsgHdr& msg) { return msg.name ? &*msg.name : nullptr; }

// Whether the call itself stands against a flight, and why.
bool may_fly(const MsgHdr& msg, Walk& why) {
  if (msg.trace != nullptr) [[unlikely]]
    why = Walk::trace;
  else if ((msg.flags & ~kPlainFlags) != 0 || !msg.control.empty() ||
           (msg.name && msg.namelen < sizeof(sockaddr_in))) [[unlikely]]
    why = Walk::message;
  else
    return true;
  return false;
}

// Whether the second message may fly where the first does, its size aside.
bool same_flow(const MsgHdr& a, const MsgHdr& b) {
  if (a.flags != b.flags || !a.control.empty() || a.name6 != b.name6 || a.trace != nullptr ||
      a.namelen != b.namelen || a.name.has_value() != b.name.has_value())
    return false;
  return !a.name || (a.name->addr == b.name->addr && a.name->port == b.name->port &&
                     a.name->family == b.name->family);
}

bool fly_message(Net& net, Cpu& cpu, Sock& sk, const Plan& plan, const MsgHdr& msg, std::size_t len,
                 int& code) {
  if (plan.parts > 1) return fly_fragments(net, cpu, sk, plan, msg.iov, len, code);
  if (msg.iov.size() > 1) return fly_pieces(net, cpu, sk, plan, msg.iov, len, code);
  return fly(net, cpu, sk, plan, msg.iov, code) == 1;
}

SockResult<std::size_t> fly_or_walk(Net& net, Sock& sk, const MsgHdr& msg) {
  const RcuReader reader;
  Cpu& cpu = net.this_cpu();
  const std::size_t len = msg.len();
  SockResult<std::size_t> result = len;
  Walk why = net.plans.load(std::memory_order_relaxed) ? Walk::first : Walk::off;
  const Plan* plan = nullptr;
  if (why != Walk::off && may_fly(msg, why)) plan = find_plan(net, cpu, sk, name_of(msg), len, why);
  int code = 0;
  if (plan != nullptr && fly_message(net, cpu, sk, *plan, msg, len, code)) {
    // Sent.
  } else if (code != 0) {
    result = std::unexpected(udp_sendmsg_failed(net, sk, msg, Errno{code}));
  } else {
    cpu.counters.walked_by[static_cast<std::size_t>(why)].add();
    const bool new_here =
        (why == Walk::first || why == Walk::fragments) &&
        (!msg.name || !cpu.plans ||
         cpu.plans->worth_recording(sk.plan_generation, msg.name->addr, msg.name->port));
    result = new_here ? walk_recorded(net, cpu, sk, msg, len) : walk(net, sk, msg, len);
  }
  after_send(net, cpu);
  return result;
}

// fly_run() for what lies at the front of `msgs`.
std::size_t fly_front(Net& net, Sock& sk, std::span<const MsgHdr> msgs, int& code) {
  constexpr std::size_t kMost = 32;
  std::array<iovec, kMost> run;
  std::size_t n = 0;
  for (Walk why{}; n < std::min(msgs.size(), kMost); ++n) {
    if (msgs[n].iov.size() != 1) break;
    if (n == 0 ? !may_fly(msgs[n], why) : !same_flow(msgs[n], msgs.front())) break;
    run[n] = msgs[n].iov.front();
  }
  return n != 0 ? fly_run(net, sk, name_of(msgs.front()), std::span(run).first(n), code) : 0;
}

}  // namespace

SockResult<std::size_t> sock_send_slow(Net& net, Sock& sk, const iovec& block, const SockAddr4* to,
                                       int flags, int code) {
  MsgHdr msg;
  if (to != nullptr) msg.name = *to;
  msg.iov = {&block, 1};
  msg.flags = flags;
  if (code != 0) return std::unexpected(udp_sendmsg_failed(net, sk, msg, Errno{code}));
  return sock_sendmsg(net, sk, msg);
}

SockResult<SkbPtr> sock_reserve(Net& net, std::size_t len) {
  constexpr std::size_t kMost = 0xffff - 28;  // what a UDP datagram holds
  if (len > kMost) return err(EMSGSIZE);
  SkbPtr frame = reserve_frame(net, len);
  if (!frame) return err(ENOBUFS);
  return frame;
}

SockResult<std::size_t> sock_commit(Net& net, Sock& sk, SkbPtr frame, std::size_t len,
                                    const SockAddr4* to, int flags) {
  if (!net.observed() && (flags & ~kPlainFlags) == 0) [[likely]] {
    const RcuReader reader;
    Cpu& cpu = net.this_cpu();
    Walk why = Walk::first;
    const Plan* plan = find_plan(net, cpu, sk, to, len, why);
    if (plan != nullptr && plan->parts == 1) [[likely]] {
      const int code = fly_frame(net, cpu, sk, *plan, std::move(frame), len);
      after_send(net, cpu);
      if (code != 0) return sock_send_slow(net, sk, {}, to, flags, code);
      return len;
    }
  }
  auto sent = sock_send(net, sk, {frame->data, len}, to, flags);
  free_skb(std::move(frame));
  return sent;
}

SockResult<std::size_t> sock_send_run(Net& net, Sock& sk, std::span<const iovec> run,
                                      const SockAddr4* to, int flags) {
  const bool may_fly = !net.observed() && (flags & ~kPlainFlags) == 0;
  std::size_t sent = 0;
  while (sent < run.size()) {
    int code = 0;
    const std::size_t flew = may_fly ? fly_run(net, sk, to, run.subspan(sent), code) : 0;
    sent += flew;
    if (code == 0 && flew != 0) continue;
    if (auto one = sock_send_slow(net, sk, run[sent], to, flags, code); !one) {
      if (sent == 0) return one;
      break;
    }
    ++sent;
  }
  return sent;
}

SockResult<std::size_t> sock_sendmsg(Net& net, Sock& sk, const MsgHdr& msg) {
  if (net.observed() && !net.this_cpu().observing) [[unlikely]]
    return observed_send(net, sk, msg);

  auto result = fly_or_walk(net, sk, msg);
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
    result = fly_or_walk(net, sk, msg);
  } while (!result && result.error().code == EAGAIN);
  return result;
}

SockResult<std::size_t> sock_sendmmsg(Net& net, Sock& sk, std::span<const MsgHdr> msgs) {
  std::size_t sent = 0;
  while (sent < msgs.size()) {
    int code = 0;
    // What is observed is observed one by one.
    const std::size_t flew = net.observed() ? 0 : fly_front(net, sk, msgs.subspan(sent), code);
    sent += flew;
    if (code == 0 && flew != 0) continue;
    SockResult<std::size_t> one =
        code != 0 ? std::unexpected(udp_sendmsg_failed(net, sk, msgs[sent], Errno{code}))
                  : sock_sendmsg(net, sk, msgs[sent]);
    if (!one) {
      if (sent == 0) return one;
      break;
    }
    // What only probes leaves its data, and the kernel's loop takes that for a message half sent.
    const bool left = (msgs[sent].flags & kMsgProbe) != 0 && msgs[sent].len() != 0;
    ++sent;
    if (left) break;
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
