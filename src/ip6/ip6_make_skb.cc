// SPDX-License-Identifier: Apache-2.0
// ip6_make_skb: payload into skbs with an IPv6 header: hop limit, traffic class, flow label and
// extension headers are decided here.
//
// Kernel twin: net/ipv6/ip6_output.c, ip6_make_skb() and __ip6_make_skb(); include/net/ipv6.h,
// ip6_make_flowlabel().
// Differs: an automatic flow label comes from a hash of our own: the kernel's has a secret drawn at
// boot, and `explain` masks the field. Drops: none; see ip6_append_data() for its errors.
#include <netinet/in.h>

#include <bit>

#include "dev/netdevice.h"
#include "dev/skb_hash.h"
#include "ip6/ip6.h"
#include "net.h"
#include "observe/trace.h"
#include "wire/ethernet.h"
#include "wire/ipv4.h"
#include "wire/ipv6.h"

namespace txp {
namespace {

constexpr std::uint8_t kAutoOff = 0;     // IP6_AUTO_FLOW_LABEL_OFF
constexpr std::uint8_t kAutoOptout = 1;  // the default
constexpr std::uint8_t kAutoForced = 3;

void tell_header(Net& net, Trace& trace, const Sock& sk, const Cork& cork, const Ipv6Header& h,
                 bool drawn) {
  constexpr Stage kStage = Stage::ip6_make_skb;
  trace.out(kStage, "hop_limit", h.hop_limit);
  trace.out(kStage, "tclass", h.tclass);
  if (drawn) {
    trace.out(kStage, "flowlabel", "automatic");
    trace.masked("ip6.flowlabel");
    trace.by(kStage, NamedObject{.kind = "sysctl",
                                 .text = "net.ipv6.auto_flowlabels = " +
                                         std::to_string(net.sysctl().auto_flowlabels)});
  } else {
    trace.out(kStage, "flowlabel", std::int64_t{h.flowlabel});
  }
  trace.out(kStage, "mtu", cork.fragsize);
  const bool own = h.daddr.is_multicast() ? sk.inet6->mcast_hops >= 0 : sk.inet6->hop_limit >= 0;
  if (own || cork.rt.hoplimit != 0) return;
  trace.by(kStage, NamedObject{.kind = "sysctl",
                               .text = "net.ipv6.conf." + cork.rt.dev->name() +
                                       ".hop_limit = " + std::to_string(h.hop_limit)});
}

}  // namespace

bool ip6_autoflowlabel(const Net& net, const Sock& sk) {
  if (sk.inet6->autoflowlabel_set) return sk.inet6->autoflowlabel;
  return ip6_default_np_autolabel(net);
}

bool ip6_default_np_autolabel(const Net& net) {
  const std::uint8_t mode = net.sysctl().auto_flowlabels;
  return mode == kAutoOptout || mode == kAutoForced;
}

std::uint32_t ip6_make_flowlabel(const Net& net, Skb& skb, std::uint32_t flowlabel, bool autolabel,
                                 bool& drawn) {
  flowlabel &= kFlowlabelMask;
  const std::uint8_t mode = net.sysctl().auto_flowlabels;
  drawn = false;
  if (flowlabel != 0 || mode == kAutoOff) return flowlabel;
  if (!autolabel && mode != kAutoForced) return flowlabel;
  drawn = true;
  flowlabel = std::rotl(skb_get_hash(skb), 16) & kFlowlabelMask;
  if (net.sysctl().flowlabel_state_ranges) flowlabel |= kFlowlabelStateless;
  return flowlabel != 0 ? flowlabel : 1;
}

SkbPtr ip6_finish_skb(Net& net, Sock& sk, Cork& cork, Cork6& cork6, Trace* trace) {
  SkbPtr skb = cork.queue.pop_front();
  if (!skb) return nullptr;
  // From what is fragmented with the payload to the network header.
  const std::uint8_t* const before = skb->network();
  skb->pull(static_cast<std::size_t>(before - skb->data));
  const auto hlen = static_cast<std::size_t>(skb->transport_header - skb->network_header);
  chain_parts(*skb, cork.queue, hlen);
  skb->ignore_df = ip6_sk_ignore_df(sk);
  skb->pull(hlen);
  const Flow6& fl6 = cork6.fl6;
  Ipv6Header h;
  h.nexthdr = kIpProtoUdp;
  h.daddr = fl6.daddr;
  if (cork6.opt) {
    h.nexthdr = ipv6_push_frag_opts(*skb, *cork6.opt, h.nexthdr);
    h.nexthdr = ipv6_push_nfrag_opts(*skb, *cork6.opt, h.nexthdr, h.daddr);
    cork6.opt.reset();  // ip6_cork_release()
  }
  skb->push(kIpv6Hlen);
  skb->set_network_header();
  skb->protocol = kEthPIpv6;
  h.saddr = fl6.saddr;
  h.tclass = cork6.tclass;
  h.hop_limit = static_cast<std::uint8_t>(cork6.hop_limit);
  h.emit(skb->network());
  bool drawn = false;
  h.flowlabel = ip6_make_flowlabel(net, *skb, fl6.flowlabel, ip6_autoflowlabel(net, sk), drawn);
  h.emit(skb->network());
  skb->priority = cork.priority;
  skb->mark = cork.mark;
  skb->tstamp = cork.transmit_time;
  skb->rt = cork.rt;
  skb->gateway6 = cork6.gateway;
  skb->dev = cork.rt.dev;
  skb->trace = trace;
  born(net);
  snmp(net, Snmp::Ip6OutRequests);
  if (telling(trace) != nullptr) tell_header(net, *trace, sk, cork, h, drawn);
  return skb;
}

SockResult<SkbPtr> ip6_make_skb(Net& net, Sock& sk, const MsgHdr& msg, std::uint32_t length,
                                std::uint32_t transhdrlen, const Ipcm6Cookie& ipc6,
                                const Rt6Info& rt, Cork& cork, Cork6& cork6) {
  enter(net, Stage::ip6_make_skb, msg.trace, length - transhdrlen);
  if ((msg.flags & kMsgProbe) != 0) return SkbPtr();
  if (auto ok = ip6_setup_cork(sk, cork, cork6, ipc6, rt); !ok) return std::unexpected(ok.error());
  if (auto ok = ip6_append_data(net, sk, cork, cork6, msg, length, transhdrlen); !ok) {
    ip6_flush_pending_frames(cork, cork6);
    return std::unexpected(ok.error());
  }
  return ip6_finish_skb(net, sk, cork, cork6, msg.trace);
}

}  // namespace txp
