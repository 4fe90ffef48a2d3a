// SPDX-License-Identifier: Apache-2.0
// A GENEVE device: Ethernet frames in UDP to its one remote.
//
// Kernel twin: drivers/net/geneve.c (geneve_xmit(), geneve_xmit_skb(), geneve_build_skb()).
// Differs: unknown are `external` (and with it options), innerprotoinherit, IPv6 outside, a remote
// that is this host, segmentation offload, path MTUs that a bridge's sender would hear of.
// Drops: NOT_SPECIFIED, counted as tx_errors: no route, or one through itself.
#include <cerrno>

#include "dev/netdevice.h"
#include "drivers/stacked.h"
#include "ip/ip.h"
#include "net.h"
#include "observe/trace.h"
#include "udp/udp_tunnel.h"
#include "wire/ethernet.h"
#include "wire/geneve.h"
#include "wire/ipv4.h"
#include "wire/udp.h"

namespace txp {
namespace {

// GENEVE_IPV4_HLEN.
constexpr std::uint32_t kGeneveIpv4Hlen = kEthHlen + kIpHlen + kUdpHlen + kGeneveHlen;

class GeneveDriver final : public Driver {
 public:
  DriverFeatures features() const override { return kTunnelFeatures; }

  NetdevTx ndo_start_xmit(Net& net, NetDevice& dev, unsigned queue, SkbPtr& skb, bool) override {
    geneve_xmit(net, dev, queue, std::move(skb));
    return NetdevTx::ok;
  }

 private:
  static void geneve_xmit(Net& net, NetDevice& dev, unsigned queue, SkbPtr skb) {
    const auto unknown = [&](const char* why) {
      unknown_taken(net, std::move(skb), "geneve " + dev.name() + ": " + why);
    };
    if (const char* why = tunnel_not_done(*skb); why != nullptr) return unknown(why);
    const GeneveInfo& cfg = *dev.link().as<GeneveInfo>();
    const std::uint8_t tos = cfg.tos == 1 ? ip_tunnel_get_dsfield(*skb) : cfg.tos;
    begin_layer(*skb);
    Flow4 fl4;
    fl4.mark = skb->mark;
    fl4.daddr = cfg.remote;
    fl4.sport = udp_flow_src_port(net, *skb, cfg.port_min, cfg.port_max);
    fl4.dport = cfg.port;
    fl4.tos = tos & 0xfc;
    const auto rt = udp_tunnel_dst_lookup(net, dev, fl4, skb->trace);
    if (!rt) {
      if (rt.error().is_unknown())
        return end_taken(net, std::move(skb), DropReason::TXPATH_UNKNOWN);
      tunnel_told(*skb, dev,
                  rt.error().code == ELOOP ? "its remote is routed through itself"
                                           : "no route to its remote");
      return tunnel_tx_error(net, dev, queue, std::move(skb));
    }
    if (rt->is_local) return unknown("its remote is this host");
    switch (
        skb_tunnel_check_pmtu(net, *skb, *rt, kGeneveIpv4Hlen, dev.link().bridge_port != nullptr)) {
      case TunnelPmtu::goes_on: break;
      case TunnelPmtu::answered: return unknown("the bridge's sender hears of the path MTU");
      case TunnelPmtu::not_known: return unknown("an IPv6 route learns the path MTU");
    }
    OuterIp outer;
    outer.tos = ip_tunnel_ecn_encap(tos, *skb);
    outer.ttl = cfg.ttl_inherit ? ip_tunnel_get_ttl(*skb) : cfg.ttl;
    if (outer.ttl == 0) outer.ttl = rt->hoplimit != 0 ? rt->hoplimit : net.sysctl().ip_default_ttl;
    outer.df = tunnel_takes_df(*skb, cfg.df);
    if (!skb_cow_head(net, skb, kTunnelReserved + kGeneveIpv4Hlen))
      return tunnel_tx_error(net, dev, queue, std::move(skb));
    iptunnel_handle_offloads(*skb);
    GeneveHeader{cfg.id}.emit(skb->push(kGeneveHlen));
    udp_tunnel_xmit_skb(net, dev, queue, std::move(skb), *rt, fl4, outer, cfg.udp_csum);
  }
};

}  // namespace

std::unique_ptr<Driver> make_geneve() { return std::make_unique<GeneveDriver>(); }

}  // namespace txp
