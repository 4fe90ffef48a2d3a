// SPDX-License-Identifier: Apache-2.0
#include "mirror/mirror.h"

#include <algorithm>
#include <functional>
#include <utility>

#include <fmt/format.h>
#include <linux/netlink.h>

#include "dev/fdb.h"
#include "dev/netdevice.h"
#include "explain/ip_text.h"
#include "neigh/neighbour.h"
#include "netfilter/nf_hook.h"
#include "route/fib.h"
#include "route/fib_exceptions.h"
#include "route/fib_rules.h"
#include "route/nexthop.h"

namespace txp {

namespace {

void mix(std::uint64_t& h, std::uint64_t v) {
  h ^= v + 0x9e3779b97f4a7c15ULL + (h << 6) + (h >> 2);
  h *= 0xff51afd7ed558ccdULL;
  h ^= h >> 32;
}
void mix(std::uint64_t& h, const std::string& s) {
  if (!s.empty()) mix(h, std::hash<std::string>{}(s));
}

// Devices whose driver takes no transmit lock. The feature "tx-lockless" told it until 6.12; the
// kernel keeps it to itself since.
bool kind_is_lockless(const Link& l) {
  static constexpr std::string_view kKinds[] = {
      "veth", "dummy", "macvlan", "macvtap", "ipvlan", "vlan",   "vxlan",    "geneve",
      "gre",  "ipip",  "gretap",  "erspan",  "sit",    "bridge", "bond",     "team",
      "vrf",  "nlmon", "vti",     "xfrm",    "netkit", "macsec", "wireguard"};
  return (l.flags & kIffLoopback) != 0 || std::ranges::find(kKinds, l.kind) != std::end(kKinds);
}

// tc's lines.
std::string words(const ClassSpec& c, const DevNames& names) {
  return fmt::format("class {} {} dev {} {}{}", c.kind, classid_text(c.classid), names(c.ifindex),
                     c.parent == 0xffffffff ? "root" : "parent " + classid_text(c.parent), c.text);
}
std::string words(const FilterSpec& f, const DevNames& names) {
  constexpr std::uint32_t kClsactEgress = 0xfffffff3;
  const std::string dev = names(f.ifindex);
  if (f.parent == kClsactEgress) return fmt::format("filter dev {} egress {}", dev, f.text);
  return fmt::format("filter dev {} parent {} {}", dev, classid_text(f.parent), f.text);
}

}  // namespace

std::uint64_t route_hash(const Route& r) {
  std::uint64_t h = 0;
  mix(h, (std::uint64_t{r.table} << 32) | r.dst.addr.host);
  mix(h, (std::uint64_t{r.dst.len} << 32) | (std::uint64_t{r.tos} << 24) |
             (std::uint64_t(r.type) << 16) | (std::uint64_t{r.scope} << 8) | r.protocol);
  mix(h, (std::uint64_t{r.priority} << 32) | r.prefsrc.host);
  mix(h, r.nhid);
  mix(h, r.metrics.lock);
  for (std::size_t i = 0; i < r.metrics.value.size(); ++i)
    if (r.metrics.value[i] != 0) mix(h, (std::uint64_t{i} << 32) | r.metrics.value[i]);
  mix(h, r.metrics.cc_algo);
  for (const NextHop& nh : r.nexthops) {
    mix(h, (static_cast<std::uint64_t>(nh.oif) << 32) | nh.gateway.host);
    mix(h, (std::uint64_t{nh.weight} << 32) | nh.tclassid);
    mix(h, nh.gateway6);
    mix(h, nh.encap);
  }
  return h;
}

Mirror::Mirror(Net& net) : net_(net) {}

Result<void> Mirror::apply(const Message& message) {
  auto decoded = decode(message);
  if (!decoded) return std::unexpected(decoded.error());
  return apply(std::move(*decoded));
}

Result<void> Mirror::apply(Decoded&& decoded) {
  return std::visit([&](auto& what) { return add(std::move(what), std::as_const(decoded)); },
                    decoded.what);
}

bool Mirror::left_to_reader(MirrorPart part) {
  if (!following_ || gathering(part)) return false;
  set_stale(part, true);
  return true;
}

void Mirror::link_changed(const Link& link, const NetDevice* old) {
  using enum MirrorPart;
  // A link is also announced when its offloads changed, which the message does not tell.
  if (std::ranges::find(featureless_, link.ifindex) == featureless_.end())
    featureless_.push_back(link.ifindex);
  if (link.kind == "bridge" || link.kind == "vxlan" || link.master != 0) set_stale(bridges, true);
  if (old == nullptr) {
    for (const MirrorPart p : {xps, sysctls, multicast, egress_hooks}) set_stale(p, true);
    for (const MirrorPart p : {addrs6, multicast6}) set_stale(p, true);
  } else {
    const Link& was = old->link();
    if (was.flags == link.flags && was.carrier == link.carrier && was.name == link.name &&
        was.qdisc == link.qdisc && was.num_tx_queues == link.num_tx_queues)
      return;
    if (was.name != link.name) set_stale(sysctls, true);
  }
  // The kernel does not say which routes, next hops and disciplines went or came with a link.
  for (const MirrorPart p :
       {routes, nexthops, qdiscs, classes, filters, multicast, addrs6, routes6, multicast6})
    set_stale(p, true);
}

void Mirror::link_went(int ifindex) {
  if (const NetDevice* dev = net_.dev->by_index(ifindex)) sysctls_.forget_device(dev->name());
  devices_.erase(ifindex);
  net_.dev->remove_link(ifindex);
  ruleset_changed_ = true;
}

Result<void> Mirror::add(Link&& link, const Decoded& d) {
  if (d.deleted) {
    if (following_)
      for (const MirrorPart p : {MirrorPart::routes, MirrorPart::nexthops, MirrorPart::addrs,
                                 MirrorPart::routes6, MirrorPart::addrs6})
        set_stale(p, true);
    link_went(link.ifindex);
    return {};
  }
  const NetDevice* old = net_.dev->by_index(link.ifindex);
  if (following_) link_changed(link, old);
  Device& device = devices_[link.ifindex];
  if (old != nullptr && old->link().num_tx_queues != link.num_tx_queues) {
    // The engine's queues are fixed for a device's life.
    net_.dev->remove_link(link.ifindex);
    device.qdiscs_changed = device.filters_changed = device.mc_changed = sysctls_changed_ = true;
    set_stale(MirrorPart::addrs, true);
  }
  if (old == nullptr) ruleset_changed_ = true;  // a chain may hang on the new device
  link.features = device.features;
  link.features.lltx |= kind_is_lockless(link);
  link.xps_cpus = device.xps_cpus;
  link.bridge_vlans = device.bridge_vlans;
  link.real_num_tx_queues = device.real_num_tx_queues;
  if (old == nullptr) {
    sysctls_changed_ = true;
    device.mc_changed = true;
  }
  net_.dev->set_link(link);
  if (gathering(MirrorPart::links)) links_.push_back(std::move(link));
  return {};
}

Result<void> Mirror::add(LinkFeatures&& f, const Decoded&) {
  const NetDevice* dev = net_.dev->by_index(f.ifindex);
  if (dev == nullptr) return {};  // gone meanwhile
  Device& device = devices_[f.ifindex];
  device.features = f.features;
  Link link = dev->link();
  f.features.lltx |= kind_is_lockless(link);
  if (link.features == f.features) return {};
  link.features = f.features;
  net_.dev->set_link(link);
  return {};
}

Result<void> Mirror::add(LinkXps&& x, const Decoded&) {
  const NetDevice* dev = net_.dev->by_index(x.ifindex);
  if (dev == nullptr) return {};
  if (x.cpus.size() > dev->tx.size()) return fail("xps: more queues than the interface has");
  const auto real_queues = static_cast<std::uint32_t>(x.cpus.size());
  if (std::ranges::all_of(x.cpus, [](const auto& words) { return words.empty(); })) x.cpus.clear();
  devices_[x.ifindex].xps_cpus = x.cpus;
  devices_[x.ifindex].real_num_tx_queues = real_queues;
  Link link = dev->link();
  if (link.xps_cpus == x.cpus && link.real_num_tx_queues == real_queues) return {};
  link.real_num_tx_queues = real_queues;
  link.xps_cpus = std::move(x.cpus);
  net_.dev->set_link(link);
  return {};
}

Result<void> Mirror::add(InAddr&& addr, const Decoded& d) {
  if (left_to_reader(MirrorPart::addrs)) {
    if (d.deleted) set_stale(MirrorPart::routes, true);  // routes with that `src` go unannounced
    set_stale(MirrorPart::multicast, true);
    return {};
  }
  if (d.deleted) {
    net_.dev->remove_addr(addr.ifindex, addr.local, addr.prefixlen);
    return {};
  }
  local_addrs_.insert(addr.local.host);
  if (gathering(MirrorPart::addrs))
    addrs_.push_back(std::move(addr));
  else
    net_.dev->set_addr(addr);
  return {};
}

// A gateway that is the host's own address has that address's scope (fib_check_nh()), and the
// kernel then sends straight to the destination.
void Mirror::fix_nexthop_scope(NextHop& nh) const {
  if (nh.scope != kScopeLink || nh.gateway.is_zero() || (nh.flags & kNhfOnlink) != 0) return;
  if (nh.gateway.is_loopback() || local_addrs_.contains(nh.gateway.host)) nh.scope = kScopeHost;
}

Result<void> Mirror::add(Route&& route, const Decoded& d) {
  if (route.nhid != 0) route.nexthops.clear();
  for (NextHop& nh : route.nexthops) fix_nexthop_scope(nh);
  if (d.deleted) {
    net_.fib->remove(route);
    return {};
  }
  ++routes_seen_;
  // `ip route prepend`: the notification does not say that it stands before its equals.
  if (following_ && !gathering(MirrorPart::routes) &&
      (d.nlmsg_flags & (NLM_F_REPLACE | NLM_F_APPEND)) == 0 && net_.fib->occupied(route))
    set_stale(MirrorPart::routes, true);
  const bool replace = !gathering(MirrorPart::routes) && (d.nlmsg_flags & NLM_F_REPLACE) != 0;
  const auto added = replace ? net_.fib->replace(route) : net_.fib->add(route);
  if (!added) return fail("RTM_NEWROUTE: " + added.error().what);
  if (gathering(MirrorPart::routes)) {
    route_hashes_.push_back(route_hash(route));
    if (!route_run_.empty() && key_of(route_run_.front()) != key_of(route)) end_run();
    route_run_.push_back(std::move(route));
  }
  return {};
}

void Mirror::end_run() {
  if (route_run_.size() > 1) {
    const RouteKey key = key_of(route_run_.front());
    route_groups_.insert_or_assign(key, std::exchange(route_run_, {}));
  }
  route_run_.clear();
}

Result<void> Mirror::add(RouteException&& e, const Decoded& d) {
  if (d.deleted || e.mtu == 0) return {};
  if (e.expires != 0) e.expires += net_.clock.now();
  if (gathering(MirrorPart::exceptions))
    exceptions_.push_back(e);
  else
    net_.exceptions->set(e);
  return {};
}

Result<void> Mirror::add(FibRule&& rule, const Decoded& d) {
  if (left_to_reader(MirrorPart::rules)) return {};
  if (d.deleted) {
    const auto found = std::ranges::find(rules_, rule);
    if (found != rules_.end()) rules_.erase(found);
  } else {
    rules_.push_back(std::move(rule));
  }
  rules_changed_ = true;
  return {};
}

Result<void> Mirror::add(NexthopSpec&& n, const Decoded& d) {
  fix_nexthop_scope(n.nh);
  if (d.deleted)
    net_.nexthops->remove(n.id);
  else if (gathering(MirrorPart::nexthops))
    nexthops_.push_back(std::move(n));
  else
    net_.nexthops->set(n);
  return {};
}

Result<void> Mirror::add(NeighSpec&& n, const Decoded& d) {
  if (n.proxy) return {};  // answers others; decides nothing about what this host sends
  NeighTable& table = n.dst6 ? *net_.neigh6 : *net_.neigh;
  if (d.deleted && n.dst6)
    table.remove(n.ifindex, *n.dst6);
  else if (d.deleted)
    table.remove(n.ifindex, n.dst);
  else if (gathering(MirrorPart::neighs))
    neighs_.push_back(n);
  else
    table.set(n);
  return {};
}

Result<void> Mirror::add(QdiscSpec&& q, const Decoded& d) {
  if (left_to_reader(MirrorPart::qdiscs)) {
    set_stale(MirrorPart::classes, true);
    set_stale(MirrorPart::filters, true);
    return {};
  }
  const NetDevice* dev = net_.dev->by_index(q.ifindex);
  if (dev == nullptr) return {};
  Device& device = devices_[q.ifindex];
  if (device.qdiscs.size() > 65536) return fail("more disciplines than a device can have");
  std::erase_if(device.qdiscs, [&q](const QdiscSpec& other) {
    return other.parent == q.parent && other.handle == q.handle;
  });
  device.qdiscs_changed = true;
  if (d.deleted) return {};
  q.text = ip_text(q, dev_names(net_));
  device.qdiscs.push_back(std::move(q));
  return {};
}

// A change of disciplines or classes goes unsaid where the kernel makes or moves others with it.
Result<void> Mirror::add(ClassSpec&& c, const Decoded& d) {
  if (left_to_reader(MirrorPart::classes)) return {};
  if (net_.dev->by_index(c.ifindex) == nullptr || !class_is_configured(c.kind)) return {};
  Device& device = devices_[c.ifindex];
  if (device.classes.size() > 65536) return fail("more classes than a device can have");
  device.qdiscs_changed = true;
  std::erase_if(device.classes,
                [&c](const ClassSpec& o) { return o.classid == c.classid && o.kind == c.kind; });
  if (d.deleted) return {};
  c.text = words(c, dev_names(net_));
  device.classes.push_back(std::move(c));
  return {};
}

Result<void> Mirror::add(FilterSpec&& f, const Decoded& d) {
  if (left_to_reader(MirrorPart::filters)) return {};
  constexpr std::uint32_t kClsactEgress = 0xfffffff3;
  constexpr std::uint32_t kClsactIngress = 0xfffffff2;
  const NetDevice* dev = net_.dev->by_index(f.ifindex);
  if (dev == nullptr || f.parent == kClsactIngress) return {};
  Device& device = devices_[f.ifindex];
  if (device.qdisc_filters.size() > 65536) return fail("more filters than a device can have");
  if (f.parent != kClsactEgress) {
    device.qdiscs_changed = true;
    f.text = words(f, dev_names(net_));
    std::erase_if(device.qdisc_filters, [&f](const FilterSpec& o) {
      return o.parent == f.parent && o.chain == f.chain && o.prio == f.prio &&
             o.handle == f.handle && o.kind == f.kind;
    });
    if (!d.deleted) device.qdisc_filters.push_back(std::move(f));
    return {};
  }
  device.filters_changed = true;
  f.text = words(f, dev_names(net_));
  if (d.deleted)
    std::erase_if(device.filters, [&f](const FilterSpec& o) { return o.text == f.text; });
  else
    device.filters.push_back(std::move(f));
  return {};
}

Result<void> Mirror::add(EgressHook&& h, const Decoded&) {
  if (net_.dev->by_index(h.ifindex) == nullptr) return {};
  Device& device = devices_[h.ifindex];
  device.filters_changed |= !gathering(MirrorPart::egress_hooks);
  device.egress_hooks.push_back(std::move(h));
  return {};
}

Result<void> Mirror::add(McGroup&& g, const Decoded& d) {
  if (left_to_reader(MirrorPart::multicast)) return {};
  if (net_.dev->by_index(g.ifindex) == nullptr) return {};
  Device& device = devices_[g.ifindex];
  device.mc_changed |= !gathering(MirrorPart::multicast);
  if (d.deleted)
    device.mc_groups.erase(g.group.host);
  else
    device.mc_groups.insert(g.group.host);
  return {};
}

Result<void> Mirror::add(SysctlValue&& v, const Decoded&) {
  sysctls_changed_ = true;
  return sysctls_.set(v.path, v.value);
}

Result<void> Mirror::add(NftTable&& t, const Decoded&) {
  ruleset_changed_ = true;
  nft_.tables.push_back(std::move(t));
  return {};
}
Result<void> Mirror::add(NftChain&& c, const Decoded&) {
  ruleset_changed_ = true;
  nft_.chains.push_back(std::move(c));
  return {};
}
Result<void> Mirror::add(NftRule&& r, const Decoded&) {
  ruleset_changed_ = true;
  nft_.rules.push_back(std::move(r));
  return {};
}
Result<void> Mirror::add(NftSetSpec&& s, const Decoded&) {
  ruleset_changed_ = true;
  nft_.sets.push_back(std::move(s));
  return {};
}
Result<void> Mirror::add(NftElemsSpec&& e, const Decoded&) {
  ruleset_changed_ = true;
  nft_.elems.push_back(std::move(e));
  return {};
}
Result<void> Mirror::add(NftObjectSpec&& o, const Decoded&) {
  ruleset_changed_ = true;
  nft_.objects.push_back(std::move(o));
  return {};
}
Result<void> Mirror::add(ForeignHook&& h, const Decoded&) {
  ruleset_changed_ |= !gathering(MirrorPart::foreign_hooks);
  foreign_hooks_.push_back(std::move(h));
  return {};
}
Result<void> Mirror::add(XfrmPolicy&& p, const Decoded&) {
  obstacles_changed_ = true;
  if (p.out && (p.ipv4 || p.ipv6)) xfrm_.push_back(std::move(p));
  return {};
}
Result<void> Mirror::add(PathObstacle&& o, const Decoded&) {
  obstacles_changed_ |= !gathering(MirrorPart::obstacles);
  path_obstacles_.push_back(std::move(o));
  return {};
}

Result<void> Mirror::add(FdbEntry&& e, const Decoded& d) {
  if (e.table == 0) return {};  // a device's own: the addresses it listens to
  if (gathering(MirrorPart::bridges))
    fdb_.push_back(e);
  else if (d.deleted)
    net_.fdb->remove(e);
  else
    net_.fdb->set(e);
  return {};
}

Result<void> Mirror::add(BridgeSide&& side, const Decoded& d) {
  if (following_ && !gathering(MirrorPart::bridges)) {
    set_stale(MirrorPart::bridges, true);  // its VLANs are not in the notification
    if (d.deleted) return {};
  }
  const NetDevice* dev = net_.dev->by_index(side.ifindex);
  if (dev == nullptr || d.deleted) return {};
  Link link = dev->link();
  if (side.port) link.bridge_port = std::make_shared<const BridgePort>(*side.port);
  if (side.vlans) {
    link.bridge_vlans = *side.vlans;
    devices_[side.ifindex].bridge_vlans = std::move(*side.vlans);
  }
  net_.dev->set_link(link);
  return {};
}

std::string Mirror::text(const Message& message, const Decoded& decoded) const {
  const DevNames names = dev_names(net_);
  const auto own_words = [&message] {
    const void* bytes = message.raw.data();
    return std::string(static_cast<const char*>(bytes), message.raw.size());
  };
  struct Words {
    const DevNames& names;
    const std::function<std::string()> own_words;
    std::string operator()(const Irrelevant&) const { return ""; }
    std::string operator()(const Link& x) const { return ip_text(x, names); }
    std::string operator()(const InAddr& x) const { return ip_text(x, names); }
    std::string operator()(const Route& x) const {
      std::string s = ip_text(x, names);
      if (x.table != kTableMain) s += " table " + table_name(x.table);
      return s;
    }
    std::string operator()(const RouteException& x) const {
      std::string s = x.daddr.str();
      if (!x.gateway.is_zero()) s += " via " + x.gateway.str();
      return s + fmt::format(" dev {} cache mtu {}", names(x.oif), x.mtu);
    }
    std::string operator()(const FibRule& x) const {
      return fmt::format("{}: {}", x.priority, ip_text(x, names));
    }
    std::string operator()(const NexthopSpec& x) const { return ip_text(x, names); }
    std::string operator()(const NeighSpec& x) const { return ip_text(x, names); }
    std::string operator()(const QdiscSpec& x) const { return ip_text(x, names); }
    std::string operator()(const ClassSpec& x) const { return words(x, names); }
    std::string operator()(const FilterSpec& x) const { return words(x, names); }
    std::string operator()(const McGroup& x) const {
      return fmt::format("{} inet {}", names(x.ifindex), x.group.str());
    }
    std::string operator()(const In6Addr& x) const { return ip_text(x, names); }
    std::string operator()(const Route6& x) const {
      std::string t = ip_text(x, names);
      if (x.table != kTableMain) t += " table " + table_name(x.table);
      return t;
    }
    std::string operator()(const RouteException6& x) const {
      std::string t = x.daddr.str();
      if (!x.gateway.is_any()) t += " via " + x.gateway.str();
      return t + fmt::format(" dev {} cache mtu {}", names(x.oif), x.mtu);
    }
    std::string operator()(const FibRule6& x) const {
      return fmt::format("{}: {}", x.rule.priority, ip_text(x.rule, names));
    }
    std::string operator()(const McGroup6& x) const {
      return fmt::format("{} inet6 {}", names(x.ifindex), x.group.str());
    }
    std::string operator()(const AddrLabel& x) const {
      std::string t = "prefix " + fmt::format("{}/{}", x.prefix.addr.str(), x.prefix.len);
      if (x.ifindex != 0) t += " dev " + names(x.ifindex);
      return t + fmt::format(" label {}", x.label);
    }
    std::string operator()(const LinkFeatures& x) const {
      std::string s = x.dev + ":";
      const DevFeatures& f = x.features;
      if (f.sg) s += " tx-scatter-gather";
      if (f.hw_csum) s += " tx-checksum-ip-generic";
      if (f.ip_csum) s += " tx-checksum-ipv4";
      if (f.ipv6_csum) s += " tx-checksum-ipv6";
      if (f.gso_udp_l4) s += " tx-udp-segmentation";
      if (f.frag_list) s += " tx-scatter-gather-fraglist";
      if (f.lltx) s += " tx-lockless";
      if (f.vlan_ctag) s += " tx-vlan-hw-insert";
      if (f.vlan_stag) s += " tx-vlan-stag-hw-insert";
      return s;
    }
    std::string operator()(const SysctlValue& x) const {
      std::string path = x.path;
      for (char& c : path) c = c == '/' ? '.' : c == '.' ? '/' : c;  // as sysctl(8) prints it
      return path + " = " + x.value;
    }
    std::string operator()(const NftTable& x) const { return "table " + x.name; }
    std::string operator()(const NftChain& x) const { return x.text; }
    std::string operator()(const NftRule& x) const { return x.text; }
    std::string operator()(const NftSetSpec& x) const {
      return fmt::format("set {} {} {}", nft_family_name(x.family), x.table, x.name);
    }
    std::string operator()(const NftElemsSpec& x) const {
      return fmt::format("{} elements of set {} {} {}", x.elems.size(), nft_family_name(x.family),
                         x.table, x.set);
    }
    std::string operator()(const NftObjectSpec& x) const {
      return fmt::format("object {} {} {}", nft_family_name(x.family), x.table, x.name);
    }
    std::string operator()(const XfrmPolicy& x) const { return x.text; }
    std::string operator()(const LinkXps&) const { return own_words(); }
    std::string operator()(const ForeignHook&) const { return own_words(); }
    std::string operator()(const EgressHook&) const { return own_words(); }
    std::string operator()(const PathObstacle&) const { return own_words(); }
    std::string operator()(const FdbEntry& x) const { return ip_text(x, names); }
    std::string operator()(const BridgeSide& x) const {
      return fmt::format("bridge link {}", names(x.ifindex));
    }
  };
  return std::visit(Words{names, own_words}, decoded.what);
}

}  // namespace txp
