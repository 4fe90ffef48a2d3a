// SPDX-License-Identifier: Apache-2.0
// ip_make_skb: payload into skbs with an IP header: DF, TTL, TOS and id are decided here.
//
// Kernel twin: net/ipv4/ip_output.c, ip_make_skb() and __ip_make_skb(); include/net/ip.h,
// ip_select_ident_segs().
// Differs: the id of an unconnected packet comes from one counter instead of the kernel's hash of
// counters: both are random to an observer, and `explain` masks the field. Drops: none; see
// ip_append_data() for its errors.
#include <netinet/in.h>

#include "dev/netdevice.h"
#include "ip/ip.h"
#include "ip/ip_options.h"
#include "net.h"
#include "observe/trace.h"
#include "wire/ipv4.h"

namespace txp {
namespace {

// ip_select_ttl() and the multicast TTL.
std::uint8_t select_ttl(Net& net, const Sock& sk, const Cork& cork) {
  if (cork.ttl != 0) return cork.ttl;
  if (cork.rt.type == RouteType::multicast) return static_cast<std::uint8_t>(sk.mc_ttl);
  if (sk.uc_ttl >= 0) return static_cast<std::uint8_t>(sk.uc_ttl);
  return cork.rt.hoplimit != 0 ? cork.rt.hoplimit : net.sysctl().ip_default_ttl;
}

void trace_header(Net& net, Trace& trace, const Sock& sk, const Cork& cork, const Ipv4Header& h) {
  constexpr Stage kStage = Stage::ip_make_skb;
  trace.out(kStage, "ttl", h.ttl);
  trace.out(kStage, "tos", h.tos);
  trace.out(kStage, "df", (h.frag_off & kIpDf) != 0 ? 1 : 0);
  trace.out(kStage, "mtu", cork.fragsize);
  if (cork.ttl != 0 || cork.rt.type == RouteType::multicast || sk.uc_ttl >= 0 ||
      cork.rt.hoplimit != 0)
    return;
  trace.by(kStage,
           NamedObject{"sysctl",
                       "net.ipv4.ip_default_ttl = " + std::to_string(net.sysctl().ip_default_ttl),
                       {},
                       {},
                       {},
                       0});
}

}  // namespace

void ip_select_ident_segs(Net& net, Skb& skb, Sock* sk, unsigned segs) {
  Ipv4View ip(skb.network());
  if (sk != nullptr && !sk->inet_daddr.is_zero()) {
    // A connected socket has a sequence of its own, random from connect() on.
    ip.set_id(
        static_cast<std::uint16_t>(sk->inet_id.fetch_add(segs, std::memory_order_relaxed) + segs));
  } else if ((ip.frag_off() & kIpDf) != 0 && !skb.ignore_df) {
    ip.set_id(0);
    return;
  } else {
    ip.set_id(static_cast<std::uint16_t>(net.ip_id.fetch_add(segs, std::memory_order_relaxed)));
  }
  if (skb.trace != nullptr) skb.trace->masked("ip.id");
}

void chain_parts(Skb& skb, SkbQueue& parts, std::size_t hlen) {
  Skb* part = parts.release_chain();
  if (part == nullptr) return;
  skb.frag_list = part;
  for (; part != nullptr; part = part->next) {
    part->pull(hlen);
    skb.len += part->len;
    skb.data_len += part->len;
    skb.truesize += part->truesize;
    part->sk = nullptr;
  }
}

SkbPtr ip_finish_skb(Net& net, Sock& sk, const Flow4& fl4, Cork& cork, Trace* trace) {
  SkbPtr skb = cork.queue.pop_front();
  if (!skb) return nullptr;
  const auto hlen = static_cast<std::size_t>(skb->transport_header - skb->network_header);
  chain_parts(*skb, cork.queue, hlen);
  const Rtable& rt = cork.rt;
  skb->ignore_df = ip_sk_ignore_df(sk);
  Ipv4Header h;
  h.ihl = static_cast<std::uint8_t>(hlen / 4);
  if (sk.pmtudisc == IP_PMTUDISC_DO || sk.pmtudisc == IP_PMTUDISC_PROBE ||
      (skb->len <= rt.mtu && ip_dont_fragment(sk, rt)))
    h.frag_off = kIpDf;
  h.ttl = select_ttl(net, sk, cork);
  h.tos = static_cast<std::uint8_t>(cork.tos);
  h.protocol = kIpProtoUdp;
  h.saddr = fl4.saddr;
  h.daddr = fl4.daddr;
  h.emit(skb->network());
  ip_select_ident_segs(net, *skb, &sk, 1);
  if (cork.opt) {
    ip_options_build(net, *skb, *cork.opt, cork.addr);
    cork.opt.reset();  // ip_cork_release()
  }
  skb->priority = cork.priority;
  skb->mark = cork.mark;
  skb->tstamp = cork.transmit_time;
  skb->rt = rt;
  skb->fl4 = fl4;
  skb->dev = rt.dev;
  skb->trace = trace;
  born(net);
  if (telling(trace) != nullptr) trace_header(net, *trace, sk, cork, h);
  return skb;
}

SockResult<SkbPtr> ip_make_skb(Net& net, Sock& sk, Flow4& fl4, const MsgHdr& msg,
                               std::uint32_t length, std::uint32_t transhdrlen,
                               const IpcmCookie& ipc, const Rtable& rt, Cork& cork) {
  enter(net, Stage::ip_make_skb, msg.trace, length - transhdrlen);
  if ((msg.flags & kMsgProbe) != 0) return SkbPtr();
  if (auto ok = ip_setup_cork(sk, cork, ipc, rt); !ok) return std::unexpected(ok.error());
  if (auto ok = ip_append_data(net, sk, fl4, cork, msg, length, transhdrlen); !ok) {
    ip_flush_pending_frames(cork);
    return std::unexpected(ok.error());
  }
  return ip_finish_skb(net, sk, fl4, cork, msg.trace);
}

}  // namespace txp
