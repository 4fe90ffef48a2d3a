// SPDX-License-Identifier: Apache-2.0
#include "drivers/stacked.h"

#include <algorithm>
#include <string_view>

#include "dev/link.h"
#include "dev/netdevice.h"
#include "net.h"
#include "wire/gre.h"

namespace txp {
namespace {

constexpr std::uint16_t kArphrdEtherType = 1;
constexpr std::uint16_t kArphrdTunnel = 768;
constexpr std::uint16_t kArphrdIpgre = 778;

struct StackedKind {
  std::string_view name;
  std::uint16_t type;  // ARPHRD_*
  std::unique_ptr<Driver> (*make)();
};
constexpr StackedKind kStacked[] = {
    {"macvlan", kArphrdEtherType, make_macvlan}, {"vlan", kArphrdEtherType, make_vlan_dev},
    {"bridge", kArphrdEtherType, make_bridge},   {"vxlan", kArphrdEtherType, make_vxlan},
    {"geneve", kArphrdEtherType, make_geneve},   {"ipip", kArphrdTunnel, make_ip_tunnel},
    {"gre", kArphrdIpgre, make_ip_tunnel},       {"gretap", kArphrdEtherType, make_ip_tunnel},
};

const StackedKind* kind_of(const Link& link) {
  const auto k = std::ranges::find(kStacked, link.kind, &StackedKind::name);
  return k != std::end(kStacked) && k->type == link.type ? &*k : nullptr;
}

std::string ip_tunnel_unknown(const IpTunnelInfo& t, bool gre) {
  if (t.collect_metadata) return "external";
  if (gre && (t.remote.is_zero() || t.remote.is_multicast())) return "without one remote";
  if ((t.o_flags & kGreSeq) != 0) return "seq";
  return t.unknown;
}

}  // namespace

bool is_stacked(const Link& link) { return kind_of(link) != nullptr; }

std::string stacked_unknown(const Link& link) {
  if (link.kind == "macvlan") return "";
  if (!link.info) return "without its attributes";
  if (const auto* v = link.as<VxlanInfo>())
    return v->ipv6 ? "over IPv6" : v->collect_metadata ? "external" : v->unknown;
  if (const auto* g = link.as<GeneveInfo>())
    return g->collect_metadata      ? "external"
           : g->ipv6                ? "over IPv6"
           : g->inner_proto_inherit ? "innerprotoinherit"
                                    : "";
  if (const auto* t = link.as<IpTunnelInfo>()) return ip_tunnel_unknown(*t, link.kind != "ipip");
  return "";
}

void xmit_counted_below(Net& net, NetDevice& dev, unsigned queue, SkbPtr skb, NetDevice& lower) {
  const std::uint32_t len = skb->len;
  const TxResult sent = xmit_below(net, std::move(skb), lower);
  if (sent.ok() || sent == TxResult::cn())
    dev_tx_add(net, dev, queue, len);
  else
    dev.tx_dropped.fetch_add(1, std::memory_order_relaxed);
}

std::unique_ptr<Driver> make_stacked(const Link& link) { return kind_of(link)->make(); }

}  // namespace txp
