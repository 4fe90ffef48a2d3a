// SPDX-License-Identifier: Apache-2.0
// udpv6_sendmsg: the destination and its scope, the control messages, the route, and one datagram
// or a part of a corked one. IPv4-mapped addresses go to udp_sendmsg().
//
// Kernel twin: net/ipv6/udp.c, udpv6_sendmsg().
// Differs: a connected socket's route is looked up for every datagram; flow labels are not leased
// (IPV6_FLOWLABEL_MGR is unknown), so that any may be sent; no UDP-Lite. A cgroup sendmsg program
// makes the call unknown.
// Drops: none of its own; the kernel only counts Ip6OutNoRoutes.
#include <netinet/in.h>

#include "ip6/ip6.h"
#include "neigh/neighbour.h"
#include "net.h"
#include "observe/trace.h"
#include "route/ip6_route.h"
#include "socket/error_queue.h"
#include "udp/udp_cmsg_send.h"
#include "udp/udp_table.h"
#include "wire/ipv4.h"
#include "wire/ipv6.h"
#include "wire/udp.h"

namespace txp {
namespace {

constexpr Stage kStage6 = Stage::udpv6_sendmsg;
constexpr std::size_t kSin6LenRfc2133 = 24;

struct Question6 {
  Flow6 fl6;
  Ipcm6Cookie ipc6;
  Ip6 final_dst;
  bool past_router = false;  // a routing header leads elsewhere first
  bool connected = false;
};

// What the message is to do, as far as it is decided before the route.
SockResult<void> ask6(Net& net, Sock& sk, const MsgHdr& msg, const Ip6& daddr, Question6& q) {
  Ipv6Pinfo& np = *sk.inet6;
  Flow6& fl6 = q.fl6;
  Ipcm6Cookie& ipc6 = q.ipc6;
  // ipcm6_init_sk()
  ipc6.tclass = np.tclass;
  ipc6.dontfrag = np.dontfrag ? 1 : 0;
  ipc6.gso_size = sk.gso_size;
  ipc6.mark = sk.mark;
  ipc6.priority = sk.priority;
  ipc6.tsflags = sk.tsflags;
  if (msg.name6 != nullptr) {
    const SockAddr6& to = *msg.name6;
    if (to.port == 0) return err(EINVAL);
    fl6.dport = to.port;
    if (np.sndflow) fl6.flowlabel = to.flowinfo & kFlowinfoMask;
    if (msg.namelen >= sizeof(sockaddr_in6) && to.scope_id != 0 && daddr.type().needs_scope_id())
      fl6.oif = static_cast<int>(to.scope_id);
  } else {
    fl6.dport = sk.inet_dport;
    fl6.flowlabel = np.flow_label;
    q.connected = true;
  }
  if (fl6.oif == 0) fl6.oif = sk.bound_dev_if;
  if (fl6.oif == 0) fl6.oif = np.sticky_ifindex;
  fl6.uid = sk.uid;
  Ipv6TxOptions given;
  if (!msg.control.empty()) {
    if (auto ok = udpv6_cmsg_send(sk, msg.control, fl6, ipc6, given); !ok)
      return std::unexpected(ok.error());
    q.connected = false;
  }
  if (!given.empty()) ipc6.opt = std::make_shared<const Ipv6TxOptions>(std::move(given));
  if (!ipc6.opt) ipc6.opt = np.opt;
  // ipv6_fixup_options(): what stands before a routing header only counts with one.
  if (ipc6.opt && !ipc6.opt->dst0opt.empty() && ipc6.opt->srcrt.empty()) {
    Ipv6TxOptions fixed = *ipc6.opt;
    fixed.dst0opt.clear();
    ipc6.opt = std::make_shared<const Ipv6TxOptions>(std::move(fixed));
  }
  if (ipc6.opt && ipc6.opt->empty()) ipc6.opt.reset();
  fl6.proto = kIpProtoUdp;
  fl6.mark = ipc6.mark;
  fl6.daddr = daddr;
  if (fl6.saddr.is_any()) fl6.saddr = np.saddr;
  fl6.sport = sk.inet_num;
  if (const auto* obstacles = net.obstacles(); obstacles != nullptr && !q.connected)
    for (const Net::Obstacle& o : *obstacles)
      if (o.stage == kStage6 || o.stage == Stage::udp_sendmsg) {
        tell_unknown(net, kStage6, msg.trace, {o.kind, o.text, {}, {}, {}, 0});
        return err(kUnknown);
      }
  if (fl6.daddr.is_any()) fl6.daddr = Ip6::loopback();
  q.past_router = fl6_update_dst(fl6, ipc6.opt.get(), q.final_dst);
  if (q.past_router) q.connected = false;
  if (fl6.oif == 0 && fl6.daddr.is_multicast()) {
    fl6.oif = np.mcast_oif;
    q.connected = false;
  } else if (fl6.oif == 0) {
    fl6.oif = np.ucast_oif;
  }
  fl6.flowlabel = ip6_make_flowinfo(static_cast<unsigned>(ipc6.tclass), fl6.flowlabel);
  return {};
}

// do_append_data: a part of a corked datagram, as append() of udp_sendmsg(). Under sk.lock.
SockResult<void> append6(Net& net, Sock& sk, const MsgHdr& msg, const Question6* first,
                         const Rt6Info* rt, bool corkreq) {
  Cork& cork = sk.cork;
  Cork6& cork6 = sk.inet6->cork6;
  auto ulen = static_cast<std::uint32_t>(msg.len());
  SockResult<void> done;
  if (first != nullptr) {
    enter(net, Stage::ip6_make_skb, msg.trace, ulen);
    ulen += kUdpHlen;
    cork.pending = true;
    sk.inet6->cork_is_v6 = true;
    cork6.fl6 = first->fl6;
    if (sk.connected) sk.changed();
    cork.udp_len = 0;
    done = ip6_setup_cork(sk, cork, cork6, first->ipc6, *rt);
  }
  cork.udp_len += ulen;
  cork.trace = msg.trace;
  MsgHdr part = msg;
  if (corkreq) part.flags |= MSG_MORE;
  const bool probe = (msg.flags & kMsgProbe) != 0;
  if (done && !probe)
    done = ip6_append_data(net, sk, cork, cork6, part, ulen, first != nullptr ? kUdpHlen : 0);
  if (!done || (corkreq && cork.queue.empty()))
    udp_flush_pending_frames(sk);
  else if (!corkreq)
    done = udp_v6_push_pending_frames(net, sk);
  return done;
}

Errno udpv6_failed(Net& net, Sock& sk, const MsgHdr& msg, Errno e) {
  const bool waits = e.code == EAGAIN && sk.nospace && !sk.nonblocking &&
                     (msg.flags & MSG_DONTWAIT) == 0;  // sock_sendmsg() will try again
  if ((e.code == ENOBUFS || sk.nospace) && !waits) snmp(net, Snmp::Udp6SndbufErrors);
  if (msg.trace != nullptr && !e.is_unknown()) msg.trace->result(kStage6, "error");
  return e;
}

// Over IPv4, in a copy of the message.
SockResult<std::size_t> over_ipv4(Net& net, Sock& sk, const MsgHdr& msg,
                                  const std::optional<SockAddr4>& to) {
  if (sk.inet6->v6only) return std::unexpected(udpv6_failed(net, sk, msg, Errno{ENETUNREACH}));
  MsgHdr v4 = msg;
  v4.name6 = nullptr;
  v4.name = to;
  v4.namelen = sizeof(sockaddr_in);
  return udp_sendmsg(net, sk, v4);
}

}  // namespace

SockResult<std::size_t> udpv6_sendmsg(Net& net, Sock& sk, const MsgHdr& msg) {
  const std::size_t len = msg.len();
  enter(net, kStage6, msg.trace, len);
  const auto failed = [&](int code) {
    return std::unexpected(udpv6_failed(net, sk, msg, Errno{code}));
  };
  Ipv6Pinfo& np = *sk.inet6;
  const bool corkreq = sk.corkflag || (msg.flags & MSG_MORE) != 0;
  Ip6 daddr;
  bool has_daddr = true;
  if (msg.name6 != nullptr) {
    if (msg.namelen < kSin6LenRfc2133) return failed(EINVAL);
    daddr = msg.name6->addr;
    if (daddr.is_any() && np.saddr.is_v4mapped()) daddr = Ip6::mapped(Ip4{0x7f000001});
  } else if (msg.name && msg.name->family == AF_INET) {
    return over_ipv4(net, sk, msg, msg.name);
  } else if (msg.name && msg.name->family == AF_UNSPEC) {
    has_daddr = false;  // as if none were given
  } else if (msg.name) {
    return failed(EINVAL);
  } else if (!sk.cork.pending) {
    if (!sk.connected) return failed(EDESTADDRREQ);
    daddr = np.daddr;
  } else {
    has_daddr = false;
  }
  if (has_daddr && daddr.is_v4mapped())
    return over_ipv4(net, sk, msg,
                     SockAddr4{daddr.v4(), msg.name6 != nullptr ? msg.name6->port : sk.inet_dport});
  if (sk.cork.pending) {
    if (!np.cork_is_v6) return udp_sendmsg(net, sk, msg);
    const std::lock_guard guard(sk.lock);
    if (sk.cork.pending) {
      if (auto done = append6(net, sk, msg, nullptr, nullptr, corkreq); !done)
        return std::unexpected(udpv6_failed(net, sk, msg, done.error()));
      if ((msg.flags & MSG_ZEROCOPY) != 0 && sk.zerocopy) msg_zerocopy_callback(sk);
      return len;
    }
  }
  if (!has_daddr) {
    if (!sk.connected) return failed(EDESTADDRREQ);
    daddr = np.daddr;
  }
  net.this_cpu().counters.walked.add();
  Question6 q;
  MsgHdr asked_msg = msg;
  if (asked_msg.name6 == nullptr) asked_msg.name.reset();
  if (auto asked = ask6(net, sk, asked_msg, daddr, q); !asked)
    return std::unexpected(udpv6_failed(net, sk, msg, asked.error()));
  auto rt = ip6_dst_lookup_flow(net, &sk, q.fl6, q.past_router ? &q.final_dst : nullptr, msg.trace);
  if (!rt) {
    if (q.connected) sk.dst_reset();
    return std::unexpected(udpv6_failed(net, sk, msg, rt.error()));
  }
  if (q.connected) ip6_dst_store(sk, *rt);
  if (q.ipc6.hlimit < 0) {  // ip6_sk_dst_hoplimit()
    q.ipc6.hlimit = q.fl6.daddr.is_multicast() ? np.mcast_hops : np.hop_limit;
    if (q.ipc6.hlimit < 0) q.ipc6.hlimit = ip6_dst_hoplimit(net, rt->dst);
  }
  if ((msg.flags & (MSG_CONFIRM | kMsgProbe)) == (MSG_CONFIRM | kMsgProbe)) {
    ip6_confirm_neigh(net, *rt->dst.dev, rt->gateway.is_any() ? q.fl6.daddr : rt->gateway);
    if (len == 0) return 0;
  }
  SockResult<void> sent;
  if (!corkreq) {
    const auto ulen = static_cast<std::uint32_t>(len + kUdpHlen);
    Cork cork;
    Cork6 cork6;
    cork6.fl6 = q.fl6;
    auto skb = ip6_make_skb(net, sk, msg, ulen, kUdpHlen, q.ipc6, *rt, cork, cork6);
    if (!skb)
      sent = std::unexpected(skb.error());
    else if (*skb)
      sent = udp_v6_send_skb(net, std::move(*skb), q.fl6, cork);
  } else {
    const std::lock_guard guard(sk.lock);
    if (sk.cork.pending) return failed(EINVAL);
    sent = append6(net, sk, msg, &q, &*rt, corkreq);
  }
  if (!sent) return std::unexpected(udpv6_failed(net, sk, msg, sent.error()));
  if ((msg.flags & MSG_ZEROCOPY) != 0 && sk.zerocopy) msg_zerocopy_callback(sk);
  return len;
}

}  // namespace txp
