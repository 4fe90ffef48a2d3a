// SPDX-License-Identifier: Apache-2.0
// A bridge: the port that its forwarding database names takes the frame, or every port a copy.
//
// Kernel twin: net/bridge/br_device.c, br_dev_xmit(); net/bridge/br_forward.c (br_forward(),
// br_flood(), should_deliver()); net/bridge/br_vlan.c (__allowed_ingress(), br_handle_vlan()).
// Differs: nothing is learnt and no group membership is kept: with a multicast querier about (its
// own, or one that it heard) multicast is unknown, as are a ruleset of family bridge, VLAN tunnels
// and a backup port that would serve. Clones are copies. The flag `isolated` is between ports.
// Drops (none counts as the device's): NOT_SPECIFIED for a frame that no port takes.
#include <algorithm>

#include "dev/fdb.h"
#include "dev/netdevice.h"
#include "drivers/stacked.h"
#include "net.h"
#include "netfilter/nf_hook.h"
#include "observe/trace.h"
#include "wire/ethernet.h"

namespace txp {
namespace {

constexpr std::uint16_t kVidMask = 0xfff;

const BridgeVlan* br_vlan_find(const Link& link, std::uint16_t vid) {
  const auto v = std::ranges::find(link.bridge_vlans, vid, &BridgeVlan::vid);
  return v != link.bridge_vlans.end() ? &*v : nullptr;
}

std::uint16_t br_get_pvid(const Link& link) {
  const auto v = std::ranges::find(link.bridge_vlans, true, &BridgeVlan::pvid);
  return v != link.bridge_vlans.end() ? v->vid : std::uint16_t{0};
}

// should_deliver(), for a frame of the bridge's own.
bool should_deliver(const Link& port, bool filtering, std::uint16_t vid) {
  if (port.bridge_port->state != kBrStateForwarding) return false;
  return !filtering || br_vlan_find(port, vid) != nullptr;
}

class BridgeDriver final : public Driver {
 public:
  DriverFeatures features() const override {
    return {.csum = true, .gso_udp_l4 = true, .frag_list = true, .lltx = true, .stacked = true};
  }

  NetdevTx ndo_start_xmit(Net& net, NetDevice& dev, unsigned, SkbPtr& skb, bool) override {
    br_dev_xmit(net, dev, std::move(skb));
    return NetdevTx::ok;
  }

 private:
  static void br_dev_xmit(Net& net, NetDevice& dev, SkbPtr skb) {
    const BridgeInfo& br = *dev.link().as<BridgeInfo>();
    const auto eth = EthernetHeader::parse(std::as_const(*skb).bytes());
    if (!eth) return end_taken(net, std::move(skb), DropReason::PKT_TOO_SMALL);
    if (net.nf->bridge_chains.load(std::memory_order_relaxed))
      return unknown_taken(net, std::move(skb),
                           "bridge " + dev.name() + ": nftables chains of family bridge");
    skb->rt.dev = nullptr;  // skb_dst_drop(): a bridge keeps no route (IFF_XMIT_DST_RELEASE)
    std::uint16_t vid = 0;
    if (br.vlan_filtering && !allowed_ingress(dev.link(), br, *skb, vid))
      return lose(net, dev, std::move(skb), "no VLAN of its own takes the frame");
    const bool broadcast = eth->dest == MacAddr::broadcast();
    if ((eth->dest.bytes[0] & 1) == 0) {
      if (const FdbEntry* found = net.fdb->find(dev.ifindex, eth->dest, vid); found != nullptr)
        return forward(net, dev, std::move(skb), *found, vid);
    } else if (!broadcast && br.mcast_snooping && br.querier) {
      return unknown_taken(net, std::move(skb),
                           "bridge " + dev.name() + ": multicast by the groups that it has heard");
    }
    flood(net, dev, std::move(skb), (eth->dest.bytes[0] & 1) == 0, vid);
  }

  // __allowed_ingress(): the VLAN of the frame, by its tag or the bridge's own pvid.
  static bool allowed_ingress(const Link& link, const BridgeInfo& br, Skb& skb,
                              std::uint16_t& vid) {
    // A frame with a tag of another protocol, or with the tag inside, is an untagged one; the
    // engine makes none whose inner tag the bridge would take out again but reorder_hdr off.
    if (skb.vlan_proto == br.vlan_protocol) vid = skb.vlan_tci & kVidMask;
    if (vid != 0) return br_vlan_find(link, vid) != nullptr;
    vid = br_get_pvid(link);
    if (vid == 0) return false;
    skb.vlan_tci =
        static_cast<std::uint16_t>((skb.vlan_proto == br.vlan_protocol ? skb.vlan_tci : 0) | vid);
    skb.vlan_proto = br.vlan_protocol;
    return true;
  }

  static void forward(Net& net, NetDevice& dev, SkbPtr skb, const FdbEntry& entry,
                      std::uint16_t vid) {
    if (Trace* trace = telling(skb->trace); trace != nullptr)
      trace->by(Stage::ndo_start_xmit, entry);
    NetDevice* port = net.dev->by_index(entry.port);
    if (port == nullptr || port == &dev || !is_port(*port, dev))
      return lose(net, dev, std::move(skb), "the address is the bridge's own");
    const BridgePort& p = *port->link().bridge_port;
    if (p.backup_port != 0 && (!port->link().carrier || !port->is_up()))
      return unknown_taken(net, std::move(skb), "bridge port " + port->name() + ": its backup");
    if (!should_deliver(port->link(), dev.link().as<BridgeInfo>()->vlan_filtering, vid))
      return lose(net, dev, std::move(skb), port->name() + " does not forward");
    deliver(net, dev, *port, std::move(skb), vid);
  }

  // br_flood(): a frame of the bridge's own goes also where flooding of such is off, unless it is
  // for one address that nobody knows.
  static void flood(Net& net, NetDevice& dev, SkbPtr skb, bool unicast, std::uint16_t vid) {
    const bool filtering = dev.link().as<BridgeInfo>()->vlan_filtering;
    NetDevice* previous = nullptr;
    // By ifindex; the kernel goes from the youngest port on, which no port can see.
    for (NetDevice* port : net.dev->all()) {
      if (!is_port(*port, dev)) continue;
      const BridgePort& p = *port->link().bridge_port;
      if ((unicast && !p.flood) || p.proxy_arp) continue;
      if (!should_deliver(port->link(), filtering, vid)) continue;
      if (previous != nullptr) {
        if (SkbPtr clone = skb_copy(net, *skb); clone) {
          born(net);
          delivered(net);  // as taken by the bridge
          deliver(net, dev, *previous, std::move(clone), vid);
        } else {
          dev.tx_dropped.fetch_add(1, std::memory_order_relaxed);
          break;
        }
      }
      previous = port;
    }
    if (previous == nullptr) return lose(net, dev, std::move(skb), "no port forwards it");
    deliver(net, dev, *previous, std::move(skb), vid);
  }

  static bool is_port(const NetDevice& port, const NetDevice& dev) {
    return port.link().master == dev.ifindex && port.link().bridge_port != nullptr;
  }

  // __br_forward() and br_dev_queue_push_xmit().
  static void deliver(Net& net, NetDevice& dev, NetDevice& port, SkbPtr skb, std::uint16_t vid) {
    const BridgeInfo& br = *dev.link().as<BridgeInfo>();
    if (port.link().bridge_port->vlan_tunnel)
      return unknown_taken(net, std::move(skb), "bridge port " + port.name() + ": vlan_tunnel");
    if (br.vlan_filtering)
      if (const BridgeVlan* v = br_vlan_find(port.link(), vid); v != nullptr && v->untagged)
        skb->vlan_proto = 0;
    if (!is_skb_forwardable(port, *skb))
      return lose(net, dev, std::move(skb), port.name() + " is down, or its MTU too small");
    (void)xmit_below(net, std::move(skb), port);
    net.this_cpu().below = TxResult::success();  // br_dev_xmit() always answers so
  }

  static bool is_skb_forwardable(const NetDevice& port, const Skb& skb) {
    if (!port.is_up()) return false;
    return skb.is_gso() || skb.len <= port.mtu() + kEthHlen + kVlanHlen;
  }

  static void lose(Net& net, const NetDevice& dev, SkbPtr skb, const std::string& why) {
    if (Trace* trace = telling(skb->trace); trace != nullptr)
      trace->by(Stage::ndo_start_xmit,
                NamedObject{.kind = "device", .text = "bridge " + dev.name() + ": " + why});
    end_taken(net, std::move(skb), DropReason::NOT_SPECIFIED);
  }
};

}  // namespace

std::unique_ptr<Driver> make_bridge() { return std::make_unique<BridgeDriver>(); }

}  // namespace txp
