// SPDX-License-Identifier: Apache-2.0
// icmp_send: an ICMP error about a packet; icmp_reply: the answer to an echo request.
//
// Kernel twin: net/ipv4/icmp.c, __icmp_send(), icmp_reply(), icmp_push_reply().
// Differs: no rate limits (icmp_ratelimit, icmp_msgs_per_sec); the message is built at once instead
// of through a corked socket, so it has no socket's charge. In a mirrored namespace
// (NeighOwner::kernel) the kernel answers received packets, not we; what comes in on our own
// loopback only we have seen.
// Drops: none of its own; the message is a packet of the send path like any other.
#include <algorithm>
#include <cstring>

#include "dev/netdevice.h"
#include "ip/icmp.h"
#include "ip/ip.h"
#include "ip/ip_options.h"
#include "neigh/neighbour.h"
#include "net.h"
#include "netfilter/nf_conntrack.h"
#include "route/ip_route.h"
#include "wire/icmp.h"
#include "wire/ipv4.h"

namespace txp {
namespace {

constexpr std::size_t kLlReserved = 16;     // LL_RESERVED_SPACE() of Ethernet
constexpr std::uint32_t kMostQuoted = 576;  // RFC 1812, 4.3.2.3: bytes of the whole message
constexpr std::uint8_t kTosPrec = 0xc0;     // IPTOS_PREC_INTERNETCONTROL
constexpr std::uint8_t kTosMask = 0x1e;     // IPTOS_TOS_MASK
constexpr Ip4 kInaddrDummy{0xc0000008};     // 192.0.0.8, RFC 7600

// Copies `n` bytes of the packet from its IP header on, over its frag_list.
void copy_from_network(const Skb& skb, std::size_t n, std::uint8_t* to) {
  const std::size_t here = static_cast<std::size_t>(skb.tail - skb.network());
  std::size_t part = std::min(n, here);
  std::memcpy(to, skb.network(), part);
  for (const Skb* f = skb.frag_list; f != nullptr && part < n; f = f->next) {
    const std::size_t more = std::min<std::size_t>(n - part, f->len);
    std::memcpy(to + part, f->data, more);
    part += more;
  }
}

// icmp_out_count().
void count_sent(Net& net, std::uint8_t type) {
  snmp(net, Snmp::IcmpOutMsgs);
  if (type == kIcmpDestUnreach) snmp(net, Snmp::IcmpOutDestUnreachs);
  if (type == kIcmpTimeExceeded) snmp(net, Snmp::IcmpOutTimeExcds);
  if (type == kIcmpParameterProb) snmp(net, Snmp::IcmpOutParmProbs);
  if (type == kIcmpEchoReply) snmp(net, Snmp::IcmpOutEchoReps);
}

// icmp_push_reply(): `message` is the ICMP header's place and what follows it.
void push(Net& net, SkbPtr skb, const Flow4& fl4, const Rtable& rt, std::uint8_t tos,
          const IpOptions& opt) {
  const std::span<std::uint8_t> message = skb->bytes();
  store_be16(&message[2], 0);
  store_be16(&message[2], csum_fold(csum_partial(message, 0)));
  const std::uint8_t type = message[0];
  skb->set_transport_header();
  skb->push(kIpHlen + opt.optlen);
  skb->set_network_header();
  Ipv4Header ip;
  ip.ihl = static_cast<std::uint8_t>(5 + opt.optlen / 4);
  ip.tos = tos;
  ip.ttl = rt.hoplimit != 0 ? rt.hoplimit : net.sysctl().ip_default_ttl;
  if (rt.type == RouteType::multicast) ip.ttl = 1;
  ip.protocol = kIpProtoIcmp;
  ip.saddr = fl4.saddr;
  ip.daddr = fl4.daddr;
  ip.emit(skb->network());
  ip_select_ident_segs(net, *skb, nullptr, 1);
  ip_options_build(net, *skb, opt, fl4.daddr);
  skb->mark = fl4.mark;
  skb->rt = rt;
  skb->fl4 = fl4;
  skb->dev = rt.dev;
  born(net);
  count_sent(net, type);
  static_cast<void>(ip_send_skb(net, std::move(skb)));
}

SkbPtr new_message(Net& net, std::size_t len) {
  SkbPtr skb = alloc_skb(net, kLlReserved + kIpMaxHlen + len);
  if (!skb) {
    snmp(net, Snmp::IcmpOutErrors);
    return nullptr;
  }
  skb->reserve(kLlReserved + kIpMaxHlen);
  skb->put(len);
  return skb;
}

// The kernel itself answers what comes into a mirrored namespace from outside.
bool kernel_answers(Net& net, const Skb& about) {
  const bool looped = about.dev != nullptr && (about.dev->flags() & kIffLoopback) != 0;
  // What a socket sends has an iif too when it is bound to a device.
  return about.sk == nullptr && about.rt.iif != 0 && !looped &&
         net.neigh->owner == NeighOwner::kernel;
}

bool is_icmp_error_itself(const Skb& skb, const Ipv4View& ip) {
  if (ip.protocol() != kIpProtoIcmp) return false;
  const std::uint8_t* type = skb.network() + ip.hlen();
  return type >= skb.tail || *type > kNrIcmpTypes || icmp_is_error(*type);
}

}  // namespace

void icmp_send(Net& net, const Skb& about, std::uint8_t type, std::uint8_t code,
               std::uint32_t info) {
  if (about.rt.type == RouteType::unspec || kernel_answers(net, about)) return;
  if (about.network() + kIpHlen > about.tail) return;
  const Ipv4View ip(about.network());
  if (about.pkt_type != PacketType::host) return;
  if (about.rt.is_broadcast || about.rt.is_multicast) return;
  if ((ip.frag_off() & kIpOffset) != 0) return;
  if (icmp_is_error(type) && is_icmp_error_itself(about, ip)) return;

  const std::optional<IpOptions> opt = ip_options_echo(net, about);
  if (!opt) return;
  Flow4 fl4;
  const std::uint8_t tos =
      icmp_is_error(type) ? static_cast<std::uint8_t>((ip.tos() & kTosMask) | kTosPrec) : ip.tos();
  fl4.saddr = about.rt.is_local ? ip.daddr() : Ip4{};
  fl4.daddr = ip.saddr();
  fl4.mark = net.sysctl().fwmark_reflect ? about.mark : 0;
  fl4.tos = tos & 0xfc;
  fl4.proto = kIpProtoIcmp;
  fl4.iif = 1;  // LOOPBACK_IFINDEX
  fl4.sport = type;
  fl4.dport = code;
  const auto rt = ip_route_output_flow(net, fl4, nullptr);
  if (!rt) return;

  const std::size_t room_for_message = std::min(rt->mtu, kMostQuoted);
  const std::size_t headers = kIpHlen + opt->optlen + kIcmpHlen;
  if (room_for_message <= headers + kIpHlen) return;
  const std::size_t room = room_for_message - headers;
  const auto pulled = static_cast<std::size_t>(about.data - about.network());
  const std::size_t quoted = std::min(room, pulled + about.len);
  if (fl4.saddr.is_zero()) fl4.saddr = kInaddrDummy;
  SkbPtr skb = new_message(net, kIcmpHlen + quoted);
  if (!skb) return;
  IcmpHeader{type, code, 0, info}.emit(skb->data);
  copy_from_network(about, quoted, skb->data + kIcmpHlen);
  if (icmp_is_error(type)) nf_ct_attach(*skb, about);
  push(net, std::move(skb), fl4, *rt, tos, *opt);
}

void icmp_reply(Net& net, const Skb& request) {
  if (kernel_answers(net, request)) return;
  const std::optional<IpOptions> opt = ip_options_echo(net, request);
  if (!opt) return;
  const Ipv4View ip(request.network());
  Flow4 fl4;
  fl4.daddr = ip.saddr();
  fl4.saddr = fib_compute_spec_dst(net, request);
  fl4.mark = net.sysctl().fwmark_reflect ? request.mark : 0;
  fl4.tos = ip.tos() & 0x1c;
  fl4.proto = kIpProtoIcmp;
  fl4.iif = 1;  // LOOPBACK_IFINDEX
  const auto rt = ip_route_output_flow(net, fl4, nullptr);
  if (!rt) return;
  SkbPtr skb = new_message(net, request.len);
  if (!skb) return;
  std::memcpy(skb->data, request.data, request.len);
  skb->data[0] = kIcmpEchoReply;
  push(net, std::move(skb), fl4, *rt, ip.tos(), *opt);
}

}  // namespace txp
