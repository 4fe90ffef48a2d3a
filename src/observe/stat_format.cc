// SPDX-License-Identifier: Apache-2.0
#include <fmt/format.h>

#include <algorithm>
#include <nlohmann/json.hpp>

#include "observe/report_fields.h"
#include "observe/stat.h"

namespace txp {
namespace {

std::string nstat(const Json& report) {
  std::string out = "#kernel\n";
  for (const auto& [group, counters] : member(report, "snmp").items())
    for (const auto& [name, value] : counters.items())
      if (value.is_number_unsigned() && value.get<std::uint64_t>() != 0)
        out += fmt::format("{:<32}{:<16}{:>6.1f}\n", group + name, value.get<std::uint64_t>(), 0.0);
  return out;
}

std::string tc_counts(const Json& j) {
  std::string out = fmt::format(
      " Sent {} bytes {} pkt (dropped {}, overlimits {} requeues {}) \n backlog {}b {}p requeues "
      "{}\n",
      number(j, "bytes"), number(j, "packets"), number(j, "drops"), number(j, "overlimits"),
      number(j, "requeues"), number(j, "backlog_bytes"), number(j, "backlog_packets"),
      number(j, "requeues"));
  std::string more;
  for (const auto& [name, value] : member(j, "xstats").items())
    if (value.is_number_unsigned())
      more += fmt::format(" {}: {}", name, value.get<std::uint64_t>());
  return more.empty() ? out : out + more + "\n";
}

// tc -s qdisc, then tc -s class.
std::string tc(const Json& report) {
  std::string out;
  const auto place = [](const Json& j) {
    const std::string parent = text(j, "parent");
    return (parent == "root" || parent == "ingress" ? "" : "parent ") + parent;
  };
  for (const auto& [dev, counters] : member(report, "devices").items())
    for (const Json& q : member(counters, "qdiscs"))
      out += fmt::format("qdisc {} {} dev {} {}\n", text(q, "kind"), text(q, "handle"), dev,
                         place(q)) +
             tc_counts(q);
  for (const auto& [dev, counters] : member(report, "devices").items())
    for (const Json& c : member(counters, "classes"))
      out += fmt::format("class {} {} dev {} {}\n", text(c, "kind"), text(c, "classid"), dev,
                         place(c)) +
             tc_counts(c);
  return out;
}

std::string port_text(std::uint64_t port) { return port == 0 ? "*" : std::to_string(port); }

std::string ss(const Json& report) {
  std::string out = fmt::format("{:<8}{:<8}{:<8}{:>24} {:>24}\n", "State", "Recv-Q", "Send-Q",
                                "Local Address:Port", "Peer Address:Port");
  for (const Json& s : member(report, "sockets"))
    out += fmt::format("{:<8}{:<8}{:<8}{:>24} {:>24}\n",
                       number(s, "peer_port") != 0 ? "ESTAB" : "UNCONN", number(s, "rx_queue"),
                       number(s, "tx_queue"),
                       text(s, "local") + ":" + port_text(number(s, "local_port")),
                       text(s, "peer") + ":" + port_text(number(s, "peer_port")));
  return out;
}

std::string ethtool(const Json& report) {
  std::string out;
  for (const auto& [dev, counters] : member(report, "devices").items()) {
    out += fmt::format("NIC statistics for {}:\n", dev);
    for (const auto& [name, value] : counters.items())
      if (value.is_number_unsigned())
        out += fmt::format("     {}: {}\n", name, value.get<std::uint64_t>());
    for (const auto& [name, value] : member(counters, "driver").items())
      if (value.is_number_unsigned())
        out += fmt::format("     {}: {}\n", name, value.get<std::uint64_t>());
  }
  return out;
}

}  // namespace

std::optional<StatFormat> find_stat_format(std::string_view name) {
  const auto it = std::ranges::find(kStatFormats, name);
  if (it == kStatFormats.end()) return std::nullopt;
  return static_cast<StatFormat>(it - kStatFormats.begin());
}

std::string format_stat(const Json& report, StatFormat format) {
  switch (format) {
    case StatFormat::nstat: return nstat(report);
    case StatFormat::tc: return tc(report);
    case StatFormat::ss: return ss(report);
    case StatFormat::ethtool: return ethtool(report);
    case StatFormat::prometheus: break;
  }
  return prometheus_text(report);
}

std::string stat_table(const Json& report) {
  std::string out;
  const Json& stages = member(report, "stages");
  if (!stages.empty())
    out += fmt::format("{:<24}{:>12}{:>16}  {}\n", "stage", "packets", "bytes", "drops");
  for (const auto& [stage, c] : stages.items()) {
    if (number(c, "packets") == 0 && member(c, "drops").empty()) continue;
    std::string drops;
    for (const auto& [reason, n] : member(c, "drops").items())
      if (n.is_number_unsigned())
        drops += fmt::format("{}{} {}", drops.empty() ? "" : ", ", reason, n.get<std::uint64_t>());
    out += fmt::format("{:<24}{:>12}{:>16}{}{}\n", stage, number(c, "packets"), number(c, "bytes"),
                       drops.empty() ? "" : "  ", drops);
  }
  if (const Json& c = member(report, "conservation"); !c.empty()) {
    const std::uint64_t sent = number(c, "sent"), delivered = number(c, "delivered"),
                        dropped = number(c, "dropped"), queued = number(c, "queued");
    out += fmt::format("conservation: {} sent {} {} delivered + {} dropped + {} queued\n", sent,
                       sent == delivered + dropped + queued ? "=" : "IS NOT", delivered, dropped,
                       queued);
  }
  return out;
}

}  // namespace txp
