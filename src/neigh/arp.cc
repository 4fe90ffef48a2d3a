// SPDX-License-Identifier: Apache-2.0
// ARP: asking for a neighbour, answering for ourselves, learning from what passes.
//
// Kernel twin: net/ipv4/arp.c, arp_solicit(), arp_create(), arp_rcv(), arp_process().
// Differs: no netfilter ARP hooks, no proxy_arp_pvlan, no drop_gratuitous_arp; proxied answers go
// at once (proxy_delay 0); medium_id is 0; app_solicit probes count but there is no daemon to hear
// them. With NeighOwner::kernel nothing is sent or answered: the kernel does it.
// Drops: none of its own; what it sends is a packet like any other.
#include <algorithm>

#include "ip/ip_input.h"
#include "neigh/neigh_impl.h"
#include "route/ip_route.h"
#include "wire/arp.h"
#include "wire/ethernet.h"
#include "wire/ipv4.h"

namespace txp {
namespace {

// arp_send_dst(): one ARP packet, from its birth to the device. `dest` null: broadcast.
void arp_send(Net& net, NetDevice& dev, const ArpPacket& arp, const MacAddr* dest) {
  if ((dev.flags() & kIffNoarp) != 0 || !dev_has_header(dev)) return;
  constexpr std::size_t kHlen = 16;  // LL_RESERVED_SPACE() of Ethernet
  SkbPtr skb = alloc_skb(net, kHlen + kArpLen);
  if (!skb) return;
  skb->reserve(kHlen);
  arp.emit(skb->put(kArpLen));
  skb->set_network_header();
  skb->protocol = kEthPArp;
  skb->dev = &dev;
  dev_hard_header(*skb, dev, kEthPArp, dest != nullptr ? *dest : dev.link().broadcast);
  born(net);
  static_cast<void>(dev_queue_xmit(net, std::move(skb)));
}

bool ifa_match(const InAddr& ifa, Ip4 addr) {
  return Prefix4{ifa.peer.is_zero() ? ifa.local : ifa.peer, ifa.prefixlen}.contains(addr);
}

// inet_addr_onlink(): one address of `dev` has both in its subnet.
bool inet_addr_onlink(const NetDevice& dev, Ip4 a, Ip4 b) {
  for (const InAddr& ifa : dev.in_dev().addrs)
    if (ifa_match(ifa, a) && ifa_match(ifa, b)) return true;
  return false;
}

// inet_confirm_addr(): whether `local` is an address of `dev` (any when null) of at most `scope`,
// in a subnet with `dst` unless that is zero.
bool confirm_addr(Net& net, const NetDevice* dev, Ip4 dst, Ip4 local, std::uint8_t scope) {
  const auto on = [&](const NetDevice& d) {
    bool same = false;
    bool found = false;
    for (const InAddr& ifa : d.in_dev().addrs) {
      const std::uint8_t min_scope =
          std::min(ifa.scope, d.in_dev().conf.route_localnet ? kScopeLink : kScopeHost);
      if (!found && (local == ifa.local || local.is_zero()) && min_scope <= scope) found = true;
      if (!same && (local.is_zero() || ifa_match(ifa, local)) &&
          (dst.is_zero() || ifa_match(ifa, dst)))
        same = true;
    }
    return found && same;
  };
  if (dev != nullptr) return on(*dev);
  for (const NetDevice* d : net.dev->all())
    if (on(*d)) return true;
  return false;
}

// arp_ignore(): true when the sysctl forbids an answer.
bool arp_ignore(Net& net, const NetDevice& dev, Ip4 sip, Ip4 tip) {
  switch (dev.in_dev().conf.arp_ignore) {
    case 1: return !confirm_addr(net, &dev, Ip4{}, tip, kScopeHost);
    case 2: return !confirm_addr(net, &dev, sip, tip, kScopeHost);
    case 3: return !confirm_addr(net, nullptr, Ip4{}, tip, kScopeLink);
    case 8: return true;
    default: return false;
  }
}

// The device that `daddr` is reached by, or null.
NetDevice* route_dev(Net& net, Ip4 daddr, Ip4 saddr) {
  Flow4 fl4;
  fl4.daddr = daddr;
  fl4.saddr = saddr;
  const auto rt = ip_route_output_flow(net, fl4, nullptr);
  return rt ? rt->dev : nullptr;
}

void arp_reply(Net& net, NetDevice& dev, const ArpPacket& to) {
  ArpPacket reply;
  reply.op = kArpReply;
  reply.sha = dev.link().address;
  reply.sip = to.tip;
  reply.tha = to.sha;
  reply.tip = to.sip;
  arp_send(net, dev, reply, &to.sha);
}

// A request: for us, or for somebody we answer for. True when nothing is left to do.
bool process_request(Net& net, NetDevice& dev, const ArpPacket& arp) {
  const auto rt = ip_route_input(net, dev, arp.tip, arp.sip, 0, kEthPArp);
  if (!rt) return false;
  const InDevConf& conf = dev.in_dev().conf;
  if (rt->type == RouteType::local) {
    bool silent = arp_ignore(net, dev, arp.sip, arp.tip);
    if (!silent && conf.arp_filter) silent = route_dev(net, arp.sip, arp.tip) != &dev;
    if (!silent && neigh_event_ns(net, dev, arp.sip, arp.sha)) arp_reply(net, dev, arp);
    return true;
  }
  if (!conf.forwarding || rt->type != RouteType::unicast) return false;
  const NetDevice* out = route_dev(net, arp.tip, Ip4{});
  if (out == nullptr || out == &dev) return false;
  if (!conf.proxy_arp && !net.neigh->impl().is_proxy(dev.ifindex, arp.tip)) return false;
  neigh_event_ns(net, dev, arp.sip, arp.sha);
  arp_reply(net, dev, arp);
  return true;
}

bool is_garp(Net& net, const ArpPacket& arp) {
  return arp.tip == arp.sip && (arp.op != kArpReply || arp.tha == arp.sha) &&
         inet_addr_type(net, arp.sip) == RouteType::unicast;
}

// Learning: an entry that there is, or (arp_accept) a new one.
void update_table(Net& net, NetDevice& dev, const ArpPacket& arp, PacketType type) {
  NeighTable::Impl& table = net.neigh->impl();
  Neighbour* n = table.lookup_counted(dev, arp.sip);
  const bool accept = dev.in_dev().conf.arp_accept;
  const bool garp = (n != nullptr || accept) && is_garp(net, arp);
  if (n == nullptr && accept &&
      (garp || (arp.op == kArpReply && inet_addr_type(net, arp.sip) == RouteType::unicast)))
    n = table.create(dev, neigh_key(dev, arp.sip), false, false);
  if (n == nullptr) return;
  // Of several answers the first is taken: it came from the fastest of several proxies.
  Nanos updated;
  {
    const std::lock_guard guard(n->lock);
    updated = n->updated;
  }
  const Nanos locktime = Nanos{dev.in_dev().arp_parms.locktime_ms} * kMillisecond;
  const bool override = garp || net.clock.now() > updated + locktime;
  const bool reachable = arp.op == kArpReply && type == PacketType::host;
  neigh_update(net, *n, &arp.sha, reachable ? Nud::reachable : Nud::stale,
               override ? kNeighUpdateOverride : 0);
}

}  // namespace

void arp_solicit(Net& net, Neighbour& n, std::optional<Ip4> waiting) {
  NetDevice& dev = *n.dev;
  Ip4 saddr;
  const std::uint8_t announce = dev.in_dev().conf.arp_announce;
  if (waiting && announce < 2 && inet_addr_type(net, *waiting) == RouteType::local &&
      (announce == 0 || inet_addr_onlink(dev, n.primary_key, *waiting)))
    saddr = *waiting;
  if (saddr.is_zero()) saddr = inet_select_addr(net, &dev, n.primary_key, kScopeLink);

  const NeighParms& parms = neigh_parms(n);
  std::uint32_t probes;
  {
    const std::lock_guard guard(n.lock);
    probes = n.probes;
  }
  const MacAddr known = n.mac();
  const MacAddr* dest = nullptr;
  if (probes < parms.ucast_solicit)
    dest = &known;
  else if (probes < parms.ucast_solicit + parms.app_solicit)
    return;  // neigh_app_ns()
  ArpPacket request;
  request.op = kArpRequest;
  request.sha = dev.link().address;
  request.sip = saddr;
  request.tip = n.primary_key;
  arp_send(net, dev, request, dest);
}

std::expected<void, DropReason> arp_rcv(Net& net, NetDevice& dev,
                                        std::span<const std::uint8_t> packet, PacketType type) {
  if ((dev.flags() & kIffNoarp) != 0 || type == PacketType::otherhost ||
      type == PacketType::loopback || net.neigh->owner == NeighOwner::kernel)
    return {};
  const std::unexpected refused(DropReason::NOT_SPECIFIED);
  if (packet.size() < kArpLen) return std::unexpected(DropReason::PKT_TOO_SMALL);
  const auto arp = ArpPacket::parse(packet);
  if (!arp || (arp->op != kArpRequest && arp->op != kArpReply)) return refused;
  const InDevConf& conf = dev.in_dev().conf;
  if (arp->tip.is_multicast() || (!conf.route_localnet && arp->tip.is_loopback())) return refused;
  if (arp->sip.is_zero()) {  // duplicate address detection (RFC 5227)
    if (arp->op == kArpRequest && inet_addr_type(net, arp->tip) == RouteType::local &&
        !arp_ignore(net, dev, arp->sip, arp->tip))
      arp_reply(net, dev, *arp);
    return {};
  }
  if (arp->op == kArpRequest && process_request(net, dev, *arp)) return {};
  update_table(net, dev, *arp, type);
  return {};
}

}  // namespace txp
