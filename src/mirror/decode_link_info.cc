// SPDX-License-Identifier: Apache-2.0
// IFLA_INFO_DATA of VLANs, bridges and tunnels, and what a bridge keeps of its ports. Kernel twins:
// net/8021q/vlan_netlink.c, net/bridge/br_netlink.c, drivers/net/vxlan/vxlan_core.c
// (vxlan_fill_info()), drivers/net/geneve.c, net/ipv4/ipip.c, net/ipv4/ip_gre.c.
#include "mirror/decode_link_info.h"

#include <linux/if_link.h>
#include <linux/if_vlan.h>

#include "mirror/attrs.h"
#include "wire/gre.h"

namespace txp {
namespace {

// <linux/if_tunnel.h> and <linux/if_bridge.h> quarrel with <netinet/in.h>: their numbers.
enum : unsigned {
  IFLA_IPTUN_LINK = 1,
  IFLA_IPTUN_LOCAL,
  IFLA_IPTUN_REMOTE,
  IFLA_IPTUN_TTL,
  IFLA_IPTUN_TOS,
  IFLA_IPTUN_PROTO = 9,
  IFLA_IPTUN_PMTUDISC,
  IFLA_IPTUN_ENCAP_TYPE = 15,
  IFLA_IPTUN_COLLECT_METADATA = 19,
  IFLA_IPTUN_FWMARK,
};
enum : unsigned {
  IFLA_GRE_LINK = 1,
  IFLA_GRE_OFLAGS = 3,
  IFLA_GRE_OKEY = 5,
  IFLA_GRE_LOCAL,
  IFLA_GRE_REMOTE,
  IFLA_GRE_TTL,
  IFLA_GRE_TOS,
  IFLA_GRE_PMTUDISC,
  IFLA_GRE_ENCAP_TYPE = 14,
  IFLA_GRE_COLLECT_METADATA = 18,
  IFLA_GRE_IGNORE_DF,
  IFLA_GRE_FWMARK,
};
constexpr std::uint16_t kTunnelEncapNone = 0;
constexpr std::uint8_t kProtoIpip = 4;              // IPPROTO_IPIP
constexpr unsigned kBridgeQuerierIpOtherTimer = 3;  // BRIDGE_QUERIER_IP_OTHER_TIMER
constexpr unsigned kBridgeQuerierMax = 7;
constexpr unsigned kIflaBridgeVlanInfo = 2;  // IFLA_BRIDGE_VLAN_INFO
struct BridgeVlanInfo {                      // struct bridge_vlan_info
  std::uint16_t flags;                       // BRIDGE_VLAN_INFO_*
  std::uint16_t vid;
};
constexpr std::uint16_t kVlanPvid = 1U << 1;
constexpr std::uint16_t kVlanUntagged = 1U << 2;
constexpr std::uint16_t kVlanRangeBegin = 1U << 3;
constexpr std::uint16_t kVlanRangeEnd = 1U << 4;

// Younger than the headers of Debian 12.
constexpr unsigned kVxlanLocalbypass = 31;  // IFLA_VXLAN_LOCALBYPASS
constexpr unsigned kVxlanMcRoute = 34;      // IFLA_VXLAN_MC_ROUTE
constexpr unsigned kMostAttrs = 63;

constexpr std::size_t kMostMappings = 4096;

using Made = Result<std::shared_ptr<const LinkInfo>>;
using InfoAttrs = Attrs<kMostAttrs>;

template <typename Info>
Made made(const InfoAttrs& a, Info info) {
  if (!a.error().empty()) return fail(a.error());
  return std::make_shared<const LinkInfo>(std::move(info));
}

template <typename T>
void set(T& to, const std::optional<T>& value) {
  if (value) to = *value;
}
void set(bool& to, const std::optional<std::uint8_t>& value) {
  if (value) to = *value != 0;
}

Made vlan(Bytes data) {
  InfoAttrs a(data, "vlan");
  VlanInfo v;
  set(v.id, a.u16(IFLA_VLAN_ID));
  set(v.proto, a.be16(IFLA_VLAN_PROTOCOL));
  if (const auto raw = a.raw(IFLA_VLAN_FLAGS)) {
    ifla_vlan_flags f{};
    if (take_header(*raw, f) == nullptr) return fail("vlan: flags are cut short");
    v.reorder_hdr = (f.flags & VLAN_FLAG_REORDER_HDR) != 0;
  }
  if (v.id > 0xfff) return fail("vlan: no such id");
  if (v.proto != kEthP8021q && v.proto != kEthP8021ad) return fail("vlan: no such protocol");
  if (const auto list = a.raw(IFLA_VLAN_EGRESS_QOS)) {
    bool good = true;
    const bool whole = for_each_attr(*list, [&](const nlattr& each) {
      ifla_vlan_qos_mapping m{};
      good &= take_header(payload(each), m) != nullptr && v.egress_qos.size() < kMostMappings;
      if (good) v.egress_qos.emplace_back(m.from, m.to & 7);
    });
    if (!whole || !good) return fail("vlan: the egress map is cut short");
  }
  return made(a, std::move(v));
}

Made bridge(Bytes data) {
  InfoAttrs a(data, "bridge");
  BridgeInfo b;
  set(b.vlan_filtering, a.u8(IFLA_BR_VLAN_FILTERING));
  set(b.vlan_protocol, a.be16(IFLA_BR_VLAN_PROTOCOL));
  set(b.mcast_snooping, a.u8(IFLA_BR_MCAST_SNOOPING));
  set(b.querier, a.u8(IFLA_BR_MCAST_QUERIER));
  if (const auto state = a.raw(IFLA_BR_MCAST_QUERIER_STATE))
    b.querier |= Attrs<kBridgeQuerierMax>(*state, "querier").has(kBridgeQuerierIpOtherTimer);
  return made(a, b);
}

TunnelDf df_of(std::uint8_t v) {
  return v == 1 ? TunnelDf::set : v == 2 ? TunnelDf::inherit : TunnelDf::unset;
}

Made vxlan(Bytes data) {
  InfoAttrs a(data, "vxlan");
  VxlanInfo v;
  set(v.id, a.u32(IFLA_VXLAN_ID));
  set(v.group, a.ip4(IFLA_VXLAN_GROUP));
  set(v.local, a.ip4(IFLA_VXLAN_LOCAL));
  v.ipv6 = a.has(IFLA_VXLAN_GROUP6) || a.has(IFLA_VXLAN_LOCAL6);
  v.link = static_cast<int>(a.u32(IFLA_VXLAN_LINK).value_or(0) & 0x7fffffff);
  set(v.port, a.be16(IFLA_VXLAN_PORT));
  if (const auto raw = a.bytes(IFLA_VXLAN_PORT_RANGE, sizeof(ifla_vxlan_port_range))) {
    v.port_min = load_be16(raw->data());
    v.port_max = load_be16(raw->data() + 2);
  }
  set(v.ttl, a.u8(IFLA_VXLAN_TTL));
  set(v.ttl_inherit, a.u8(IFLA_VXLAN_TTL_INHERIT));
  set(v.tos, a.u8(IFLA_VXLAN_TOS));
  v.df = df_of(a.u8(IFLA_VXLAN_DF).value_or(0));
  set(v.udp_csum, a.u8(IFLA_VXLAN_UDP_CSUM));
  set(v.collect_metadata, a.u8(IFLA_VXLAN_COLLECT_METADATA));
  v.gbp = a.has(IFLA_VXLAN_GBP);
  set(v.localbypass, a.u8(kVxlanLocalbypass));
  set(v.learning, a.u8(IFLA_VXLAN_LEARNING));
  const auto refuse = [&v](bool is, const char* word) {
    if (is && v.unknown.empty()) v.unknown = word;
  };
  refuse(a.has(IFLA_VXLAN_GPE), "gpe");
  refuse(a.u8(IFLA_VXLAN_PROXY).value_or(0) != 0, "proxy");
  refuse(a.u8(IFLA_VXLAN_RSC).value_or(0) != 0, "rsc");
  refuse(a.u8(IFLA_VXLAN_REMCSUM_TX).value_or(0) != 0, "remcsumtx");
  refuse(a.u8(IFLA_VXLAN_VNIFILTER).value_or(0) != 0, "vnifilter");
  refuse(a.u8(kVxlanMcRoute).value_or(0) != 0, "mcroute");
  if (v.id > 0xffffff) return fail("vxlan: no such id");
  return made(a, std::move(v));
}

Made geneve(Bytes data) {
  constexpr unsigned kPortRange = 15;  // IFLA_GENEVE_PORT_RANGE
  InfoAttrs a(data, "geneve");
  GeneveInfo g;
  set(g.id, a.u32(IFLA_GENEVE_ID));
  set(g.remote, a.ip4(IFLA_GENEVE_REMOTE));
  g.ipv6 = a.has(IFLA_GENEVE_REMOTE6);
  set(g.port, a.be16(IFLA_GENEVE_PORT));
  if (const auto raw = a.bytes(kPortRange, 4)) {
    g.port_min = load_be16(raw->data());
    g.port_max = load_be16(raw->data() + 2);
  }
  set(g.ttl, a.u8(IFLA_GENEVE_TTL));
  set(g.ttl_inherit, a.u8(IFLA_GENEVE_TTL_INHERIT));
  set(g.tos, a.u8(IFLA_GENEVE_TOS));
  g.df = df_of(a.u8(IFLA_GENEVE_DF).value_or(0));
  set(g.udp_csum, a.u8(IFLA_GENEVE_UDP_CSUM));
  g.collect_metadata = a.has(IFLA_GENEVE_COLLECT_METADATA);
  g.inner_proto_inherit = a.has(IFLA_GENEVE_INNER_PROTO_INHERIT);
  return made(a, g);
}

Made ipip(Bytes data) {
  InfoAttrs a(data, "ipip");
  IpTunnelInfo t;
  set(t.local, a.ip4(IFLA_IPTUN_LOCAL));
  set(t.remote, a.ip4(IFLA_IPTUN_REMOTE));
  t.link = static_cast<int>(a.u32(IFLA_IPTUN_LINK).value_or(0) & 0x7fffffff);
  set(t.ttl, a.u8(IFLA_IPTUN_TTL));
  set(t.tos, a.u8(IFLA_IPTUN_TOS));
  set(t.pmtudisc, a.u8(IFLA_IPTUN_PMTUDISC));
  set(t.fwmark, a.u32(IFLA_IPTUN_FWMARK));
  t.collect_metadata = a.has(IFLA_IPTUN_COLLECT_METADATA);
  if (a.u16(IFLA_IPTUN_ENCAP_TYPE).value_or(0) != kTunnelEncapNone) t.unknown = "encap";
  const std::uint8_t proto = a.u8(IFLA_IPTUN_PROTO).value_or(kProtoIpip);
  if (proto != kProtoIpip && proto != 0) t.unknown = "mode mplsip";
  return made(a, std::move(t));
}

Made gre(Bytes data) {
  InfoAttrs a(data, "gre");
  IpTunnelInfo t;
  set(t.local, a.ip4(IFLA_GRE_LOCAL));
  set(t.remote, a.ip4(IFLA_GRE_REMOTE));
  t.link = static_cast<int>(a.u32(IFLA_GRE_LINK).value_or(0) & 0x7fffffff);
  set(t.ttl, a.u8(IFLA_GRE_TTL));
  set(t.tos, a.u8(IFLA_GRE_TOS));
  set(t.pmtudisc, a.u8(IFLA_GRE_PMTUDISC));
  set(t.ignore_df, a.u8(IFLA_GRE_IGNORE_DF));
  set(t.fwmark, a.u32(IFLA_GRE_FWMARK));
  set(t.okey, a.be32(IFLA_GRE_OKEY));
  t.o_flags = a.be16(IFLA_GRE_OFLAGS).value_or(0) & (kGreCsum | kGreKey | kGreSeq);
  t.collect_metadata = a.has(IFLA_GRE_COLLECT_METADATA);
  if (a.u16(IFLA_GRE_ENCAP_TYPE).value_or(0) != kTunnelEncapNone) t.unknown = "encap";
  return made(a, std::move(t));
}

}  // namespace

Made decode_link_info(std::string_view kind, Bytes data) {
  if (kind == "vlan") return vlan(data);
  if (kind == "bridge") return bridge(data);
  if (kind == "vxlan") return vxlan(data);
  if (kind == "geneve") return geneve(data);
  if (kind == "ipip") return ipip(data);
  if (kind == "gre" || kind == "gretap") return gre(data);
  return nullptr;
}

Result<BridgePort> decode_bridge_port(Bytes attrs) {
  InfoAttrs a(attrs, "bridge port");
  BridgePort p;
  set(p.state, a.u8(IFLA_BRPORT_STATE));
  set(p.hairpin, a.u8(IFLA_BRPORT_MODE));
  set(p.flood, a.u8(IFLA_BRPORT_UNICAST_FLOOD));
  set(p.mcast_flood, a.u8(IFLA_BRPORT_MCAST_FLOOD));
  set(p.bcast_flood, a.u8(IFLA_BRPORT_BCAST_FLOOD));
  set(p.isolated, a.u8(IFLA_BRPORT_ISOLATED));
  set(p.proxy_arp, a.u8(IFLA_BRPORT_PROXYARP));
  set(p.vlan_tunnel, a.u8(IFLA_BRPORT_VLAN_TUNNEL));
  set(p.mcast_to_unicast, a.u8(IFLA_BRPORT_MCAST_TO_UCAST));
  if (const auto v = a.u32(IFLA_BRPORT_BACKUP_PORT))
    p.backup_port = static_cast<int>(*v & 0x7fffffff);
  if (!a.error().empty()) return fail(a.error());
  return p;
}

Result<std::vector<BridgeVlan>> decode_bridge_vlans(Bytes attrs) {
  std::vector<BridgeVlan> all;
  constexpr std::size_t kMost = 2 * 4096;
  std::uint16_t begin = 0;
  bool good = true;
  const bool whole = for_each_attr(attrs, [&](const nlattr& each) {
    if (mnl_attr_get_type(&each) != kIflaBridgeVlanInfo) return;
    BridgeVlanInfo v{};
    good &= take_header(payload(each), v) != nullptr && v.vid < 4096 && all.size() < kMost;
    if (!good) return;
    const BridgeVlan vlan{v.vid, (v.flags & kVlanPvid) != 0, (v.flags & kVlanUntagged) != 0};
    if ((v.flags & kVlanRangeBegin) != 0) begin = v.vid;
    if ((v.flags & kVlanRangeEnd) != 0)
      for (std::uint16_t vid = static_cast<std::uint16_t>(begin + 1); vid < v.vid; ++vid)
        all.push_back({vid, vlan.pvid, vlan.untagged});
    all.push_back(vlan);
  });
  if (!whole || !good) return fail("bridge: the list of VLANs is cut short");
  return all;
}

}  // namespace txp
