// SPDX-License-Identifier: Apache-2.0
// What a base chain's type adds: a chain of type route finds a new route for a packet that its
// rules changed.
//
// Kernel twins: net/netfilter/nft_chain_route.c; net/ipv4/netfilter.c, ip_route_me_harder();
// net/ipv6/netfilter.c, ip6_route_me_harder().
// Differs: no l3mdev; IPsec policies are an obstacle of the lookup. Drops: none; a lookup that
// fails is a drop with its errno.
#include <linux/netfilter.h>

#include <algorithm>
#include <array>
#include <cerrno>

#include "base/byteorder.h"
#include "dev/netdevice.h"
#include "net.h"
#include "netfilter/nft_program.h"
#include "route/fib_rules.h"
#include "route/ip6_route.h"
#include "route/ip_route.h"
#include "socket/inet6_sock.h"
#include "socket/sock.h"
#include "wire/ipv4.h"
#include "wire/ipv6.h"

namespace txp {
namespace {

// fib4_rules_early_flow_dissect(): protocol and ports are looked for only then.
bool rules_look_at_ports(Net& net) {
  const auto& rules = net.rules->all();
  return std::ranges::any_of(
      rules, [](const FibRule& r) { return r.ip_proto != 0 || r.sport || r.dport; });
}

}  // namespace

int ip_route_me_harder(NftPkt& pkt) {
  Skb& skb = pkt.skb;
  const Ipv4View ip(skb.network());
  Flow4 fl4;
  fl4.saddr = ip.saddr();
  const RouteType type = inet_addr_type(pkt.net, fl4.saddr);
  if (skb.sk != nullptr && (skb.sk->transparent || skb.sk->hdrincl)) fl4.flags = kFlowAnysrc;
  if (type == RouteType::local || type == RouteType::unicast)
    fl4.flags |= kFlowAnysrc;
  else
    fl4.saddr = Ip4{};
  fl4.daddr = ip.daddr();
  fl4.tos = ip.tos() & 0xfc;
  fl4.oif = skb.sk != nullptr ? skb.sk->bound_dev_if : 0;
  fl4.mark = skb.mark;
  if (rules_look_at_ports(pkt.net) && pkt.l4proto) {
    fl4.proto = pkt.tprot;
    std::array<std::uint8_t, 4> ports{};
    if (skb_copy_bits(skb, pkt.thoff, ports)) {
      fl4.sport = load_be16(ports.data());
      fl4.dport = load_be16(ports.data() + 2);
    }
  }
  const auto rt = ip_route_output_flow(pkt.net, fl4, skb.trace);
  if (!rt) return rt.error().code;
  skb.rt = *rt;
  return 0;
}

int ip6_route_me_harder(NftPkt& pkt) {
  Skb& skb = pkt.skb;
  const Ipv6View ip(skb.network());
  Flow6 fl6;
  fl6.mark = skb.mark;
  fl6.uid = skb.sk != nullptr ? skb.sk->uid : 0;
  fl6.daddr = ip.daddr();
  fl6.saddr = ip.saddr();
  fl6.flowlabel = ip.flowinfo();
  if (skb.sk != nullptr && skb.sk->bound_dev_if != 0)
    fl6.oif = skb.sk->bound_dev_if;
  else if (fl6.daddr.is_multicast() || fl6.daddr.is_linklocal())
    fl6.oif = skb.rt.dev->ifindex;
  const bool ports = std::ranges::any_of(pkt.net.rules6->all(), [](const FibRule& r) {
    return r.ip_proto != 0 || r.sport || r.dport;
  });
  if (ports && pkt.l4proto) {
    fl6.proto = pkt.tprot;
    std::array<std::uint8_t, 4> at{};
    if (skb_copy_bits(skb, pkt.thoff, at)) {
      fl6.sport = load_be16(at.data());
      fl6.dport = load_be16(at.data() + 2);
    }
  }
  const auto rt = ip6_route_output(pkt.net, skb.sk != nullptr && skb.sk->inet6 ? skb.sk : nullptr,
                                   fl6, 0, nullptr);
  if (!rt) return rt.error().code;
  if (rt->error != 0) {
    snmp(pkt.net, Snmp::Ip6OutNoRoutes);
    return rt->error;
  }
  skb.rt = rt->dst;
  skb.gateway6 = rt->gateway;
  return 0;
}

namespace {

// nf_route_table_hook6()
NftResult do_route_chain6(NftPkt& pkt, const NftBaseChain& chain) {
  const Ipv6View ip(pkt.skb.network());
  const Ip6 saddr = ip.saddr();
  const Ip6 daddr = ip.daddr();
  const std::uint8_t hop_limit = ip.hop_limit();
  const std::uint32_t flowinfo = ip.flowinfo();
  const std::uint32_t mark = pkt.skb.mark;
  NftResult result = nft_do_chain(pkt, chain);
  if (result.code != NftCode::accept) return result;
  if (ip.saddr() == saddr && ip.daddr() == daddr && ip.hop_limit() == hop_limit &&
      ip.flowinfo() == flowinfo && pkt.skb.mark == mark)
    return result;
  if (const int error = ip6_route_me_harder(pkt); error != 0) {
    result.code = error == kUnknown ? NftCode::unknown : NftCode::drop;
    result.error = error;
  }
  return result;
}

}  // namespace

NftResult nft_do_base_chain(NftPkt& pkt, const NftBaseChain& chain) {
  if (chain.spec.type != "route") return nft_do_chain(pkt, chain);
  if (pkt.pf == NFPROTO_IPV6) return do_route_chain6(pkt, chain);
  const Ipv4View ip(pkt.skb.network());
  const Ip4 saddr = ip.saddr();
  const Ip4 daddr = ip.daddr();
  const std::uint8_t tos = ip.tos();
  const std::uint32_t mark = pkt.skb.mark;
  NftResult result = nft_do_chain(pkt, chain);
  if (result.code != NftCode::accept) return result;
  if (ip.saddr() == saddr && ip.daddr() == daddr && ip.tos() == tos && pkt.skb.mark == mark)
    return result;
  if (const int error = ip_route_me_harder(pkt); error != 0) {
    result.code = error == kUnknown ? NftCode::unknown : NftCode::drop;
    result.error = error;
  }
  return result;
}

}  // namespace txp
