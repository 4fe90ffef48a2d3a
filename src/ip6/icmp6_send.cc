// SPDX-License-Identifier: Apache-2.0
// icmp6_send: an ICMPv6 error about a packet; icmpv6_echo_reply: the answer to an echo request.
//
// Kernel twin: net/ipv6/icmp.c, icmp6_send(), icmpv6_echo_reply(), icmpv6_push_pending_frames().
// Differs: no rate limits; no mobile IPv6; the message is built at once instead of through a corked
// socket, so it has no socket's charge. In a mirrored namespace (NeighOwner::kernel) the kernel
// answers received packets, not we; what comes in on our own loopback only we have seen.
// Drops: none of its own; the message is a packet of the send path like any other.
#include <algorithm>
#include <cstring>

#include "dev/netdevice.h"
#include "ip6/icmpv6.h"
#include "ip6/ip6.h"
#include "neigh/neighbour.h"
#include "net.h"
#include "netfilter/nf_conntrack.h"
#include "route/ip6_route.h"
#include "wire/ethernet.h"
#include "wire/icmp.h"
#include "wire/ipv6.h"

namespace txp {
namespace {

constexpr std::size_t kLlReserved6 = 16;  // LL_RESERVED_SPACE() of Ethernet

// Copies `to.size()` bytes of the packet from `at` on, over its frag_list.
void copy_from(const Skb& skb, const std::uint8_t* at, std::span<std::uint8_t> to) {
  std::size_t done = std::min(to.size(), static_cast<std::size_t>(skb.tail - at));
  std::memcpy(to.data(), at, done);
  for (const Skb* f = skb.frag_list; f != nullptr && done < to.size(); f = f->next) {
    const std::size_t more = std::min<std::size_t>(to.size() - done, f->len);
    std::memcpy(&to[done], f->data, more);
    done += more;
  }
}

// ICMP6MSGOUT_INC_STATS().
void count_sent6(Net& net, std::uint8_t type) {
  snmp(net, Snmp::Icmp6OutMsgs);
  if (type == kIcmpv6DestUnreach) snmp(net, Snmp::Icmp6OutDestUnreachs);
  if (type == kIcmpv6PktToobig) snmp(net, Snmp::Icmp6OutPktTooBigs);
  if (type == kIcmpv6TimeExceed) snmp(net, Snmp::Icmp6OutTimeExcds);
  if (type == kIcmpv6Paramprob) snmp(net, Snmp::Icmp6OutParmProblems);
  if (type == kIcmpv6EchoReply) snmp(net, Snmp::Icmp6OutEchoReplies);
}

SkbPtr new_message6(Net& net, std::size_t len) {
  SkbPtr skb = alloc_skb(net, kLlReserved6 + kIpv6Hlen + len);
  if (!skb) {
    snmp(net, Snmp::Icmp6OutErrors);
    return nullptr;
  }
  skb->reserve(kLlReserved6 + kIpv6Hlen);
  skb->put(len);
  return skb;
}

// icmpv6_push_pending_frames(): `skb` holds the message.
void push6(Net& net, SkbPtr skb, const Flow6& fl6, const Rt6Info& rt, std::uint8_t tclass) {
  const std::span<std::uint8_t> message = skb->bytes();
  const auto len = static_cast<std::uint32_t>(message.size());
  store_be16(&message[2], 0);
  store_be16(&message[2], csum_fold(csum_ipv6_nofold(fl6.saddr, fl6.daddr, len, kNexthdrIcmpv6,
                                                     csum_partial(message, 0))));
  const std::uint8_t type = message[0];
  skb->set_transport_header();
  skb->push(kIpv6Hlen);
  skb->set_network_header();
  skb->protocol = kEthPIpv6;
  Ipv6Header h;
  h.tclass = tclass;
  h.nexthdr = kNexthdrIcmpv6;
  h.hop_limit = fl6.daddr.is_multicast() ? 1 : ip6_dst_hoplimit(net, rt.dst);
  h.saddr = fl6.saddr;
  h.daddr = fl6.daddr;
  h.emit(skb->network());
  bool drawn = false;
  h.flowlabel = ip6_make_flowlabel(net, *skb, fl6.flowlabel & kFlowlabelMask,
                                   ip6_default_np_autolabel(net), drawn);
  h.emit(skb->network());
  skb->mark = fl6.mark;
  skb->rt = rt.dst;
  skb->gateway6 = rt.gateway;
  skb->dev = rt.dst.dev;
  born(net);
  snmp(net, Snmp::Ip6OutRequests);
  count_sent6(net, type);
  static_cast<void>(ip6_send_skb(net, std::move(skb)));
}

// The kernel itself answers what comes into a mirrored namespace from outside.
bool kernel_answers6(Net& net, const Skb& about) {
  const bool looped = (about.dev->flags() & kIffLoopback) != 0;
  return about.sk == nullptr && about.rt.dev == nullptr && !looped &&
         net.neigh6->owner == NeighOwner::kernel;
}

// is_ineligible(): an ICMPv6 error itself, or what is cut off before that can be seen.
bool is_ineligible(const Skb& skb, const Ipv6Header& ip) {
  const std::span<const std::uint8_t> packet(skb.network(), skb.tail);
  std::uint8_t nexthdr = ip.nexthdr;
  const auto inner = ipv6_skip_exthdr(packet, kIpv6Hlen, nexthdr);
  if (!inner || nexthdr != kNexthdrIcmpv6) return false;
  if (inner->offset >= packet.size()) return inner->frag_off == 0;
  return (packet[inner->offset] & kIcmpv6InfomsgMask) == 0;
}

}  // namespace

void icmp6_send(Net& net, const Skb& about, std::uint8_t type, std::uint8_t code,
                std::uint32_t info) {
  if (about.dev == nullptr || kernel_answers6(net, about)) return;
  const auto ip = Ipv6Header::parse({about.network(), about.tail});
  if (!ip) return;
  const bool own = ipv6_chk_addr(net, ip->daddr, about.dev, 0);
  if ((ip->daddr.is_multicast() || about.pkt_type != PacketType::host) && type != kIcmpv6PktToobig)
    return;
  if (ip->saddr.is_any() || ip->saddr.is_multicast() || is_ineligible(about, *ip)) return;
  Flow6 fl6;
  fl6.proto = kNexthdrIcmpv6;
  fl6.daddr = ip->saddr;
  if (own && !ip->daddr.is_multicast()) fl6.saddr = ip->daddr;
  if (ip->saddr.type().needs_scope_id()) fl6.oif = inet6_iif(about);
  fl6.mark = net.sysctl().ip6_fwmark_reflect ? about.mark : 0;
  fl6.sport = type;
  fl6.dport = code;
  const auto rt = ip6_dst_lookup_flow(net, nullptr, fl6, nullptr, nullptr);
  if (!rt) return;
  const auto pulled = static_cast<std::size_t>(about.data - about.network());
  const std::size_t quoted =
      std::min<std::size_t>(kIpv6MinMtu - kIpv6Hlen - kIcmpHlen, pulled + about.len);
  SkbPtr skb = new_message6(net, kIcmpHlen + quoted);
  if (!skb) return;
  IcmpHeader{type, code, 0, info}.emit(skb->data);
  copy_from(about, about.network(), skb->bytes().subspan(kIcmpHlen));
  nf_ct_attach(*skb, about);
  push6(net, std::move(skb), fl6, *rt, 0);
}

void icmpv6_echo_reply(Net& net, const Skb& request) {
  if (kernel_answers6(net, request)) return;
  const auto ip = Ipv6Header::parse({request.network(), request.tail});
  if (!ip) return;
  Flow6 fl6;
  fl6.proto = kNexthdrIcmpv6;
  fl6.daddr = ip->saddr;
  if (!ip->daddr.is_multicast()) fl6.saddr = ip->daddr;
  fl6.oif = fl6.daddr.is_loopback()             ? request.dev->ifindex
            : ip->saddr.type().needs_scope_id() ? inet6_iif(request)
                                                : 0;
  fl6.sport = kIcmpv6EchoReply;
  fl6.mark = net.sysctl().ip6_fwmark_reflect ? request.mark : 0;
  const auto rt = ip6_dst_lookup_flow(net, nullptr, fl6, nullptr, nullptr);
  if (!rt) return;
  SkbPtr skb = new_message6(net, request.len);
  if (!skb) return;
  copy_from(request, request.data, skb->bytes());
  skb->data[0] = kIcmpv6EchoReply;
  push6(net, std::move(skb), fl6, *rt, ip->tclass);
}

}  // namespace txp
