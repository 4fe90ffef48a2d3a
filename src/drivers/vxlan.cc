// SPDX-License-Identifier: Apache-2.0
// A VXLAN: Ethernet frames in UDP, to the remote that its forwarding database names for their
// destination, to several, or to its default one.
//
// Kernel twin: drivers/net/vxlan/vxlan_core.c (vxlan_xmit(), vxlan_xmit_one(), vxlan_build_skb(),
// encap_bypass_if_local()).
// Differs: nothing is learnt; entries are the kernel's. Unknown: what decode_link_info() names
// (gpe, proxy, rsc, remcsumtx, vnifilter, mcroute), IPv6 below, `external`, remotes by next-hop
// groups, a remote that is this host, segmentation offload, path MTUs that a bridge's sender would
// hear of. The database of `bridge mdb` is not read. Clones are copies.
// Drops: NO_TX_TARGET (nobody is known) and a remote without an address, both counted as
// tx_dropped; NOT_SPECIFIED, counted as tx_errors, without a route, by a route through itself, or
// for a VXLAN of this host that is not there.
#include <algorithm>
#include <cerrno>

#include "dev/fdb.h"
#include "dev/netdevice.h"
#include "drivers/stacked.h"
#include "ip/ip.h"
#include "net.h"
#include "observe/trace.h"
#include "udp/udp_tunnel.h"
#include "wire/ethernet.h"
#include "wire/ipv4.h"
#include "wire/udp.h"
#include "wire/vxlan.h"

namespace txp {
namespace {

constexpr Stage kXmit = Stage::ndo_start_xmit;
// vxlan_headroom(): what a frame gains, counted from its IP header.
constexpr std::uint32_t kGained = kIpHlen + kUdpHlen + kVxlanHlen + kEthHlen;

class VxlanDriver final : public Driver {
 public:
  DriverFeatures features() const override { return kTunnelFeatures; }

  NetdevTx ndo_start_xmit(Net& net, NetDevice& dev, unsigned queue, SkbPtr& skb, bool) override {
    vxlan_xmit(net, dev, queue, std::move(skb));
    return NetdevTx::ok;
  }

 private:
  static void vxlan_xmit(Net& net, NetDevice& dev, unsigned queue, SkbPtr skb) {
    const auto eth = EthernetHeader::parse(std::as_const(*skb).bytes());
    if (!eth) return drop_taken(net, dev, std::move(skb), DropReason::PKT_TOO_SMALL);
    auto remotes = net.fdb->find_all(dev.ifindex, eth->dest);
    if (remotes.empty()) remotes = net.fdb->find_all(dev.ifindex, MacAddr{});
    if (remotes.empty()) {
      tunnel_told(*skb, dev, "nobody is known to have the address");
      return drop_taken(net, dev, std::move(skb), DropReason::NO_TX_TARGET);
    }
    if (Trace* trace = telling(skb->trace); trace != nullptr) {
      for (const FdbEntry* e : remotes) trace->by(kXmit, *e);
      trace->out(kXmit, "vni", dev.link().as<VxlanInfo>()->id);
    }
    // As the kernel: the first remote gets the packet itself, after the others' copies.
    for (std::size_t i = 1; i < remotes.size(); ++i) {
      SkbPtr copy = skb_copy(net, *skb);
      if (!copy) continue;
      born(net);
      delivered(net);  // as taken by the device
      vxlan_xmit_one(net, dev, queue, std::move(copy), *remotes[i]->remote);
    }
    vxlan_xmit_one(net, dev, queue, std::move(skb), *remotes[0]->remote);
  }

  static void vxlan_xmit_one(Net& net, NetDevice& dev, unsigned queue, SkbPtr skb,
                             const VxlanRdst& rdst) {
    const VxlanInfo& cfg = *dev.link().as<VxlanInfo>();
    if (const std::string why = not_done(*skb, rdst); !why.empty())
      return unknown_taken(net, std::move(skb), "vxlan " + dev.name() + ": " + why);
    if (rdst.dst.is_zero()) {
      tunnel_told(*skb, dev, "the remote has no address");
      return drop_taken(net, dev, std::move(skb), DropReason::NOT_SPECIFIED);
    }
    const std::uint32_t vni = rdst.vni != VxlanRdst::kSameVni ? rdst.vni : cfg.id;
    OuterIp outer;
    outer.ttl = cfg.ttl_inherit ? ip_tunnel_get_ttl(*skb) : cfg.ttl;
    if (!cfg.ttl_inherit && cfg.ttl == 0 && rdst.dst.is_multicast()) outer.ttl = 1;
    const std::uint8_t tos = cfg.tos == 1 ? ip_tunnel_get_dsfield(*skb) : cfg.tos;

    begin_layer(*skb);
    Flow4 fl4;
    fl4.mark = skb->mark;
    fl4.oif = rdst.ifindex;
    fl4.daddr = rdst.dst;
    fl4.saddr = cfg.local;
    fl4.sport = udp_flow_src_port(net, *skb, cfg.port_min, cfg.port_max);
    fl4.dport = rdst.port != 0 ? rdst.port : cfg.port;
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
    if (rt->is_local && !rt->is_broadcast && !rt->is_multicast)
      return encap_bypass_if_local(net, dev, queue, std::move(skb), vni, fl4.dport);
    switch (skb_tunnel_check_pmtu(net, *skb, *rt, kGained, dev.link().bridge_port != nullptr)) {
      case TunnelPmtu::goes_on: break;
      case TunnelPmtu::answered:
        return unknown_taken(net, std::move(skb),
                             "vxlan " + dev.name() + ": the bridge's sender hears of the path MTU");
      case TunnelPmtu::not_known:
        return unknown_taken(net, std::move(skb),
                             "vxlan " + dev.name() + ": an IPv6 route learns the path MTU");
    }
    outer.df = tunnel_takes_df(*skb, cfg.df);
    outer.tos = ip_tunnel_ecn_encap(tos, *skb);
    if (outer.ttl == 0) outer.ttl = rt->hoplimit != 0 ? rt->hoplimit : net.sysctl().ip_default_ttl;
    vxlan_build_skb(net, dev, queue, std::move(skb), cfg, vni, *rt, fl4, outer);
  }

  static void vxlan_build_skb(Net& net, NetDevice& dev, unsigned queue, SkbPtr skb,
                              const VxlanInfo& cfg, std::uint32_t vni, const Rtable& rt,
                              const Flow4& fl4, const OuterIp& outer) {
    if (!skb_cow_head(net, skb, kTunnelReserved + kVxlanHlen + kUdpHlen + kIpHlen))
      return tunnel_tx_error(net, dev, queue, std::move(skb));
    iptunnel_handle_offloads(*skb);
    VxlanHeader h;
    h.vni = vni;
    if (cfg.gbp) h.set_gbp(skb->mark);
    h.emit(skb->push(kVxlanHlen));
    udp_tunnel_xmit_skb(net, dev, queue, std::move(skb), rt, fl4, outer, cfg.udp_csum);
  }

  // The remote is this host: the frame goes to the VXLAN that listens there, without headers.
  static void encap_bypass_if_local(Net& net, NetDevice& dev, unsigned queue, SkbPtr skb,
                                    std::uint32_t vni, std::uint16_t port) {
    if (!dev.link().as<VxlanInfo>()->localbypass)
      return unknown_taken(net, std::move(skb),
                           "vxlan " + dev.name() + ": its remote is this host");
    for (const NetDevice* other : net.dev->all()) {
      const auto* cfg = other->link().as<VxlanInfo>();
      if (cfg == nullptr || cfg->id != vni || cfg->port != port || !other->is_up()) continue;
      return unknown_taken(net, std::move(skb),
                           "vxlan " + other->name() + ": the frame is for it and stays here");
    }
    tunnel_told(*skb, dev, "its remote is this host, where no such VXLAN is");
    tunnel_tx_error(net, dev, queue, std::move(skb));
  }

  static std::string not_done(Skb& skb, const VxlanRdst& rdst) {
    if (rdst.nexthop_id != 0) return "a remote by next-hop group";
    if (rdst.ipv6) return "a remote over IPv6";
    const char* why = tunnel_not_done(skb);
    return why != nullptr ? why : "";
  }
};

}  // namespace

std::unique_ptr<Driver> make_vxlan() { return std::make_unique<VxlanDriver>(); }

}  // namespace txp
