// SPDX-License-Identifier: Apache-2.0
#include "explain/ip_text.h"

#include <netdb.h>
#include <array>
#include <charconv>
#include <cstring>
#include <fstream>
#include <map>
#include <mutex>
#include <sstream>

#include <fmt/format.h>

#include "dev/netdevice.h"
#include "explain/rt_names.h"
#include "net.h"

namespace txp {

namespace {

std::string dev_text(int ifindex, const DevNames& names) {
  std::string name = names ? names(ifindex) : std::string();
  return name.empty() ? fmt::format("if{}", ifindex) : name;
}

std::string_view type_name(RouteType t) {
  static constexpr std::array<std::string_view, 12> kNames{
      "none",      "unicast",     "local",    "broadcast", "anycast", "multicast",
      "blackhole", "unreachable", "prohibit", "throw",     "nat",     "xresolve"};
  return kNames[static_cast<std::size_t>(t) % kNames.size()];
}

// RTNH_F_* by print_rt_flags().
void add_flags(std::string& text, std::uint8_t flags) {
  struct Flag {
    std::uint8_t bit;
    std::string_view name;
  };
  static constexpr std::array<Flag, 7> kFlags{{{1, " dead"},
                                               {4, " onlink"},
                                               {2, " pervasive"},
                                               {8, " offload"},
                                               {64, " trap"},
                                               {16, " linkdown"},
                                               {32, " unresolved"}}};
  for (const Flag& f : kFlags)
    if (flags & f.bit) text += f.name;
}

void add_realm(std::string& text, std::uint32_t tclassid) {
  const std::uint32_t from = tclassid >> 16;
  text += from != 0 ? " realms " : " realm ";
  if (from != 0) text += rt_name(RtTable::realms, from) + "/";
  text += rt_name(RtTable::realms, tclassid & 0xffff);
}

// encap, via, as they stand before "dev".
void add_gateway(std::string& text, const NextHop& nh) {
  if (!nh.encap.empty()) text += "  encap " + nh.encap;
  if (!nh.gateway.is_zero()) text += " via " + nh.gateway.str();
  if (!nh.gateway6.empty()) text += " via inet6 " + nh.gateway6;
}

std::string milliseconds(std::uint32_t v) {
  return v >= 1000 ? fmt::format("{:g}s", v / 1e3) : fmt::format("{}ms", v);
}

void add_metrics(std::string& text, const RouteMetrics& m) {
  static constexpr std::array<std::string_view, 18> kNames{
      "",         "",        "mtu",      "window",     "rtt",      "rttvar",
      "ssthresh", "cwnd",    "advmss",   "reordering", "hoplimit", "initcwnd",
      "features", "rto_min", "initrwnd", "quickack",   "congctl",  "fastopen_no_cookie"};
  constexpr std::size_t kRtt = 4, kRttvar = 5, kFeatures = 12, kRtoMin = 13, kCcAlgo = 16;
  for (std::size_t i = 2; i < m.value.size(); ++i) {
    const bool locked = (m.lock & (1U << i)) != 0;
    const bool given = i == kCcAlgo ? !m.cc_algo.empty() : m.value[i] != 0;
    if (!given && !locked) continue;
    std::uint32_t v = m.value[i];
    if (i == kRtaxHoplimit && v == 0xffffffff) continue;
    text += fmt::format(" {}{}", kNames[i], locked ? " lock" : "");
    if (i == kCcAlgo) {
      text += " " + m.cc_algo;
    } else if (i == kFeatures) {
      if (v & 1) text += " ecn";
      if (v & 8) text += " tcp_usec_ts";
      if (v & ~9U) text += fmt::format(" {:#x}", v);
    } else if (i == kRtt || i == kRttvar || i == kRtoMin) {
      text += " " + milliseconds(i == kRtt ? v / 8 : i == kRttvar ? v / 4 : v);
    } else {
      text += fmt::format(" {}", v);
    }
  }
}

std::string prefix_text(const Prefix4& p) {
  return p.len == 32 ? p.addr.str() : fmt::format("{}/{}", p.addr.str(), p.len);
}

std::string prefix_text(const Prefix6& p) {
  return p.len == 128 ? p.addr.str() : fmt::format("{}/{}", p.addr.str(), p.len);
}

std::string proto_name(std::uint8_t proto) {
  protoent entry{};
  protoent* found = nullptr;
  std::array<char, 1024> buffer{};
  if (getprotobynumber_r(proto, &entry, buffer.data(), buffer.size(), &found) == 0 &&
      found != nullptr)
    return found->p_name;
  return fmt::format("ipproto-{}", proto);
}

std::string ports_text(std::pair<std::uint16_t, std::uint16_t> range, std::uint16_t mask) {
  if (range.first != range.second) return fmt::format("{}-{}", range.first, range.second);
  if (mask != 0xffff) return fmt::format("{:#x}/{:#x}", range.first, mask);
  return fmt::format("{}", range.first);
}

}  // namespace

std::string classid_text(std::uint32_t id) {
  const std::uint32_t major = id >> 16;
  const std::uint32_t minor = id & 0xffff;
  if (major == 0) return fmt::format(":{:x}", minor);
  if (minor == 0) return fmt::format("{:x}:", major);
  return fmt::format("{:x}:{:x}", major, minor);
}

DevNames dev_names(const Net& net) {
  return [&net](int ifindex) {
    const NetDevice* dev = net.dev->by_index(ifindex);
    return dev == nullptr ? std::string() : dev->name();
  };
}

std::string table_name(std::uint32_t table) { return rt_name(RtTable::tables, table); }

std::string ip_text(const Route& r, const DevNames& names) {
  std::string text;
  if (r.type != RouteType::unicast) text = std::string(type_name(r.type)) + " ";
  text += r.dst.str();
  if (r.nhid != 0) text += fmt::format(" nhid {}", r.nhid);
  const bool one = r.nexthops.size() == 1;
  if (one && !r.nexthops[0].encap.empty()) text += "  encap " + r.nexthops[0].encap;
  if (r.tos != 0) text += " tos " + rt_name(RtTable::dsfield, r.tos);
  if (one) {
    NextHop nh = r.nexthops[0];
    nh.encap.clear();
    add_gateway(text, nh);
    if (nh.oif != 0) text += " dev " + dev_text(nh.oif, names);
  }
  if (r.protocol != 3) text += " proto " + rt_name(RtTable::protos, r.protocol);
  if (r.scope != kScopeUniverse) text += " scope " + rt_name(RtTable::scopes, r.scope);
  if (!r.prefsrc.is_zero()) text += " src " + r.prefsrc.str();
  if (r.priority != 0) text += fmt::format(" metric {}", r.priority);
  if (one) {
    add_flags(text, r.nexthops[0].flags);
    if (r.nexthops[0].tclassid != 0) add_realm(text, r.nexthops[0].tclassid);
  } else if (r.nexthops.size() > 1) {
    // The route is dead or without carrier when all its hops are (struct fib_info's fib_flags).
    std::uint8_t all = kNhfDead | kNhfLinkdown;
    for (const NextHop& nh : r.nexthops) all &= nh.flags;
    add_flags(text, all);
  }
  add_metrics(text, r.metrics);
  if (r.nexthops.size() > 1) {
    for (const NextHop& nh : r.nexthops) {
      text += " nexthop";
      add_gateway(text, nh);
      if (nh.tclassid != 0) add_realm(text, nh.tclassid);
      text += fmt::format(" dev {} weight {}", dev_text(nh.oif, names), nh.weight);
      add_flags(text, nh.flags);
    }
  }
  return text;
}

std::string ip_text(const FibRule& r, const DevNames&) {
  std::string text;
  if (r.invert) text += "not ";
  text += "from " + (r.src ? prefix_text(*r.src) : r.src6 ? prefix_text(*r.src6) : "all");
  if (r.dst) text += " to " + prefix_text(*r.dst);
  if (r.dst6) text += " to " + prefix_text(*r.dst6);
  constexpr std::uint8_t kLegacyTosMask = 0x1c;
  const bool dscp = r.tos_mask != 0 && r.tos_mask != kLegacyTosMask;
  if (r.tos != 0 && !dscp) text += " tos " + rt_name(RtTable::dsfield, r.tos);
  if (r.mark != 0 || r.mark_mask != 0) {
    text += fmt::format(" fwmark {:#x}", r.mark);
    if (r.mark_mask != 0xffffffff && r.mark_mask != 0) text += fmt::format("/{:#x}", r.mark_mask);
  }
  if (!r.iifname.empty()) text += " iif " + r.iifname;
  if (!r.oifname.empty()) text += " oif " + r.oifname;
  if (r.l3mdev) text += " lookup [l3mdev-table]";
  if (r.uid_range) text += fmt::format(" uidrange {}-{}", r.uid_range->first, r.uid_range->second);
  if (r.ip_proto != 0) text += " ipproto " + proto_name(r.ip_proto);
  if (r.sport) text += " sport " + ports_text(*r.sport, r.sport_mask);
  if (r.dport) text += " dport " + ports_text(*r.dport, r.dport_mask);
  if (r.tun_id != 0) text += fmt::format(" tun_id {}", r.tun_id);
  if (r.table != 0) {
    text += " lookup " + table_name(r.table);
    if (r.suppress_prefixlength != -1)
      text += fmt::format(" suppress_prefixlength {}", r.suppress_prefixlength);
    if (r.suppress_ifgroup != -1)
      text += " suppress_ifgroup " +
              rt_name(RtTable::groups, static_cast<std::uint32_t>(r.suppress_ifgroup));
  }
  if (r.flow != 0) {
    text += " realms ";
    if (r.flow >> 16 != 0) text += rt_name(RtTable::realms, r.flow >> 16) + "/";
    text += rt_name(RtTable::realms, r.flow & 0xffff);
  }
  switch (r.action) {
    case RuleAction::goto_:
      text += r.goto_target != 0 ? fmt::format(" goto {}", r.goto_target) : " goto none";
      break;
    case RuleAction::nop: text += " nop"; break;
    case RuleAction::blackhole: text += " blackhole"; break;
    case RuleAction::unreachable: text += " unreachable"; break;
    case RuleAction::prohibit: text += " prohibit"; break;
    case RuleAction::unspec: text += " none"; break;
    case RuleAction::to_table: break;
  }
  if (r.protocol != 0 && r.protocol != 2) text += " proto " + rt_name(RtTable::protos, r.protocol);
  if (dscp) {
    const unsigned value = r.tos >> 2;
    if (r.tos_mask == 0xfc)
      text += " dscp " + dscp_name(static_cast<std::uint8_t>(value));
    else
      text += fmt::format(" dscp {:#x}/{:#x}", value, r.tos_mask >> 2);
  }
  return text;
}

std::string ip_text(const NexthopSpec& n, const DevNames& names) {
  std::string text = fmt::format("id {}", n.id);
  if (!n.group.empty()) {
    text += " group ";
    for (std::size_t i = 0; i < n.group.size(); ++i) {
      text += fmt::format("{}{}", i == 0 ? "" : "/", n.group[i].first);
      if (n.group[i].second > 1) text += fmt::format(",{}", n.group[i].second);
    }
  }
  if (n.resilient) text += " type resilient";
  if (!n.nh.encap.empty()) text += "  encap " + n.nh.encap;
  if (!n.nh.gateway.is_zero()) text += " via " + n.nh.gateway.str();
  if (!n.nh.gateway6.empty()) text += " via " + n.nh.gateway6;
  if (n.nh.oif != 0) text += " dev " + dev_text(n.nh.oif, names);
  if (n.scope != kScopeUniverse) text += " scope " + rt_name(RtTable::scopes, n.scope);
  if (n.blackhole) text += " blackhole";
  if (n.protocol != 0) text += " proto " + rt_name(RtTable::protos, n.protocol);
  add_flags(text, n.nh.flags);
  if (n.fdb) text += " fdb";
  return text;
}

std::string ip_text(const NeighSpec& n, const DevNames& names) {
  constexpr std::uint8_t kRouter = 0x80, kProxy = 0x08, kExtLearned = 0x10, kOffloaded = 0x20;
  std::string text = n.dst_text();
  if (n.ifindex != 0) text += " dev " + dev_text(n.ifindex, names);
  if (n.has_lladdr) text += " lladdr " + n.lladdr.str();
  if (n.flags & kRouter) text += " router";
  if (n.proxy || (n.flags & kProxy)) text += " proxy";
  if (n.flags & kExtLearned) text += " extern_learn";
  if (n.flags & kOffloaded) text += " offload";
  switch (n.state) {
    case Nud::none: break;
    case Nud::incomplete: text += " INCOMPLETE"; break;
    case Nud::reachable: text += " REACHABLE"; break;
    case Nud::stale: text += " STALE"; break;
    case Nud::delay: text += " DELAY"; break;
    case Nud::probe: text += " PROBE"; break;
    case Nud::failed: text += " FAILED"; break;
    case Nud::noarp: text += " NOARP"; break;
    case Nud::permanent: text += " PERMANENT"; break;
  }
  if (n.protocol != 0) text += " proto " + rt_name(RtTable::protos, n.protocol);
  return text;
}

std::string ip_text(const InAddr& a, const DevNames& names) {
  constexpr std::uint32_t kSecondary = 1, kPermanent = 0x80, kNoPrefixRoute = 0x200,
                          kAutojoin = 0x400;
  std::string text = dev_text(a.ifindex, names) + " inet " + a.local.str();
  if (a.peer != a.local) text += " peer " + a.peer.str();
  text += fmt::format("/{}", a.prefixlen);
  if (!a.broadcast.is_zero()) text += " brd " + a.broadcast.str();
  text += " scope " + rt_name(RtTable::scopes, a.scope);
  if (a.flags & kSecondary) text += " secondary";
  if (!(a.flags & kPermanent)) text += " dynamic";
  if (a.flags & kNoPrefixRoute) text += " noprefixroute";
  if (a.flags & kAutojoin) text += " autojoin";
  if (!a.label.empty()) text += " " + a.label;
  return text;
}

std::string ip_text(const Route6& r, const DevNames& names) {
  std::string text;
  if (r.type != RouteType::unicast) text = std::string(type_name(r.type)) + " ";
  text += r.dst.str();
  if (r.src.len != 0) text += " from " + prefix_text(r.src);
  if (r.nhid != 0) text += fmt::format(" nhid {}", r.nhid);
  const auto hop = [&](const NextHop6& nh) {
    if (!nh.encap.empty()) text += "  encap " + nh.encap;
    if (!nh.gateway.is_any()) text += " via " + nh.gateway.str();
    if (nh.oif != 0) text += " dev " + dev_text(nh.oif, names);
  };
  const bool one = r.nexthops.size() == 1;
  if (one) hop(r.nexthops[0]);
  if (r.protocol != 3) text += " proto " + rt_name(RtTable::protos, r.protocol);
  if (!r.prefsrc.is_any()) text += " src " + r.prefsrc.str();
  text += fmt::format(" metric {}", r.priority);
  if (one) add_flags(text, r.nexthops[0].flags);
  add_metrics(text, r.metrics);
  static constexpr std::array<std::string_view, 4> kPref{"medium", "high", "", "low"};
  text += fmt::format(" pref {}", kPref[r.pref % kPref.size()]);
  if (r.nexthops.size() > 1)
    for (const NextHop6& nh : r.nexthops) {
      text += " nexthop";
      hop(nh);
      text += fmt::format(" weight {}", nh.weight);
      add_flags(text, nh.flags);
    }
  return text;
}

std::string ip_text(const In6Addr& a, const DevNames& names) {
  struct Flag {
    std::uint32_t bit;
    std::string_view name;
  };
  // print_ifa_flags()
  static constexpr std::array<Flag, 10> kFlags{{{0x40, " tentative"},
                                                {0x01, " temporary"},
                                                {0x02, " nodad"},
                                                {0x04, " optimistic"},
                                                {0x08, " dadfailed"},
                                                {0x10, " home"},
                                                {0x20, " deprecated"},
                                                {0x100, " mngtmpaddr"},
                                                {0x200, " noprefixroute"},
                                                {0x800, " stable-privacy"}}};
  std::string text = dev_text(a.ifindex, names) + " inet6 " + a.local.str();
  if (a.peer != a.local) text += " peer " + a.peer.str();
  text += fmt::format("/{} scope {}", a.prefixlen, rt_name(RtTable::scopes, a.scope));
  for (const Flag& f : kFlags)
    if ((a.flags & f.bit) != 0) text += f.name;
  return text;
}

// As `bridge fdb` prints it.
std::string ip_text(const FdbEntry& e, const DevNames& names) {
  constexpr unsigned kNoarp = 0x40;  // NUD_NOARP, NUD_PERMANENT, NUD_REACHABLE
  constexpr unsigned kPermanent = 0x80;
  constexpr unsigned kReachable = 0x02;
  std::string text = e.lladdr.str() + " dev " + dev_text(e.port, names);
  if (e.vlan != 0) text += fmt::format(" vlan {}", e.vlan);
  if (e.remote) {
    const VxlanRdst& r = *e.remote;
    text += r.nexthop_id != 0 ? fmt::format(" nhid {}", r.nexthop_id)
            : r.ipv6          ? " dst IPv6"
                              : " dst " + r.dst.str();
    if (r.port != 0) text += fmt::format(" port {}", r.port);
    if (r.vni != VxlanRdst::kSameVni) text += fmt::format(" vni {}", r.vni);
    if (r.ifindex != 0) text += " via " + dev_text(r.ifindex, names);
    text += " self";
  } else {
    text += " master " + dev_text(e.table, names);
  }
  if ((e.state & kPermanent) != 0)
    text += " permanent";
  else if ((e.state & kNoarp) != 0)
    text += " static";
  else if ((e.state & kReachable) == 0 && e.state != 0)
    text += " stale";
  return text;
}

std::string ip_text(const Link& l, const DevNames& names) {
  struct Flag {
    std::uint32_t bit;
    std::string_view name;
  };
  static constexpr std::array<Flag, 17> kFlags{{{0x8, "LOOPBACK"},
                                                {0x2, "BROADCAST"},
                                                {0x10, "POINTOPOINT"},
                                                {0x1000, "MULTICAST"},
                                                {0x80, "NOARP"},
                                                {0x200, "ALLMULTI"},
                                                {0x100, "PROMISC"},
                                                {0x400, "MASTER"},
                                                {0x800, "SLAVE"},
                                                {0x4, "DEBUG"},
                                                {0x8000, "DYNAMIC"},
                                                {0x4000, "AUTOMEDIA"},
                                                {0x2000, "PORTSEL"},
                                                {0x20, "NOTRAILERS"},
                                                {0x1, "UP"},
                                                {0x10000, "LOWER_UP"},
                                                {0x20000, "DORMANT"}}};
  std::string text = fmt::format("{}: {}", l.ifindex, l.name);
  if (l.peer_ifindex != 0 || l.peer_in_other_netns) {
    if (l.peer_in_other_netns)
      text += fmt::format("@if{}", l.peer_ifindex);
    else if (l.peer_ifindex != l.ifindex)
      text += "@" + dev_text(l.peer_ifindex, names);
  }
  text += ": <";
  std::uint32_t flags = l.flags & ~kIffRunning;
  std::string list;
  if ((l.flags & kIffUp) && !(l.flags & kIffRunning)) list = "NO-CARRIER";
  for (const Flag& f : kFlags) {
    if (!(flags & f.bit)) continue;
    if (!list.empty()) list += ",";
    list += f.name;
    flags &= ~f.bit;
  }
  text += list + fmt::format("> mtu {}", l.mtu);
  if (!l.qdisc.empty()) text += " qdisc " + l.qdisc;
  if (l.master != 0) text += " master " + dev_text(l.master, names);
  if (!l.operstate.empty()) text += " state " + l.operstate;
  text += " mode DEFAULT group " + rt_name(RtTable::groups, l.group);
  if (l.txqlen != 0) text += fmt::format(" qlen {}", l.txqlen);
  return text;
}

std::string ip_text(const QdiscSpec& q, const DevNames& names) {
  if (q.text.starts_with("qdisc ")) return q.text;
  std::string text =
      fmt::format("qdisc {} {:x}: dev {}", q.kind, q.handle >> 16, dev_text(q.ifindex, names));
  if (q.parent == 0xffffffff)
    text += " root";
  else if (q.parent != 0)
    text += " parent " + classid_text(q.parent);
  return text + q.text;
}

}  // namespace txp
