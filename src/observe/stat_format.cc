// SPDX-License-Identifier: Apache-2.0
#include <fmt/format.h>

#include <algorithm>
#include <nlohmann/json.hpp>

#include "observe/stat.h"
#include "path.h"

namespace txp {
namespace {

const Json kNone = Json::object();

// A member, or an empty object: a report of another version may lack it.
const Json& member(const Json& j, const char* key) {
  const auto it = j.is_object() ? j.find(key) : j.end();
  return it != j.end() && it->is_structured() ? *it : kNone;
}

std::uint64_t number(const Json& j, const char* key) {
  const auto it = j.is_object() ? j.find(key) : j.end();
  return it != j.end() && it->is_number_unsigned() ? it->get<std::uint64_t>() : 0;
}

std::string text(const Json& j, const char* key) {
  const auto it = j.is_object() ? j.find(key) : j.end();
  return it != j.end() && it->is_string() ? it->get<std::string>() : std::string();
}

std::string nstat(const Json& report) {
  std::string out = "#kernel\n";
  for (const auto& [group, counters] : member(report, "snmp").items())
    for (const auto& [name, value] : counters.items())
      if (value.is_number_unsigned() && value.get<std::uint64_t>() != 0)
        out += fmt::format("{:<32}{:<16}{:>6.1f}\n", group + name, value.get<std::uint64_t>(), 0.0);
  return out;
}

std::string tc(const Json& report) {
  std::string out;
  for (const auto& [dev, counters] : member(report, "devices").items())
    for (const Json& q : member(counters, "qdiscs")) {
      const std::string parent = text(q, "parent");
      out += fmt::format("qdisc {} {} dev {} {}{}\n", text(q, "kind"), text(q, "handle"), dev,
                         parent == "root" || parent == "ingress" ? "" : "parent ", parent);
      out += fmt::format(" Sent {} bytes {} pkt (dropped {}, overlimits {} requeues {}) \n",
                         number(q, "bytes"), number(q, "packets"), number(q, "drops"),
                         number(q, "overlimits"), number(q, "requeues"));
      out += fmt::format(" backlog {}b {}p requeues {}\n", number(q, "backlog_bytes"),
                         number(q, "backlog_packets"), number(q, "requeues"));
    }
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

// The text exposition format: a label's value with its quotes.
std::string label(std::string_view value) {
  std::string out = "\"";
  for (const char c : value) {
    if (c == '"' || c == '\\') out += '\\';
    if (c == '\n')
      out += "\\n";
    else
      out += c;
  }
  return out + "\"";
}

class Metrics {
 public:
  void begin(std::string_view name, std::string_view type, std::string_view help) {
    name_ = name;
    out_ += fmt::format("# HELP {0} {1}\n# TYPE {0} {2}\n", name, help, type);
  }
  void value(std::string_view labels, std::uint64_t n) {
    out_ += fmt::format("{}{{{}}} {}\n", name_, labels, n);
  }
  void value(std::uint64_t n) { out_ += fmt::format("{} {}\n", name_, n); }
  std::string take() { return std::move(out_); }

 private:
  std::string name_;
  std::string out_;
};

void stage_metrics(Metrics& m, const Json& stages) {
  const auto of = [&](std::string_view name) -> const Json& {
    return member(stages, std::string(name).c_str());
  };
  m.begin("txpath_stage_packets_total", "counter",
          "Packets that came to a stage of the send path.");
  for (const StageInfo& s : kPath)
    if (stages.contains(s.name)) m.value("stage=" + label(s.name), number(of(s.name), "packets"));
  m.begin("txpath_stage_bytes_total", "counter", "Bytes of the packets that came to a stage.");
  for (const StageInfo& s : kPath)
    if (stages.contains(s.name)) m.value("stage=" + label(s.name), number(of(s.name), "bytes"));
  m.begin("txpath_stage_drops_total", "counter", "Packets dropped at a stage, by the reason.");
  for (const StageInfo& s : kPath)
    for (const auto& [reason, n] : member(of(s.name), "drops").items())
      if (n.is_number_unsigned())
        m.value(fmt::format("stage={},reason={}", label(s.name), label(reason)),
                n.get<std::uint64_t>());
}

constexpr const char* kQdiscCounters[] = {"bytes", "packets", "drops", "overlimits", "requeues"};
constexpr const char* kQdiscGauges[] = {"backlog_bytes", "backlog_packets"};
constexpr const char* kDeviceCounters[] = {"tx_packets", "tx_bytes", "tx_dropped", "tx_errors",
                                           "rx_packets", "rx_bytes", "rx_dropped"};

void device_metrics(Metrics& m, const Json& devices) {
  for (const char* name : kDeviceCounters) {
    m.begin(fmt::format("txpath_device_{}_total", name), "counter",
            fmt::format("{} as in /proc/net/dev.", name));
    for (const auto& [dev, counters] : devices.items())
      m.value("device=" + label(dev), number(counters, name));
  }
  m.begin("txpath_driver_total", "counter", "The driver's own counters, as ethtool -S has them.");
  for (const auto& [dev, counters] : devices.items())
    for (const auto& [name, n] : member(counters, "driver").items())
      if (n.is_number_unsigned())
        m.value(fmt::format("device={},name={}", label(dev), label(name)), n.get<std::uint64_t>());
  const auto qdiscs = [&](const char* name) {
    for (const auto& [dev, counters] : devices.items())
      for (const Json& q : member(counters, "qdiscs"))
        m.value(
            fmt::format("device={},kind={},handle={},parent={}", label(dev), label(text(q, "kind")),
                        label(text(q, "handle")), label(text(q, "parent"))),
            number(q, name));
  };
  for (const char* name : kQdiscCounters) {
    m.begin(fmt::format("txpath_qdisc_{}_total", name), "counter",
            fmt::format("{} of a discipline, as in tc -s qdisc.", name));
    qdiscs(name);
  }
  for (const char* name : kQdiscGauges) {
    m.begin(fmt::format("txpath_qdisc_{}", name), "gauge",
            fmt::format("{} of a discipline, as in tc -s qdisc.", name));
    qdiscs(name);
  }
}

std::string prometheus(const Json& report) {
  Metrics m;
  stage_metrics(m, member(report, "stages"));
  m.begin("txpath_snmp_total", "counter", "Protocol counters of /proc/net/snmp and netstat.");
  for (const auto& [group, counters] : member(report, "snmp").items())
    for (const auto& [name, n] : counters.items())
      if (n.is_number_unsigned())
        m.value(fmt::format("group={},name={}", label(group), label(name)), n.get<std::uint64_t>());
  device_metrics(m, member(report, "devices"));
  if (const Json& c = member(report, "conservation"); !c.empty()) {
    for (const char* name : {"sent", "delivered", "dropped"}) {
      m.begin(fmt::format("txpath_packets_{}_total", name), "counter",
              fmt::format("Packets {}: sent = delivered + dropped + queued.", name));
      m.value(number(c, name));
    }
    m.begin("txpath_packets_queued", "gauge", "Packets that wait now.");
    m.value(number(c, "queued"));
  }
  return m.take();
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
  return prometheus(report);
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
