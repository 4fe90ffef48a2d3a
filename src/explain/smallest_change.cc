// SPDX-License-Identifier: Apache-2.0
// What one would change to let the datagram of an explanation pass.
#include <fmt/format.h>

#include <algorithm>

#include "explain/report.h"
#include "observe/trace.h"

namespace txp {
namespace {

std::string field_text(const ReportObject& o, std::string_view key) {
  for (const auto& [k, v] : o.fields)
    if (k == key) {
      if (const auto* words = std::get_if<std::string>(&v)) return *words;
      if (const auto* n = std::get_if<std::int64_t>(&v)) return std::to_string(*n);
    }
  return {};
}

const ReportStage* stopper(const Explanation& x) {
  const auto last = std::find_if(x.stages.rbegin(), x.stages.rend(),
                                 [&](const ReportStage& s) { return s.stage == x.dropped_at; });
  return last == x.stages.rend() ? nullptr : &*last;
}

// The newest object of a kind that any stage named.
const ReportObject* newest(const Explanation& x, std::string_view kind) {
  for (auto s = x.stages.rbegin(); s != x.stages.rend(); ++s)
    for (auto o = s->by.rbegin(); o != s->by.rend(); ++o)
      if (o->kind == kind) return &*o;
  return nullptr;
}

bool begins_with_one_of(std::string_view words, std::initializer_list<std::string_view> all) {
  return std::ranges::any_of(all, [&](std::string_view w) { return words.starts_with(w); });
}

std::string without_table(std::string words) {  // "prohibit 10.9.0.0/16 (table main)"
  if (const auto at = words.find(" (table "); at != std::string::npos) words.resize(at);
  return words;
}

std::string bind_change(const Explanation& x) {
  if (x.failed_call == "setsockopt(SO_BINDTODEVICE)") return "bind to a device that exists";
  if (x.failed_call != "bind") return {};
  switch (x.error->code) {
    case EADDRNOTAVAIL: return "bind an address of this host, or ip addr add it to a device";
    case EADDRINUSE: return "bind another port";
    case EACCES:
      return "bind a port from net.ipv4.ip_unprivileged_port_start on, or have "
             "CAP_NET_BIND_SERVICE";
    default: return {};
  }
}

std::string route_change(const Explanation& x, const ReportStage& s) {
  for (const ReportObject& o : s.by) {
    if (o.kind == "sockopt" && o.text == "SO_BROADCAST is not set")
      return "set SO_BROADCAST on the socket";
    if (o.kind == "route" &&
        begins_with_one_of(o.text, {"prohibit ", "unreachable ", "blackhole ", "throw "}))
      return fmt::format("ip route del {} table {}", without_table(o.text), field_text(o, "table"));
    if (o.kind == "rule" && (o.text.ends_with(" prohibit") || o.text.ends_with(" unreachable") ||
                             o.text.ends_with(" blackhole")))
      return fmt::format("ip rule del priority {}", field_text(o, "priority"));
    if (o.kind == "nexthop" && o.text.find("blackhole") != std::string::npos)
      return fmt::format("ip nexthop replace id {} via GATEWAY dev DEV", field_text(o, "id"));
  }
  if (x.error && (x.error->code == ENETUNREACH || x.error->code == EHOSTUNREACH))
    return fmt::format("ip {}route add {} via GATEWAY dev DEV", x.flow.dst6 ? "-6 " : "",
                       x.flow.dst_text());
  return {};
}

std::string size_change(const Explanation& x) {
  constexpr std::size_t kLongest = 65507;  // bytes of payload that IPv4 and UDP leave
  if (x.flow.len > kLongest) return fmt::format("send at most {} bytes", kLongest);
  for (auto s = x.stages.rbegin(); s != x.stages.rend(); ++s)
    for (const auto& [key, value] : s->out)
      if (const auto* mtu = std::get_if<std::int64_t>(&value); key == "mtu" && mtu != nullptr)
        return fmt::format("send at most {} bytes, or let it be fragmented: IP_MTU_DISCOVER want",
                           *mtu - 28);
  return {};
}

// The rule that drops it goes, or, where a chain's policy does, one that accepts it comes.
std::string firewall_change(const Explanation& x, const ReportStage& s) {
  for (const ReportObject& o : s.by)  // tried out, rule by rule
    if (o.kind == kWouldPass && o.text.starts_with("nft delete rule")) return o.text;
  for (auto o = s.by.rbegin(); o != s.by.rend(); ++o) {
    if (o->kind == "nft-rule" && !field_text(*o, "handle").empty())
      return fmt::format("nft delete rule {} {} {} handle {}", field_text(*o, "family"),
                         field_text(*o, "table"), field_text(*o, "chain"),
                         field_text(*o, "handle"));
    if (!field_text(*o, "chain").empty())
      return fmt::format("nft add rule {} {} {} ip daddr {} {} dport {} accept",
                         field_text(*o, "family"), field_text(*o, "table"), field_text(*o, "chain"),
                         x.flow.dst_text(), name(x.flow.proto), x.flow.dport);
  }
  return {};
}

}  // namespace

std::string smallest_change(const Explanation& x) {
  if (x.verdict != Verdict::dropped && x.verdict != Verdict::error) return {};
  if (!x.failed_call.empty()) return bind_change(x);
  const ReportStage* s = stopper(x);
  if (s == nullptr) return {};
  switch (s->stage) {
    case Stage::udp_sendmsg:
    case Stage::ip_route_output_flow:
      if (x.error && x.error->code == EMSGSIZE) return size_change(x);
      return route_change(x, *s);
    case Stage::ip_make_skb: return size_change(x);
    case Stage::nf_local_out:
    case Stage::nf_post_routing: return firewall_change(x, *s);
    case Stage::neigh_output:
    case Stage::neigh_resolve_output:
      if (const ReportObject* n = newest(x, "neigh"))
        return fmt::format("{0} must answer ARP on {1}, or ip neigh replace {0} lladdr MAC dev {1}",
                           field_text(*n, "dst"), field_text(*n, "dev"));
      return {};
    case Stage::dev_queue_xmit:
    case Stage::dev_hard_start_xmit:
      if (const ReportObject* l = newest(x, "link");
          l != nullptr && l->text.find("UP") == l->text.npos)
        return fmt::format("ip link set {} up", field_text(*l, "dev"));
      return {};
    default: return {};
  }
}

}  // namespace txp
