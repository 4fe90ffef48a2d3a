// SPDX-License-Identifier: Apache-2.0
// Neighbour discovery (RFC 4861): asking for a neighbour, answering for ourselves.
//
// Kernel twin: net/ipv6/ndisc.c, ndisc_solicit(), ndisc_send_ns(), ndisc_send_na(),
// ndisc_recv_ns(), ndisc_recv_na().
// Differs: no duplicate address detection, router discovery, redirects or proxies; app_solicit
// probes count but there is no daemon to hear them. With NeighOwner::kernel nothing is sent or
// answered: the kernel does it. Drops: none of its own; what it sends is a packet like any other.
#include "neigh/ndisc.h"

#include <algorithm>

#include "ip/ip.h"
#include "ip6/ip6.h"
#include "neigh/neigh_impl.h"
#include "netfilter/nf_hook.h"
#include "route/ip6_route.h"
#include "wire/ethernet.h"
#include "wire/ipv6.h"

namespace txp {
namespace {

constexpr std::uint8_t kNs = 135;  // NDISC_NEIGHBOUR_SOLICITATION
constexpr std::uint8_t kNa = 136;
constexpr std::uint8_t kOptSource = 1;  // ND_OPT_SOURCE_LL_ADDR
constexpr std::uint8_t kOptTarget = 2;
constexpr std::uint8_t kNaSolicited = 0x40;
constexpr std::uint8_t kNaOverride = 0x20;
constexpr std::size_t kNdLen = 24;  // ICMPv6 header and target
constexpr std::size_t kOptLen = 8;  // of an Ethernet address

// ipv6_get_lladdr()
std::optional<Ip6> link_local_of(const NetDevice& dev) {
  for (const In6Addr& a : dev.in6_dev().addrs)
    if (a.local.is_linklocal() && (a.flags & (kIfaTentative | kIfaOptimistic)) == 0) return a.local;
  return std::nullopt;
}

// ndisc_send_skb(): one message, with our hardware address as `option`.
void ndisc_send(Net& net, NetDevice& dev, std::uint8_t type, std::uint8_t flags, const Ip6& target,
                const Ip6& saddr, const Ip6& daddr, std::uint8_t option) {
  constexpr std::size_t kRoom = 16;  // LL_RESERVED_SPACE() of Ethernet
  const bool with_option = dev_has_header(dev);
  const std::size_t len = kNdLen + (with_option ? kOptLen : 0);
  SkbPtr skb = alloc_skb(net, kRoom + kIpv6Hlen + len);
  if (!skb) return;
  skb->reserve(kRoom);
  skb->set_network_header();
  std::uint8_t* p = skb->put(kIpv6Hlen);
  Ipv6Header h;
  h.tclass = dev.in6_dev().conf.ndisc_tclass;
  h.payload_len = static_cast<std::uint16_t>(len);
  h.nexthdr = kNexthdrIcmpv6;
  h.hop_limit = 255;
  h.saddr = saddr;
  h.daddr = daddr;
  h.emit(p);
  skb->transport_header = static_cast<std::uint16_t>(skb->network_header + kIpv6Hlen);
  std::uint8_t* m = skb->put(len);
  std::fill_n(m, len, std::uint8_t{0});
  m[0] = type;
  m[4] = flags;
  target.store(m + 8);
  if (with_option) {
    m[kNdLen] = option;
    m[kNdLen + 1] = 1;
    std::copy_n(dev.link().address.bytes, 6, m + kNdLen + 2);
  }
  store_be16(m + 2, csum_fold(csum_ipv6_nofold(saddr, daddr, static_cast<std::uint32_t>(len),
                                               kNexthdrIcmpv6, csum_partial({m, len}, 0))));
  skb->protocol = kEthPIpv6;
  skb->dev = &dev;
  skb->rt.dev = &dev;
  skb->rt.mtu = dev.in6_dev().conf.mtu;
  skb->rt.type = daddr.is_multicast() ? RouteType::multicast : RouteType::unicast;
  skb->rt.is_multicast = daddr.is_multicast();
  skb->rt.output = DstOutput::ip6_output;
  born(net);
  snmp(net, Snmp::Ip6OutRequests);
  snmp(net, Snmp::Icmp6OutMsgs);
  snmp(net, type == kNs ? Snmp::Icmp6OutNeighborSolicits : Snmp::Icmp6OutNeighborAdvertisements);
  static_cast<void>(ip6_local_out(net, std::move(skb)));
}

// The hardware address in an option of this type; null: none.
std::optional<MacAddr> lladdr_option(std::span<const std::uint8_t> options, std::uint8_t type) {
  while (options.size() >= 8 && options[1] != 0) {
    const std::size_t len = options[1] * std::size_t{8};
    if (len > options.size()) break;
    if (options[0] == type && len == kOptLen) {
      MacAddr mac;
      std::copy_n(options.begin() + 2, 6, mac.bytes);
      return mac;
    }
    options = options.subspan(len);
  }
  return std::nullopt;
}

void recv_ns(Net& net, NetDevice& dev, const Ipv6Header& ip, const Ip6& target,
             std::span<const std::uint8_t> options) {
  if (target.is_multicast() || !ipv6_chk_addr(net, target, &dev)) return;
  const bool dad = ip.saddr.is_any();
  const auto mac = lladdr_option(options, kOptSource);
  if (!dad && mac) {
    Neighbour* n = net.neigh6->lookup(dev, ip.saddr);
    if (n == nullptr) n = net.neigh6->create(dev, ip.saddr, nullptr);
    if (n != nullptr) neigh_update(net, *n, &*mac, Nud::stale, kNeighUpdateOverride);
  }
  const Ip6 all_nodes{0xff02000000000000ULL, 1};
  ndisc_send(net, dev, kNa, dad ? kNaOverride : kNaSolicited | kNaOverride, target, target,
             dad ? all_nodes : ip.saddr, kOptTarget);
}

void recv_na(Net& net, NetDevice& dev, std::uint8_t flags, const Ip6& target,
             std::span<const std::uint8_t> options) {
  Neighbour* n = net.neigh6->lookup(dev, target);
  if (n == nullptr) return;
  const auto mac = lladdr_option(options, kOptTarget);
  const bool solicited = (flags & kNaSolicited) != 0;
  neigh_update(net, *n, mac ? &*mac : nullptr, solicited ? Nud::reachable : Nud::stale,
               (flags & kNaOverride) != 0 ? kNeighUpdateOverride : kNeighUpdateWeakOverride);
}

}  // namespace

void ndisc_solicit(Net& net, Neighbour& n, const std::optional<Ip6>& waiting) {
  NetDevice& dev = *n.dev;
  std::optional<Ip6> saddr;
  if (waiting && ipv6_chk_addr(net, *waiting, &dev, kIfaTentative | kIfaOptimistic))
    saddr = *waiting;
  if (!saddr) saddr = link_local_of(dev);
  if (!saddr) return;
  const NeighParms& parms = neigh_parms(n);
  std::uint32_t probes;
  {
    const std::lock_guard guard(n.lock);
    probes = n.probes;
  }
  const Ip6& target = n.primary_key6;
  if (probes < parms.ucast_solicit)
    ndisc_send(net, dev, kNs, 0, target, *saddr, target, kOptSource);
  else if (probes >= parms.ucast_solicit + parms.app_solicit)
    ndisc_send(net, dev, kNs, 0, target, *saddr, solicited_node_group(target), kOptSource);
}

void ndisc_rcv(Net& net, NetDevice& dev, const Ipv6Header& ip,
               std::span<const std::uint8_t> message) {
  if (net.neigh6->owner == NeighOwner::kernel) return;
  if (ip.hop_limit != 255 || message.size() < kNdLen || message[1] != 0) return;
  const Ip6 target = Ip6::load(&message[8]);
  const auto options = message.subspan(kNdLen);
  if (message[0] == kNs) recv_ns(net, dev, ip, target, options);
  if (message[0] == kNa) recv_na(net, dev, message[4], target, options);
}

}  // namespace txp
