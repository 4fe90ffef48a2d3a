// SPDX-License-Identifier: Apache-2.0
#include "mirror/sysctl_tree.h"

#include <algorithm>
#include <array>
#include <charconv>
#include <limits>
#include <optional>
#include <span>

#include <fmt/format.h>

namespace txp {

namespace {

std::string_view trim(std::string_view s) {
  const auto space = [](char c) { return c == ' ' || c == '\t' || c == '\n'; };
  while (!s.empty() && space(s.front())) s.remove_prefix(1);
  while (!s.empty() && space(s.back())) s.remove_suffix(1);
  return s;
}

std::string_view take_word(std::string_view& s, std::string_view separators = " \t") {
  s = trim(s);
  const std::size_t end = std::min(s.find_first_of(separators), s.size());
  const std::string_view word = s.substr(0, end);
  s.remove_prefix(std::min(end + 1, s.size()));
  return word;
}

// A decimal number that fits T; negative ones (a limit of -1) are taken modulo 2^n, as the kernel
// holds them.
template <typename T>
bool read_number(std::string_view s, T& out) {
  s = trim(s);
  if constexpr (std::is_same_v<T, bool>) {
    std::int64_t v = 0;
    const auto [end, error] = std::from_chars(s.data(), s.data() + s.size(), v);
    out = v != 0;
    return error == std::errc{} && end == s.data() + s.size();
  } else {
    if (s.starts_with('-')) {
      std::int64_t v = 0;
      const auto [end, error] = std::from_chars(s.data(), s.data() + s.size(), v);
      out = static_cast<T>(v);
      return error == std::errc{} && end == s.data() + s.size();
    }
    const auto [end, error] = std::from_chars(s.data(), s.data() + s.size(), out);
    return error == std::errc{} && end == s.data() + s.size();
  }
}

template <typename T>
bool read_list(std::string_view s, T* out, std::size_t n) {
  for (std::size_t i = 0; i < n; ++i)
    if (!read_number(take_word(s), out[i])) return false;
  return trim(s).empty();
}

// "8080,9000-9010".
bool read_ports(std::string_view s, std::vector<std::pair<std::uint16_t, std::uint16_t>>& out) {
  out.clear();
  s = trim(s);
  while (!s.empty()) {
    std::string_view range = take_word(s, ",");
    const std::size_t dash = range.find('-');
    std::pair<std::uint16_t, std::uint16_t> ports;
    if (!read_number(range.substr(0, dash), ports.first)) return false;
    ports.second = ports.first;
    if (dash != std::string_view::npos && !read_number(range.substr(dash + 1), ports.second))
      return false;
    if (ports.second < ports.first) return false;
    out.push_back(ports);
  }
  return true;
}

struct Global {
  std::string_view path;
  bool (*read)(std::string_view value, Sysctls& to);
};

template <auto Member>
bool scalar(std::string_view value, Sysctls& to) {
  return read_number(value, to.*Member);
}

constexpr auto kGlobals = std::to_array<Global>({
    {"net/core/wmem_default", scalar<&Sysctls::wmem_default>},
    {"net/core/wmem_max", scalar<&Sysctls::wmem_max>},
    {"net/core/rmem_default", scalar<&Sysctls::rmem_default>},
    {"net/core/rmem_max", scalar<&Sysctls::rmem_max>},
    {"net/core/optmem_max", scalar<&Sysctls::optmem_max>},
    {"net/core/dev_weight", scalar<&Sysctls::dev_weight>},
    {"net/core/dev_weight_tx_bias", scalar<&Sysctls::dev_weight_tx_bias>},
    {"net/core/default_qdisc",
     [](std::string_view v, Sysctls& to) {
       to.default_qdisc = trim(v);
       return !to.default_qdisc.empty() && to.default_qdisc.size() < 16;
     }},
    {"net/ipv4/ip_default_ttl", scalar<&Sysctls::ip_default_ttl>},
    {"net/ipv4/ip_no_pmtu_disc", scalar<&Sysctls::ip_no_pmtu_disc>},
    {"net/ipv4/route/min_pmtu", scalar<&Sysctls::min_pmtu>},
    {"net/ipv4/route/mtu_expires", scalar<&Sysctls::mtu_expires>},
    {"net/ipv4/route/min_adv_mss", scalar<&Sysctls::min_adv_mss>},
    {"net/ipv4/ip_forward", scalar<&Sysctls::ip_forward>},
    {"net/ipv4/ip_forward_use_pmtu", scalar<&Sysctls::ip_forward_use_pmtu>},
    {"net/ipv4/ip_nonlocal_bind", scalar<&Sysctls::ip_nonlocal_bind>},
    {"net/ipv4/ip_autobind_reuse", scalar<&Sysctls::ip_autobind_reuse>},
    {"net/ipv4/fwmark_reflect", scalar<&Sysctls::fwmark_reflect>},
    {"net/ipv4/ip_local_port_range",
     [](std::string_view v, Sysctls& to) { return read_list(v, to.ip_local_port_range, 2); }},
    {"net/ipv4/ip_local_reserved_ports",
     [](std::string_view v, Sysctls& to) { return read_ports(v, to.ip_local_reserved_ports); }},
    {"net/ipv4/ip_unprivileged_port_start", scalar<&Sysctls::ip_unprivileged_port_start>},
    {"net/ipv4/fib_multipath_hash_policy", scalar<&Sysctls::fib_multipath_hash_policy>},
    {"net/ipv4/fib_multipath_hash_fields", scalar<&Sysctls::fib_multipath_hash_fields>},
    {"net/ipv4/fib_multipath_hash_seed", scalar<&Sysctls::fib_multipath_hash_seed>},
    {"net/ipv4/fib_multipath_use_neigh", scalar<&Sysctls::fib_multipath_use_neigh>},
    {"net/ipv4/udp_mem",
     [](std::string_view v, Sysctls& to) { return read_list(v, to.udp_mem, 3); }},
    {"net/ipv4/udp_wmem_min", scalar<&Sysctls::udp_wmem_min>},
    {"net/ipv4/icmp_echo_ignore_all", scalar<&Sysctls::icmp_echo_ignore_all>},
    {"net/ipv4/tcp_ecn", scalar<&Sysctls::tcp_ecn>},
    {"net/ipv4/tcp_sack", scalar<&Sysctls::tcp_sack>},
    {"net/ipv4/tcp_timestamps", scalar<&Sysctls::tcp_timestamps>},
    {"net/ipv4/tcp_window_scaling", scalar<&Sysctls::tcp_window_scaling>},
    {"net/ipv4/tcp_workaround_signed_windows", scalar<&Sysctls::tcp_workaround_signed_windows>},
    {"net/ipv4/tcp_rmem",
     [](std::string_view v, Sysctls& to) { return read_list(v, to.tcp_rmem, 3); }},
    {"net/ipv6/bindv6only", scalar<&Sysctls::bindv6only>},
    {"net/ipv6/auto_flowlabels", scalar<&Sysctls::auto_flowlabels>},
    {"net/ipv6/flowlabel_state_ranges", scalar<&Sysctls::flowlabel_state_ranges>},
    {"net/ipv6/ip_nonlocal_bind", scalar<&Sysctls::ip6_nonlocal_bind>},
    {"net/ipv6/fwmark_reflect", scalar<&Sysctls::ip6_fwmark_reflect>},
    {"net/ipv6/fib_multipath_hash_policy", scalar<&Sysctls::ip6_multipath_hash_policy>},
    {"net/ipv6/fib_multipath_hash_fields", scalar<&Sysctls::ip6_multipath_hash_fields>},
    {"net/ipv6/route/mtu_expires", scalar<&Sysctls::ip6_mtu_expires>},
    {"net/ipv4/igmp_max_memberships", scalar<&Sysctls::igmp_max_memberships>},
    {"net/ipv4/igmp_max_msf", scalar<&Sysctls::igmp_max_msf>},
});

// Not sysctls: how the kernel was built, which its sockets showed (read_kernel.cc).
template <auto Member, std::uint32_t Low, std::uint32_t High>
bool built(std::string_view value, Sysctls& to) {
  std::uint32_t n = 0;
  if (!read_number(value, n) || n < Low || n > High) return false;
  to.*Member = n;
  return true;
}
constexpr auto kBuilt = std::to_array<Global>({
    {"built/hz", built<&Sysctls::hz, 1, 10'000>},
    {"built/sk_buff", built<&Sysctls::sk_buff, 128, 1024>},
    {"built/mip6", built<&Sysctls::mip6, 0, 1>},
    {"built/small_head", built<&Sysctls::skb_small_head, 128, 2048>},
});

constexpr std::string_view kGc = "net/ipv4/neigh/default/gc_thresh";
constexpr std::string_view kGc6 = "net/ipv6/neigh/default/gc_thresh";

struct Conf6 {
  std::string_view name;
  void (*set)(Inet6DevConf& conf, std::uint32_t value);
};
template <auto Member>
void put6(Inet6DevConf& conf, std::uint32_t value) {
  using T = std::remove_reference_t<decltype(conf.*Member)>;
  if constexpr (std::is_same_v<T, bool>)
    conf.*Member = value != 0;
  else
    conf.*Member = static_cast<T>(std::min<std::uint32_t>(value, std::numeric_limits<T>::max()));
}
constexpr auto kConf6 = std::to_array<Conf6>({
    {"disable_ipv6", put6<&Inet6DevConf::disable_ipv6>},
    {"forwarding", put6<&Inet6DevConf::forwarding>},
    {"hop_limit", put6<&Inet6DevConf::hop_limit>},
    {"mtu", put6<&Inet6DevConf::mtu>},
    {"use_tempaddr", put6<&Inet6DevConf::use_tempaddr>},
    {"optimistic_dad", put6<&Inet6DevConf::optimistic_dad>},
    {"use_optimistic", put6<&Inet6DevConf::use_optimistic>},
    {"use_oif_addrs_only", put6<&Inet6DevConf::use_oif_addrs_only>},
    {"ignore_routes_with_linkdown", put6<&Inet6DevConf::ignore_routes_with_linkdown>},
    {"ndisc_tclass", put6<&Inet6DevConf::ndisc_tclass>},
});

// How a device's value and that of `all` make one (include/linux/inetdevice.h).
enum class Fold : std::uint8_t { own, any, max, count };

struct Conf {
  std::string_view name;
  Fold fold;
  void (*set)(InDevConf& conf, std::uint32_t value);
};

template <auto Member>
void put(InDevConf& conf, std::uint32_t value) {
  using T = std::remove_reference_t<decltype(conf.*Member)>;
  if constexpr (std::is_same_v<T, bool>)
    conf.*Member = value != 0;
  else
    conf.*Member = static_cast<T>(std::min<std::uint32_t>(value, std::numeric_limits<T>::max()));
}

constexpr auto kConf = std::to_array<Conf>({
    {"forwarding", Fold::own, put<&InDevConf::forwarding>},
    {"rp_filter", Fold::max, put<&InDevConf::rp_filter>},
    {"accept_local", Fold::any, put<&InDevConf::accept_local>},
    {"route_localnet", Fold::any, put<&InDevConf::route_localnet>},
    {"ignore_routes_with_linkdown", Fold::any, put<&InDevConf::ignore_routes_with_linkdown>},
    {"proxy_arp", Fold::any, put<&InDevConf::proxy_arp>},
    {"arp_announce", Fold::max, put<&InDevConf::arp_announce>},
    {"arp_ignore", Fold::max, put<&InDevConf::arp_ignore>},
    {"arp_accept", Fold::max, put<&InDevConf::arp_accept>},
    {"arp_filter", Fold::any, put<&InDevConf::arp_filter>},
    {"disable_policy", Fold::any, put<&InDevConf::disable_policy>},
    {"promote_secondaries", Fold::any, put<&InDevConf::promote_secondaries>},
    {"src_valid_mark", Fold::any, put<&InDevConf::src_valid_mark>},
    {"accept_redirects", Fold::count, put<&InDevConf::accept_redirects>},
    {"shared_media", Fold::any, put<&InDevConf::shared_media>},
    {"secure_redirects", Fold::any, put<&InDevConf::secure_redirects>},
});

struct Neigh {
  std::string_view name;
  std::uint32_t NeighParms::* member;
  std::uint32_t unit;  // of the file, in ours
};

constexpr auto kNeigh = std::to_array<Neigh>({
    {"unres_qlen_bytes", &NeighParms::unres_qlen_bytes, 1},
    {"mcast_solicit", &NeighParms::mcast_solicit, 1},
    {"ucast_solicit", &NeighParms::ucast_solicit, 1},
    {"app_solicit", &NeighParms::app_solicit, 1},
    {"mcast_resolicit", &NeighParms::mcast_resolicit, 1},
    {"retrans_time_ms", &NeighParms::retrans_time_ms, 1},
    {"base_reachable_time_ms", &NeighParms::base_reachable_time_ms, 1},
    {"delay_first_probe_time", &NeighParms::delay_first_probe_time_ms, 1000},  // s
    {"gc_stale_time", &NeighParms::gc_stale_time_ms, 1000},                    // s
    {"locktime", &NeighParms::locktime_ms, 10},                                // USER_HZ
});

template <typename Table>
bool has_name(const Table& table, std::string_view wanted) {
  return std::ranges::any_of(table, [wanted](const auto& e) { return e.name == wanted; });
}

template <typename Table>
std::vector<std::string> names_of(const Table& table) {
  std::vector<std::string> all;
  for (const auto& e : table) all.emplace_back(e.name);
  return all;
}

}  // namespace

std::vector<std::string> SysctlTree::global_paths() {
  std::vector<std::string> all;
  for (const Global& g : kGlobals) all.emplace_back(g.path);
  for (int i = 1; i <= 3; ++i) all.push_back(fmt::format("{}{}", kGc, i));
  for (int i = 1; i <= 3; ++i) all.push_back(fmt::format("{}{}", kGc6, i));
  return all;
}
std::vector<std::string> SysctlTree::conf_names() { return names_of(kConf); }
std::vector<std::string> SysctlTree::conf6_names() { return names_of(kConf6); }
std::vector<std::string> SysctlTree::neigh_names() { return names_of(kNeigh); }

Result<void> SysctlTree::set(std::string_view path, std::string_view value) {
  const auto bad = [&] {
    return fail(fmt::format("sysctl {} has the value \"{}\"", path, value.substr(0, 80)));
  };
  for (const std::span<const Global> table : {std::span<const Global>(kGlobals), {kBuilt}}) {
    const auto g = std::ranges::find(table, path, &Global::path);
    if (g == table.end()) continue;
    Sysctls next = net_;
    if (!g->read(value, next)) return bad();
    net_ = std::move(next);
    return {};
  }
  for (const bool v6 : {false, true}) {
    const std::string_view gc = v6 ? kGc6 : kGc;
    if (!path.starts_with(gc)) continue;
    NeighGc& of = v6 ? gc6_ : gc_;
    const std::string_view which = path.substr(gc.size());
    std::uint32_t* to = which == "1"   ? &of.thresh1
                        : which == "2" ? &of.thresh2
                        : which == "3" ? &of.thresh3
                                       : nullptr;
    if (to != nullptr && !read_number(value, *to)) return bad();
    return {};
  }
  struct Dir {
    std::string_view path;
    ByDevice* to;
    bool known;
  };
  const auto leaf_of = [](std::string_view rest) {
    const std::size_t slash = rest.rfind('/');
    return slash == std::string_view::npos || slash == 0 || slash > 15 ? std::string_view()
                                                                       : rest.substr(slash + 1);
  };
  const std::string_view leaf = leaf_of(path.substr(std::min(path.size(), path.find('/', 9) + 1)));
  for (const Dir& dir : {Dir{"net/ipv4/conf/", &conf_, has_name(kConf, leaf)},
                         Dir{"net/ipv4/neigh/", &neigh_, has_name(kNeigh, leaf)},
                         Dir{"net/ipv6/conf/", &conf6_, has_name(kConf6, leaf)},
                         Dir{"net/ipv6/neigh/", &neigh6_, has_name(kNeigh, leaf)}}) {
    if (!path.starts_with(dir.path)) continue;
    if (!dir.known) return {};
    const std::string_view rest = path.substr(dir.path.size());
    std::uint32_t number = 0;
    if (!read_number(value, number)) return bad();
    const std::string dev(rest.substr(0, rest.rfind('/')));
    (*dir.to)[dev][std::string(leaf)] = number;
    if (dir.to != &conf6_ || dev != "all") return {};
    if (leaf == "forwarding") net_.ip6_forwarding = number != 0;
    if (leaf == "hop_limit") net_.ip6_hop_limit = static_cast<std::uint8_t>(number);
    if (leaf == "use_optimistic") net_.use_optimistic = number != 0;
  }
  return {};
}

std::uint32_t SysctlTree::conf(const std::string& dev, std::string_view name) const {
  auto at = conf_.find(dev);
  if (at == conf_.end()) at = conf_.find("default");
  if (at == conf_.end()) return 0;
  const auto value = at->second.find(name);
  return value == at->second.end() ? 0 : value->second;
}

InDevConf SysctlTree::in_dev_conf(const std::string& dev) const {
  InDevConf c;
  const auto all_values = conf_.find("all");
  for (const Conf& entry : kConf) {
    std::uint32_t own = conf(dev, entry.name);
    std::uint32_t all = 0;
    if (all_values != conf_.end())
      if (const auto v = all_values->second.find(entry.name); v != all_values->second.end())
        all = v->second;
    if (entry.fold == Fold::max) own = std::max(own, all);
    if (entry.fold == Fold::any) own = own != 0 || all != 0;
    if (entry.fold == Fold::count) own = (own != 0 ? 1U : 0U) + (all != 0 ? 1U : 0U);
    entry.set(c, own);
  }
  return c;
}

NeighParms SysctlTree::parms_of(const ByDevice& neigh, const std::string& dev) {
  NeighParms p;
  auto at = neigh.find(dev);
  if (at == neigh.end()) at = neigh.find("default");
  if (at == neigh.end()) return p;
  for (const Neigh& n : kNeigh)
    if (const auto v = at->second.find(n.name); v != at->second.end())
      p.*n.member = static_cast<std::uint32_t>(
          std::min<std::uint64_t>(std::uint64_t{v->second} * n.unit, 0xffffffff));
  return p;
}

NeighParms SysctlTree::neigh_parms(const std::string& dev) const { return parms_of(neigh_, dev); }
NeighParms SysctlTree::neigh6_parms(const std::string& dev) const { return parms_of(neigh6_, dev); }

Inet6DevConf SysctlTree::inet6_conf(const std::string& dev) const {
  Inet6DevConf c;
  auto at = conf6_.find(dev);
  if (at == conf6_.end()) at = conf6_.find("default");
  if (at == conf6_.end()) return c;
  for (const Conf6& entry : kConf6)
    if (const auto v = at->second.find(entry.name); v != at->second.end()) entry.set(c, v->second);
  return c;
}

void SysctlTree::forget_device(const std::string& dev) {
  if (dev == "all" || dev == "default") return;
  conf_.erase(dev);
  neigh_.erase(dev);
  conf6_.erase(dev);
  neigh6_.erase(dev);
}

}  // namespace txp
