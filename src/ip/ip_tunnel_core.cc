// SPDX-License-Identifier: Apache-2.0
// The outer IP header of tunnels and its walk. No stage of its own: a tunnel is its device's
// ndo_start_xmit(), and below it the outer packet walks from ip_route_output_flow() on.
//
// Kernel twin: net/ipv4/ip_tunnel_core.c (iptunnel_xmit(), iptunnel_handle_offloads(),
// skb_tunnel_check_pmtu()); include/net/ip_tunnels.h.
// Differs: the ICMP error that a bridge's sender would get is not made (TunnelPmtu::answered), nor
// does an IPv6 route learn a path MTU. Drops: NOT_SPECIFIED, as the kernel, which gives no reason,
// for a packet that goes through more than five tunnels in one another.
#include "ip/ip_tunnel.h"

#include "dev/netdevice.h"
#include "ip/ip.h"
#include "net.h"
#include "observe/trace.h"
#include "plan/plan_recorder.h"
#include "route/ip_route.h"
#include "wire/ethernet.h"
#include "wire/ipv4.h"
#include "wire/ipv6.h"

namespace txp {
namespace {

constexpr int kIpTunnelRecursionLimit = 5;  // IP_TUNNEL_RECURSION_LIMIT
constexpr std::uint8_t kInetEcnMask = 3;    // INET_ECN_*
constexpr std::uint8_t kInetEcnCe = 3;
constexpr std::uint8_t kInetEcnEct0 = 2;

// skb_scrub_packet(), without a change of namespaces.
void scrub(Skb& skb) {
  skb.pkt_type = PacketType::host;
  skb.ignore_df = false;
  skb.opt = {};
  skb.frag_max_size = 0;
  skb.redirected_loop = false;
  nf_conn_put(std::exchange(skb.nfct, nullptr));
  skb.ctinfo = CtInfo::established;
}

// build_skb_flow_key().
Flow4 flow_key(const Skb& skb) {
  const Ipv4View ip(skb.network());
  Flow4 fl4;
  fl4.iif = 1;  // LOOPBACK_IFINDEX
  fl4.oif = skb.dev->ifindex;
  fl4.mark = skb.mark;
  fl4.saddr = ip.saddr();
  fl4.daddr = ip.daddr();
  fl4.tos = ip.tos() & 0xfc;
  fl4.proto = ip.protocol();
  return fl4;
}

}  // namespace

std::uint8_t ip_tunnel_get_dsfield(const Skb& skb) {
  std::uint8_t* ip = skb.network();
  if (skb.protocol == kEthPIp) return Ipv4View(ip).tos();
  return skb.protocol == kEthPIpv6 ? Ipv6View(ip).tclass() : std::uint8_t{0};
}

std::uint8_t ip_tunnel_get_ttl(const Skb& skb) {
  std::uint8_t* ip = skb.network();
  if (skb.protocol == kEthPIp) return Ipv4View(ip).ttl();
  return skb.protocol == kEthPIpv6 ? Ipv6View(ip).hop_limit() : std::uint8_t{0};
}

std::uint8_t ip_tunnel_ecn_encap(std::uint8_t tos, const Skb& skb) {
  const std::uint8_t inner = ip_tunnel_get_dsfield(skb) & kInetEcnMask;
  return static_cast<std::uint8_t>((tos & ~kInetEcnMask) |
                                   (inner == kInetEcnCe ? kInetEcnEct0 : inner));
}

TunnelPmtu skb_tunnel_check_pmtu(Net& net, const Skb& skb, const Rtable& outer,
                                 std::uint32_t headroom, bool bridge_port) {
  const std::uint32_t mtu = outer.mtu - headroom;
  const auto len = static_cast<std::uint32_t>(skb.len - (skb.network() - skb.data));
  if (len <= mtu) return TunnelPmtu::goes_on;
  if (skb.rt.dev != nullptr && skb.protocol == kEthPIpv6) return TunnelPmtu::not_known;
  tunnel_update_pmtu(net, skb, mtu);
  if (!bridge_port) return TunnelPmtu::goes_on;
  if (skb.protocol == kEthPIpv6) return TunnelPmtu::answered;
  const bool df = skb.protocol == kEthPIp && Ipv4View(skb.network()).frag_off() == kIpDf;
  return df ? TunnelPmtu::answered : TunnelPmtu::goes_on;
}

void tunnel_update_pmtu(Net& net, const Skb& skb, std::uint32_t mtu) {
  if (skb.rt.dev != nullptr && skb.protocol == kEthPIp)
    ip_rt_update_pmtu(net, skb.rt, flow_key(skb), mtu);
}

const char* tunnel_not_done(Skb& skb) {
  if (skb.is_gso()) return "segmentation offload inside a tunnel";
  if (skb.protocol == kEthP8021q || skb.protocol == kEthP8021ad) return "a VLAN tag inside";
  if (skb.encapsulation) static_cast<void>(skb_checksum_help(skb));
  return nullptr;
}

bool tunnel_takes_df(const Skb& skb, TunnelDf df) {
  if (df != TunnelDf::inherit) return df == TunnelDf::set;
  return skb.protocol == kEthPIpv6 ||
         (skb.protocol == kEthPIp && (Ipv4View(skb.network()).frag_off() & kIpDf) != 0);
}

std::uint32_t lco_csum(const Skb& skb) {
  const std::uint8_t* start = skb.head + skb.csum_start;
  const std::uint16_t pseudo = load_be16(start + skb.csum_offset);
  return csum_partial({skb.transport(), start}, static_cast<std::uint16_t>(~pseudo));
}

void iptunnel_handle_offloads(Skb& skb) {
  if (!skb.encapsulation) skb.inner_network_header = skb.network_header;
  skb.encapsulation = skb.ip_summed == IpSummed::partial;
}

void iptunnel_xmit(Net& net, NetDevice& dev, unsigned queue, SkbPtr skb, const Rtable& rt,
                   const Flow4& fl4, const OuterIp& outer) {
  Cpu& cpu = net.this_cpu();
  if (cpu.xmit_recursion > kIpTunnelRecursionLimit) {
    tunnel_told(*skb, dev, "too many tunnels in one another");
    return tunnel_tx_error(net, dev, queue, std::move(skb));
  }
  if (cpu.recorder != nullptr) cpu.recorder->refuse(Walk::copies);
  born(net);  // it has left its device and begins anew (docs/decisions/0004)
  const auto len = static_cast<std::uint32_t>(skb->tail - (skb->head + skb->inner_network_header));
  scrub(*skb);
  skb->push(kIpHlen);
  skb->set_network_header();
  Ipv4Header ip;
  ip.frag_off = outer.df && !rt.mtu_locked ? kIpDf : std::uint16_t{0};
  ip.protocol = outer.proto;
  ip.tos = outer.tos;
  ip.ttl = outer.ttl;
  ip.saddr = fl4.saddr;
  ip.daddr = fl4.daddr;
  // __ip_select_ident(): drawn, with DF too.
  ip.id = static_cast<std::uint16_t>(net.ip_id.fetch_add(1, std::memory_order_relaxed));
  ip.emit(skb->network());
  skb->rt = rt;
  skb->fl4 = fl4;
  skb->gateway6 = {};
  skb->dev = rt.dev;
  if (skb->encaps < 0xff) ++skb->encaps;
  if (Trace* trace = telling(skb->trace); trace != nullptr) trace->masked("outer.ip.id");
  ++cpu.xmit_recursion;
  const TxResult sent = ip_local_out(net, std::move(skb));
  --cpu.xmit_recursion;
  cpu.below = TxResult::success();  // what stands below said its word to the outer packet
  if (sent.ok() || sent == TxResult::cn())
    dev_tx_add(net, dev, queue, len);
  else
    dev.tx_dropped.fetch_add(1, std::memory_order_relaxed);
}

void tunnel_told(const Skb& skb, const NetDevice& dev, const char* why) {
  if (Trace* trace = telling(skb.trace); trace != nullptr)
    trace->by(
        Stage::ndo_start_xmit,
        NamedObject{.kind = "device", .text = dev.link().kind + " " + dev.name() + ": " + why});
}

void tunnel_tx_error(Net& net, NetDevice& dev, unsigned queue, SkbPtr skb) {
  dev.tx[queue]->tx_errors.fetch_add(1, std::memory_order_relaxed);
  end_taken(net, std::move(skb), DropReason::NOT_SPECIFIED);
}

}  // namespace txp
