// SPDX-License-Identifier: Apache-2.0
// udp_sendmsg: the destination, the control messages, the route, and one datagram or a part of a
// corked one.
//
// Kernel twin: net/ipv4/udp.c, udp_sendmsg().
// Differs: a connected socket's route is looked up for every datagram (the kernel caches it in the
// socket until a table changes); no UDP-Lite. A cgroup sendmsg program makes the call unknown.
// Drops: IP_OUTNOROUTES (ours at this place; the kernel only counts IpOutNoRoutes).
#include <netinet/in.h>

#include "ip/ip.h"
#include "neigh/neighbour.h"
#include "net.h"
#include "observe/trace.h"
#include "plan/plan_recorder.h"
#include "route/ip_route.h"
#include "socket/error_queue.h"
#include "socket/inet6_sock.h"
#include "udp/udp_cmsg_send.h"
#include "udp/udp_table.h"
#include "wire/udp.h"

namespace txp {
namespace {

constexpr Stage kStage = Stage::udp_sendmsg;

// What the message is to do, as far as it is decided before the route.
struct Question {
  Flow4 fl4;
  IpcmCookie ipc;
  bool connected = false;
};

SockResult<void> ask(Net& net, Sock& sk, const MsgHdr& msg, Question& q) {
  Ip4 daddr;
  std::uint16_t dport = 0;
  if (msg.name) {
    if (msg.namelen < sizeof(sockaddr_in)) return err(EINVAL);
    if (msg.name->family != AF_INET && msg.name->family != AF_UNSPEC) return err(EAFNOSUPPORT);
    daddr = msg.name->addr;
    dport = msg.name->port;
    if (dport == 0) return err(EINVAL);
  } else {
    if (!sk.connected) return err(EDESTADDRREQ);
    daddr = sk.inet_daddr;
    dport = sk.inet_dport;
    q.connected = true;
  }
  // ipcm_init_sk()
  IpcmCookie& ipc = q.ipc;
  ipc.mark = sk.mark;
  ipc.priority = sk.priority;
  ipc.oif = sk.bound_dev_if;
  ipc.addr = sk.inet_saddr;
  ipc.gso_size = sk.gso_size;
  ipc.tsflags = sk.tsflags;
  if (!msg.control.empty()) {
    if (auto ok = udp_cmsg_send(sk, msg.control, ipc); !ok) return std::unexpected(ok.error());
    q.connected = false;
  }
  if (!ipc.opt && sk.has_ip_options()) ipc.opt = sk.ip_options();
  if (const auto* obstacles = net.obstacles(); obstacles != nullptr && !q.connected)
    for (const Net::Obstacle& o : *obstacles)
      if (o.stage == kStage) {
        tell_unknown(net, kStage, msg.trace, {o.kind, o.text, {}, {}, {}, 0});
        return err(kUnknown);
      }
  Ip4 saddr = ipc.addr;
  ipc.addr = daddr;
  Ip4 faddr = daddr;
  if (ipc.opt && ipc.opt->srr != 0) {
    if (daddr.is_zero()) return err(EINVAL);
    faddr = ipc.opt->faddr;
    q.connected = false;
  }
  if (daddr.is_multicast()) {
    if (ipc.oif == 0) ipc.oif = sk.mc_index;
    if (saddr.is_zero()) saddr = sk.mc_addr;
    q.connected = false;
  } else if (ipc.oif == 0) {
    ipc.oif = sk.uc_index;
  }
  constexpr int kDscpMask = 0xfc;
  Flow4& fl4 = q.fl4;
  fl4.oif = ipc.oif;
  fl4.mark = ipc.mark;
  fl4.tos = static_cast<std::uint8_t>((ipc.tos != -1 ? ipc.tos : sk.tos) & kDscpMask);
  // ip_sendmsg_scope()
  const bool strict = ipc.opt && ipc.opt->is_strictroute;
  fl4.scope =
      sk.localroute || (msg.flags & MSG_DONTROUTE) != 0 || strict ? kScopeLink : kScopeUniverse;
  if (fl4.scope == kScopeLink) q.connected = false;
  fl4.proto = IPPROTO_UDP;
  fl4.flags = sk.hdrincl || sk.transparent ? kFlowAnysrc : 0;  // inet_sk_flowi_flags()
  fl4.daddr = faddr;
  fl4.saddr = saddr;
  fl4.dport = dport;
  fl4.sport = sk.inet_num;
  fl4.uid = sk.uid;
  return {};
}

SockResult<Rtable> route(Net& net, Sock& sk, const MsgHdr& msg, Flow4& fl4) {
  auto rt = ip_route_output_flow(net, fl4, msg.trace);
  if (!rt) {
    if (rt.error().code == ENETUNREACH) snmp(net, Snmp::IpOutNoRoutes);
  } else if (rt->is_broadcast && !sk.broadcast) {
    if (msg.trace != nullptr)
      msg.trace->by(kStage, NamedObject{"sockopt", "SO_BROADCAST is not set", {}, {}, {}, 0});
    rt = err(EACCES);
  }
  return rt;
}

// do_append_data: a part of a corked datagram. `first`: the question and route that open it; null
// for the parts that follow. Under sk.lock.
SockResult<void> append(Net& net, Sock& sk, const MsgHdr& msg, const Question* first,
                        const Rtable* rt, bool corkreq) {
  Cork& cork = sk.cork;
  auto ulen = static_cast<std::uint32_t>(msg.len());
  SockResult<void> done;
  if (first != nullptr) {
    enter(net, Stage::ip_make_skb, msg.trace, ulen);
    ulen += kUdpHlen;
    cork.pending = true;
    if (sk.inet6) sk.inet6->cork_is_v6 = false;
    cork.fl4 = first->fl4;
    cork.fl4.daddr = first->ipc.addr;  // past the first hop of a source route, as the kernel
    if (sk.connected) sk.changed();    // its next datagrams go where this one does
    cork.udp_len = 0;
    done = ip_setup_cork(sk, cork, first->ipc, *rt);
  }
  cork.udp_len += ulen;
  cork.trace = msg.trace;
  MsgHdr part = msg;
  if (corkreq) part.flags |= MSG_MORE;
  const bool probe = (msg.flags & kMsgProbe) != 0;  // looks, and queues nothing
  if (done && !probe)
    done = ip_append_data(net, sk, cork.fl4, cork, part, ulen, first != nullptr ? kUdpHlen : 0);
  if (!done || (corkreq && cork.queue.empty()))
    udp_flush_pending_frames(sk);
  else if (!corkreq)
    done = udp_push_pending_frames(net, sk);
  return done;
}

}  // namespace

Errno udp_sendmsg_failed(Net& net, Sock& sk, const MsgHdr& msg, Errno e) {
  const bool waits = e.code == EAGAIN && sk.nospace && !sk.nonblocking &&
                     (msg.flags & MSG_DONTWAIT) == 0;  // sock_sendmsg() will try again
  if ((e.code == ENOBUFS || sk.nospace) && !waits) snmp(net, Snmp::UdpSndbufErrors);
  if (msg.trace != nullptr && !e.is_unknown()) msg.trace->result(kStage, "error");
  return e;
}

SockResult<std::size_t> udp_sendmsg(Net& net, Sock& sk, const MsgHdr& msg) {
  const std::size_t len = msg.len();
  enter(net, kStage, msg.trace, len);
  if (len > 0xffff) return std::unexpected(udp_sendmsg_failed(net, sk, msg, Errno{EMSGSIZE}));
  if ((msg.flags & MSG_OOB) != 0)
    return std::unexpected(udp_sendmsg_failed(net, sk, msg, Errno{EOPNOTSUPP}));
  const bool corkreq = sk.corkflag || (msg.flags & MSG_MORE) != 0;

  if (sk.cork.pending) {
    const std::lock_guard guard(sk.lock);
    if (sk.cork.pending) {
      if (sk.inet6 && sk.inet6->cork_is_v6)
        return std::unexpected(udp_sendmsg_failed(net, sk, msg, Errno{EINVAL}));
      if (auto done = append(net, sk, msg, nullptr, nullptr, corkreq); !done)
        return std::unexpected(udp_sendmsg_failed(net, sk, msg, done.error()));
      if ((msg.flags & MSG_ZEROCOPY) != 0 && sk.zerocopy) msg_zerocopy_callback(sk);
      return len;
    }
  }
  net.this_cpu().counters.walked.add();
  Question question;
  if (auto asked = ask(net, sk, msg, question); !asked)
    return std::unexpected(udp_sendmsg_failed(net, sk, msg, asked.error()));
  Flow4& fl4 = question.fl4;
  const bool kept =
      question.connected && sk.dst_mtu.load(std::memory_order_relaxed) != Sock::kDstNone;
  auto rt = route(net, sk, msg, fl4);
  if (!rt) {
    if (question.connected) sk.dst_reset();
    return std::unexpected(udp_sendmsg_failed(net, sk, msg, rt.error()));
  }
  if (question.connected) sk.dst_set(*rt);
  // The next datagram, whose route is kept, may go elsewhere.
  if (PlanRecorder* r = net.this_cpu().recorder; r != nullptr && question.connected && !kept)
    if (sk.cork.fl4.saddr != fl4.saddr || sk.cork.fl4.daddr != fl4.daddr ||
        sk.cork.fl4.dport != fl4.dport)
      r->only_this();
  if (kept) {
    // With a kept route the kernel takes the addresses from the corked flow, which connect() wrote:
    // so did a connect() that failed since, and a corked datagram to somebody else.
    fl4.saddr = sk.cork.fl4.saddr;
    if (!corkreq) {
      fl4.daddr = sk.cork.fl4.daddr;
      fl4.dport = sk.cork.fl4.dport;
    }
  }
  if (question.ipc.addr.is_zero()) question.ipc.addr = fl4.daddr;
  if ((msg.flags & (MSG_CONFIRM | kMsgProbe)) == (MSG_CONFIRM | kMsgProbe)) {
    dst_confirm_neigh(net, *rt, fl4.daddr);
    if (len == 0) return 0;
  }

  SockResult<void> sent;
  if (!corkreq) {
    const auto ulen = static_cast<std::uint32_t>(len + kUdpHlen);
    Cork cork;
    auto skb = ip_make_skb(net, sk, fl4, msg, ulen, kUdpHlen, question.ipc, *rt, cork);
    if (!skb)
      sent = std::unexpected(skb.error());
    else if (*skb)
      sent = udp_send_skb(net, std::move(*skb), fl4, cork);
  } else {
    const std::lock_guard guard(sk.lock);
    if (sk.cork.pending) return std::unexpected(udp_sendmsg_failed(net, sk, msg, Errno{EINVAL}));
    sent = append(net, sk, msg, &question, &*rt, corkreq);
  }
  if (!sent) return std::unexpected(udp_sendmsg_failed(net, sk, msg, sent.error()));
  if ((msg.flags & MSG_ZEROCOPY) != 0 && sk.zerocopy) msg_zerocopy_callback(sk);
  return len;
}

}  // namespace txp
