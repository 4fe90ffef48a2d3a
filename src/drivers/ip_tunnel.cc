// SPDX-License-Identifier: Apache-2.0
// IPIP and GRE: an IP packet (or, gretap, an Ethernet frame) behind another IP header.
//
// Kernel twin: net/ipv4/ipip.c (ipip_tunnel_xmit()); net/ipv4/ip_gre.c (ipgre_xmit(),
// gre_tap_xmit(), __gre_xmit()); net/ipv4/ip_tunnel.c (ip_tunnel_xmit(), tnl_update_pmtu()).
// Differs: over several next hops the outer route is by a hash of the engine's own. Unknown:
// `external`, fou and gue (`encap`), mplsip, `seq` (the counter is the kernel's alone), GRE without
// a remote or to a group, segmentation offload, path MTUs that an IPv6 route would learn.
// Drops: NOT_SPECIFIED, counted as tx_errors: what is no IPv4 packet (ipip), no route, a route
// through itself, DF and too long (the sender hears fragmentation needed).
#include "ip/ip_tunnel.h"
#include "base/checksum.h"
#include "dev/netdevice.h"
#include "dev/skb_hash.h"
#include "drivers/stacked.h"
#include "ip/ip.h"
#include "net.h"
#include "observe/trace.h"
#include "route/ip_route.h"
#include "wire/ethernet.h"
#include "wire/gre.h"
#include "wire/ipv4.h"

namespace txp {
namespace {

constexpr std::uint16_t kArphrdEthernet = 1;
constexpr std::uint8_t kDestUnreach = 3;  // ICMP_DEST_UNREACH
constexpr std::uint8_t kFragNeeded = 4;   // ICMP_FRAG_NEEDED

class IpTunnelDriver final : public Driver {
 public:
  DriverFeatures features() const override { return kTunnelFeatures; }

  NetdevTx ndo_start_xmit(Net& net, NetDevice& dev, unsigned queue, SkbPtr& skb, bool) override {
    if (const char* why = tunnel_not_done(*skb); why != nullptr) {
      unknown_taken(net, std::move(skb), dev.link().kind + " " + dev.name() + ": " + why);
      return NetdevTx::ok;
    }
    if (dev.link().kind == "ipip")
      ipip_tunnel_xmit(net, dev, queue, std::move(skb));
    else
      gre_xmit(net, dev, queue, std::move(skb));
    return NetdevTx::ok;
  }

 private:
  static void ipip_tunnel_xmit(Net& net, NetDevice& dev, unsigned queue, SkbPtr skb) {
    if (skb->protocol != kEthPIp) {
      tunnel_told(*skb, dev, "it carries IPv4 alone");
      return tunnel_tx_error(net, dev, queue, std::move(skb));
    }
    iptunnel_handle_offloads(*skb);
    ip_tunnel_xmit(net, dev, queue, std::move(skb), kIpProtoIpip, 0);
  }

  // ipgre_xmit() and gre_tap_xmit().
  static void gre_xmit(Net& net, NetDevice& dev, unsigned queue, SkbPtr skb) {
    const IpTunnelInfo& t = *dev.link().as<IpTunnelInfo>();
    const std::size_t hlen = gre_hlen(t.o_flags);
    if (!skb_cow_head(net, skb, kTunnelReserved + kIpHlen + hlen)) {
      dev.tx_dropped.fetch_add(1, std::memory_order_relaxed);
      return end_taken(net, std::move(skb), DropReason::NOMEM);
    }
    iptunnel_handle_offloads(*skb);
    GreHeader h;
    h.flags = t.o_flags;
    h.proto = dev.link().kind == "gretap" ? kEthPTeb : skb->protocol;
    h.key = t.okey;
    h.emit(skb->push(hlen));
    skb->set_transport_header();
    if ((t.o_flags & kGreCsum) != 0) gre_csum(*skb);
    ip_tunnel_xmit(net, dev, queue, std::move(skb), kIpProtoGre, hlen);
  }

  // gre_build_header(), its checksum: over the header and what it carries.
  static void gre_csum(Skb& skb) {
    if (skb.ip_summed == IpSummed::partial) {
      store_be16(skb.transport() + kGreHlen, csum_fold(lco_csum(skb)));
      return;
    }
    skb.ip_summed = IpSummed::partial;
    skb.csum_start = skb.transport_header;
    skb.csum_offset = kGreHlen;
  }

  // data at what the outer IP header carries; the inner IP header at inner_network_header.
  static void ip_tunnel_xmit(Net& net, NetDevice& dev, unsigned queue, SkbPtr skb,
                             std::uint8_t proto, std::size_t hlen) {
    const IpTunnelInfo& t = *dev.link().as<IpTunnelInfo>();
    const bool inner_ip = skb->protocol == kEthPIp;
    const std::uint8_t tos = (t.tos & 1) == 0 ? t.tos
                             : skb->protocol == kEthPIp || skb->protocol == kEthPIpv6
                                 ? ip_tunnel_get_dsfield(*skb)
                                 : static_cast<std::uint8_t>(t.tos & ~1);
    Flow4 fl4;
    fl4.oif = t.link;
    fl4.mark = t.fwmark;
    fl4.saddr = t.local;
    fl4.daddr = t.remote;
    fl4.tos = tos & 0xfc;
    fl4.proto = proto;
    fl4.multipath_hash = skb_get_hash(*skb);
    if (t.remote.is_zero()) {  // to the next hop of the inner route
      if (skb->rt.dev == nullptr || !inner_ip) {
        tunnel_told(*skb, dev, "no next hop to send to");
        return tunnel_tx_error(net, dev, queue, std::move(skb));
      }
      fl4.daddr = skb->rt.gateway.is_zero() ? Ipv4View(skb->network()).daddr() : skb->rt.gateway;
    }
    begin_layer(*skb);
    const auto rt = ip_route_output_flow(net, fl4, skb->trace);
    if (!rt && rt.error().is_unknown())
      return end_taken(net, std::move(skb), DropReason::TXPATH_UNKNOWN);
    if (!rt || rt->dev == &dev) {
      tunnel_told(*skb, dev, rt ? "its remote is routed through itself" : "no route to its remote");
      return tunnel_tx_error(net, dev, queue, std::move(skb));
    }
    if (rt->is_local)
      return unknown_taken(net, std::move(skb),
                           dev.link().kind + " " + dev.name() + ": its remote is this host");
    OuterIp outer;
    outer.proto = proto;
    outer.df = t.pmtudisc;
    if (inner_ip && !t.ignore_df) outer.df |= (Ipv4View(skb->network()).frag_off() & kIpDf) != 0;
    if (!tnl_update_pmtu(net, dev, queue, skb, *rt, outer.df, hlen)) return;
    outer.tos = ip_tunnel_ecn_encap(tos, *skb);
    outer.ttl = t.ttl != 0 ? t.ttl : ip_tunnel_get_ttl(*skb);
    if (t.ttl == 0 && !inner_ip && skb->protocol != kEthPIpv6)
      outer.ttl = rt->hoplimit != 0 ? rt->hoplimit : net.sysctl().ip_default_ttl;
    if (!skb_cow_head(net, skb, kTunnelReserved + kIpHlen)) {
      dev.tx_dropped.fetch_add(1, std::memory_order_relaxed);
      return end_taken(net, std::move(skb), DropReason::NOMEM);
    }
    iptunnel_xmit(net, dev, queue, std::move(skb), *rt, fl4, outer);
  }

  // The inner route learns what fits; false: the packet ended, since it may not be fragmented.
  static bool tnl_update_pmtu(Net& net, NetDevice& dev, unsigned queue, SkbPtr& skb,
                              const Rtable& rt, bool df, std::size_t hlen) {
    const std::size_t link = dev.link().type == kArphrdEthernet ? kEthHlen : 0;
    const std::size_t size = skb->len - hlen - link;
    const bool routed = skb->rt.dev != nullptr;
    const std::size_t mtu = df       ? rt.mtu - (kIpHlen + hlen) - link
                            : routed ? skb->rt.mtu
                                     : dev.mtu();
    if (skb->protocol == kEthPIpv6 && (mtu < size || (routed && mtu < skb->rt.mtu))) {
      unknown_taken(net, std::move(skb),
                    dev.link().kind + " " + dev.name() + ": an IPv6 route learns the path MTU");
      return false;
    }
    if (skb->protocol != kEthPIp) return true;
    tunnel_update_pmtu(net, *skb, static_cast<std::uint32_t>(mtu));
    if ((Ipv4View(skb->network()).frag_off() & kIpDf) == 0 || mtu >= size) return true;
    tunnel_told(*skb, dev, "too long for the way to its remote");
    icmp_send(net, *skb, kDestUnreach, kFragNeeded, static_cast<std::uint32_t>(mtu));
    tunnel_tx_error(net, dev, queue, std::move(skb));
    return false;
  }
};

}  // namespace

std::unique_ptr<Driver> make_ip_tunnel() { return std::make_unique<IpTunnelDriver>(); }

}  // namespace txp
