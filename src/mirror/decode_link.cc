// SPDX-License-Identifier: Apache-2.0
// RTM_NEWLINK and an interface's features. Kernel twins: net/core/rtnetlink.c
// (rtnl_fill_ifinfo()), net/ethtool/features.c.
#include <algorithm>
#include <array>

#include <linux/ethtool_netlink.h>
#include <linux/genetlink.h>
#include <linux/if_link.h>
#include <linux/rtnetlink.h>
#include <sys/socket.h>

#include "mirror/attrs.h"
#include "mirror/decode.h"
#include "mirror/decode_link_info.h"

namespace txp {

namespace {

constexpr std::size_t kMaxName = 15;          // IFNAMSIZ - 1
constexpr std::uint32_t kMaxTxQueues = 4096;  // as rtnl_create_link() allows

std::string_view operstate_name(std::uint8_t state) {
  static constexpr std::array<std::string_view, 7> kNames{
      "UNKNOWN", "NOTPRESENT", "DOWN", "LOWERLAYERDOWN", "TESTING", "DORMANT", "UP"};
  return state < kNames.size() ? kNames[state] : "UNKNOWN";
}

MacAddr mac_of(Bytes b) {
  MacAddr mac;
  std::copy_n(b.begin(), std::min<std::size_t>(b.size(), 6), mac.bytes);
  return mac;
}

Result<Decoded> decode_bridge_side(int ifindex, Bytes attrs) {
  if (ifindex <= 0) return fail("no interface index");
  Attrs<IFLA_MAX> a(attrs, "link");
  BridgeSide side;
  side.ifindex = ifindex;
  if (auto v = a.u32(IFLA_MASTER)) side.master = static_cast<int>(*v & 0x7fffffff);
  if (auto v = a.raw(IFLA_PROTINFO)) {
    auto port = decode_bridge_port(*v);
    if (!port) return std::unexpected(port.error());
    side.port = *port;
  }
  if (auto v = a.raw(IFLA_AF_SPEC)) {
    auto vlans = decode_bridge_vlans(*v);
    if (!vlans) return std::unexpected(vlans.error());
    side.vlans = std::move(*vlans);
  }
  if (!a.error().empty()) return fail(a.error());
  return Decoded{.what = std::move(side)};
}

}  // namespace

Result<Decoded> decode_link(Bytes bytes) {
  ifinfomsg h{};
  const std::uint8_t* rest = take_header(bytes, h);
  if (rest == nullptr) return fail("cut short");
  if (h.ifi_family == AF_BRIDGE) return decode_bridge_side(h.ifi_index, bytes.subspan(sizeof h));
  if (h.ifi_family != AF_UNSPEC) return Decoded{};  // IPv6's side of a link
  if (h.ifi_index <= 0) return fail("no interface index");
  Attrs<IFLA_MAX> a(bytes.subspan(sizeof h), "link");
  Link l;
  l.ifindex = h.ifi_index;
  l.type = h.ifi_type;
  l.flags = h.ifi_flags;
  if (auto v = a.text(IFLA_IFNAME, kMaxName)) l.name = *v;
  if (auto v = a.u32(IFLA_MTU)) l.mtu = *v;
  if (auto v = a.u32(IFLA_GROUP)) l.group = *v;
  if (auto v = a.u32(IFLA_TXQLEN)) l.txqlen = *v;
  if (auto v = a.u32(IFLA_NUM_TX_QUEUES)) l.num_tx_queues = *v;
  if (auto v = a.u32(IFLA_GSO_MAX_SIZE)) l.gso_max_size = *v;
  if (auto v = a.u32(IFLA_GSO_MAX_SEGS)) l.gso_max_segs = *v;
  if (auto v = a.u32(IFLA_MASTER)) l.master = static_cast<int>(*v & 0x7fffffff);
  if (auto v = a.u32(IFLA_LINK)) l.peer_ifindex = static_cast<int>(*v & 0x7fffffff);
  l.peer_in_other_netns = a.has(IFLA_LINK_NETNSID);
  if (auto v = a.u32(IFLA_LINK_NETNSID)) l.peer_netnsid = static_cast<int>(*v);
  if (auto v = a.raw(IFLA_ADDRESS)) l.address = mac_of(*v);
  if (auto v = a.raw(IFLA_BROADCAST)) l.broadcast = mac_of(*v);
  if (auto v = a.u8(IFLA_CARRIER)) l.carrier = *v != 0;
  if (auto v = a.u8(IFLA_OPERSTATE)) l.operstate = operstate_name(*v);
  if (auto v = a.text(IFLA_QDISC)) l.qdisc = *v;
  if (auto v = a.raw(IFLA_XDP)) {
    Attrs<IFLA_XDP_MAX> xdp(*v, "IFLA_XDP");
    if (auto attached = xdp.u8(IFLA_XDP_ATTACHED)) l.has_xdp = *attached != XDP_ATTACHED_NONE;
    if (!xdp.error().empty()) return fail(xdp.error());
  }
  if (auto v = a.raw(IFLA_LINKINFO)) {
    Attrs<IFLA_INFO_MAX> info(*v, "IFLA_LINKINFO");
    if (auto kind = info.text(IFLA_INFO_KIND)) l.kind = *kind;
    if (auto data = info.raw(IFLA_INFO_DATA); data && l.kind == "macvlan") {
      Attrs<IFLA_MACVLAN_MAX> macvlan(*data, "macvlan");
      l.macvlan_mode = macvlan.u32(IFLA_MACVLAN_MODE).value_or(0);
      if (!macvlan.error().empty()) return fail(macvlan.error());
    }
    if (auto data = info.raw(IFLA_INFO_DATA)) {
      auto made = decode_link_info(l.kind, *data);
      if (!made) return std::unexpected(made.error());
      l.info = std::move(*made);
    }
    if (auto data = info.raw(IFLA_INFO_SLAVE_DATA);
        data && info.text(IFLA_INFO_SLAVE_KIND) == "bridge") {
      auto port = decode_bridge_port(*data);
      if (!port) return std::unexpected(port.error());
      l.bridge_port = std::make_shared<const BridgePort>(*port);
    }
    if (!info.error().empty()) return fail(info.error());
  }
  if (!a.error().empty()) return fail(a.error());
  if (l.name.empty() || l.name.find('/') != std::string::npos) return fail("no interface name");
  if (l.num_tx_queues == 0 || l.num_tx_queues > kMaxTxQueues)
    return fail(fmt::format("{} transmit queues", l.num_tx_queues));
  if (l.flags & kIffLoopback) l.broadcast = MacAddr{};
  return Decoded{.what = std::move(l)};
}

Result<Decoded> decode_features(Bytes bytes) {
  genlmsghdr h{};
  if (take_header(bytes, h) == nullptr) return fail("cut short");
  if (h.cmd != ETHTOOL_MSG_FEATURES_GET_REPLY && h.cmd != ETHTOOL_MSG_FEATURES_NTF)
    return Decoded{};
  Attrs<ETHTOOL_A_FEATURES_MAX> a(bytes.subspan(sizeof h), "features");
  LinkFeatures f;
  if (auto v = a.raw(ETHTOOL_A_FEATURES_HEADER)) {
    Attrs<ETHTOOL_A_HEADER_MAX> header(*v, "features header");
    f.ifindex = header.ifindex(ETHTOOL_A_HEADER_DEV_INDEX).value_or(0);
    f.dev = header.text(ETHTOOL_A_HEADER_DEV_NAME, kMaxName).value_or("");
    if (!header.error().empty()) return fail(header.error());
  }
  if (!a.error().empty()) return fail(a.error());
  if (f.ifindex == 0) return fail("features of no interface");
  const auto active = a.raw(ETHTOOL_A_FEATURES_ACTIVE);
  if (!active) return fail("no active features");
  Attrs<ETHTOOL_A_BITSET_MAX> set(*active, "bitset");
  if (!set.error().empty()) return fail(set.error());
  const bool list = set.has(ETHTOOL_A_BITSET_NOMASK);  // every named bit is set
  const auto bits = set.raw(ETHTOOL_A_BITSET_BITS);
  if (!bits) return fail("features without names");
  struct Named {
    std::string_view name;
    bool DevFeatures::* member;
  };
  static constexpr std::array<Named, 9> kNamed{{
      {"tx-scatter-gather", &DevFeatures::sg},
      {"tx-checksum-ip-generic", &DevFeatures::hw_csum},
      {"tx-checksum-ipv4", &DevFeatures::ip_csum},
      {"tx-checksum-ipv6", &DevFeatures::ipv6_csum},
      {"tx-udp-segmentation", &DevFeatures::gso_udp_l4},
      {"tx-scatter-gather-fraglist", &DevFeatures::frag_list},
      {"tx-lockless", &DevFeatures::lltx},
      {"tx-vlan-hw-insert", &DevFeatures::vlan_ctag},
      {"tx-vlan-stag-hw-insert", &DevFeatures::vlan_stag},
  }};
  std::string error;
  const bool whole = for_each_attr(*bits, [&](const nlattr& bit) {
    Attrs<ETHTOOL_A_BITSET_BIT_MAX> b(payload(bit), "feature bit");
    const std::string bit_name = b.text(ETHTOOL_A_BITSET_BIT_NAME).value_or("");
    if (!b.error().empty()) error = b.error();
    if (!list && !b.has(ETHTOOL_A_BITSET_BIT_VALUE)) return;
    for (const Named& n : kNamed)
      if (n.name == bit_name) f.features.*n.member = true;
  });
  if (!whole) return fail("the list of features is cut short");
  if (!error.empty()) return fail(error);
  return Decoded{.what = std::move(f)};
}

}  // namespace txp
