// SPDX-License-Identifier: Apache-2.0
#include <fmt/format.h>

#include <nlohmann/json.hpp>

#include "observe/histogram.h"
#include "observe/report_fields.h"
#include "observe/stat.h"
#include "path.h"

namespace txp {
namespace {

// A label's value with its quotes.
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
  explicit Metrics(const std::string& source) : source_("source=" + label(source)) {}
  void begin(std::string_view name, std::string_view type, std::string_view help) {
    name_ = name;
    out_ += fmt::format("# HELP {0} {1}\n# TYPE {0} {2}\n", name, help, type);
  }
  void value(std::string_view labels, std::uint64_t n) { value("", labels, n); }
  void value(std::string_view suffix, std::string_view labels, std::uint64_t n) {
    out_ += fmt::format("{}{}{{{}{}{}}} {}\n", name_, suffix, source_, labels.empty() ? "" : ",",
                        labels, n);
  }
  void seconds(std::string_view suffix, std::string_view labels, std::uint64_t ns) {
    out_ += fmt::format("{}{}{{{}{}{}}} {}\n", name_, suffix, source_, labels.empty() ? "" : ",",
                        labels, static_cast<double>(ns) / 1e9);
  }
  std::string take() { return std::move(out_); }

 private:
  const std::string source_;
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
  m.begin("txpath_drops_total", "counter", "Packets dropped at a stage, by the reason.");
  for (const StageInfo& s : kPath)
    for (const auto& [reason, n] : member(of(s.name), "drops").items())
      if (n.is_number_unsigned())
        m.value(fmt::format("stage={},reason={}", label(s.name), label(reason)),
                n.get<std::uint64_t>());
}

// node_exporter's name of a counter, and ours in the report.
// A histogram of seconds, a bucket an octave of ns, from 32 ns on.
void latency_metrics(Metrics& m, const std::string& labels, const Json& ns) {
  const HistogramTotals h = histogram_of(ns);
  const std::string comma = labels.empty() ? "" : ",";
  std::uint64_t below = 0;
  std::size_t bucket = 0;
  for (unsigned octave = histogram::kLinearBits; octave <= histogram::kOctaves - 8; ++octave) {
    for (; histogram::lower_bound(bucket) < std::uint64_t{1} << octave; ++bucket)
      below += h.at(bucket);
    m.value("_bucket",
            fmt::format("{}{}le=\"{}\"", labels, comma,
                        static_cast<double>(std::uint64_t{1} << octave) / 1e9),
            below);
  }
  m.value("_bucket", labels + comma + "le=\"+Inf\"", h.count());
  m.seconds("_sum", labels, h.sum());
  m.value("_count", labels, h.count());
}

struct Counter {
  const char* metric;
  const char* key;
  const char* type;
  const char* help;
};

constexpr Counter kDeviceCounters[] = {
    {"node_network_transmit_packets_total", "tx_packets", "counter", "As in /proc/net/dev."},
    {"node_network_transmit_bytes_total", "tx_bytes", "counter", "As in /proc/net/dev."},
    {"node_network_transmit_drop_total", "tx_dropped", "counter", "As in /proc/net/dev."},
    {"node_network_transmit_errs_total", "tx_errors", "counter", "As in /proc/net/dev."},
    {"node_network_receive_packets_total", "rx_packets", "counter", "As in /proc/net/dev."},
    {"node_network_receive_bytes_total", "rx_bytes", "counter", "As in /proc/net/dev."},
    {"node_network_receive_drop_total", "rx_dropped", "counter", "As in /proc/net/dev."},
};

// Of a device's root; the others are under txpath_qdisc_*, so that sums stay sums.
constexpr Counter kQdiscCounters[] = {
    {"qdisc_bytes_total", "bytes", "counter", "As in tc -s qdisc."},
    {"qdisc_packets_total", "packets", "counter", "As in tc -s qdisc."},
    {"qdisc_drops_total", "drops", "counter", "As in tc -s qdisc."},
    {"qdisc_overlimits_total", "overlimits", "counter", "As in tc -s qdisc."},
    {"qdisc_requeues_total", "requeues", "counter", "As in tc -s qdisc."},
    {"qdisc_current_queue_length", "backlog_packets", "gauge", "Packets that wait now."},
    {"qdisc_backlog", "backlog_bytes", "gauge", "Bytes that wait now."},
};

void qdisc_metrics(Metrics& m, const Json& devices, const Counter& c, bool root) {
  bool begun = false;
  for (const auto& [dev, counters] : devices.items())
    for (const Json& q : member(counters, "qdiscs")) {
      if ((text(q, "parent") == "root") != root) continue;
      if (!begun) m.begin(fmt::format("{}_{}", root ? "node" : "txpath", c.metric), c.type, c.help);
      begun = true;
      std::string labels = fmt::format("device={},kind={}", label(dev), label(text(q, "kind")));
      if (!root)
        labels +=
            fmt::format(",handle={},parent={}", label(text(q, "handle")), label(text(q, "parent")));
      m.value(labels, number(q, c.key));
    }
}

void device_metrics(Metrics& m, const Json& devices) {
  for (const Counter& c : kDeviceCounters) {
    m.begin(c.metric, c.type, c.help);
    for (const auto& [dev, counters] : devices.items())
      m.value("device=" + label(dev), number(counters, c.key));
  }
  m.begin("txpath_driver_total", "counter", "The driver's own counters, as ethtool -S has them.");
  for (const auto& [dev, counters] : devices.items())
    for (const auto& [name, n] : member(counters, "driver").items())
      if (n.is_number_unsigned())
        m.value(fmt::format("device={},name={}", label(dev), label(name)), n.get<std::uint64_t>());
  for (const bool root : {true, false})
    for (const Counter& c : kQdiscCounters) qdisc_metrics(m, devices, c, root);
}

}  // namespace

std::string prometheus_text(const Json& report) {
  Metrics m(text(report, "source"));
  stage_metrics(m, member(report, "stages"));
  for (const auto& [group, counters] : member(report, "snmp").items())
    for (const auto& [name, n] : counters.items())
      if (n.is_number_unsigned()) {
        m.begin(fmt::format("node_netstat_{}_{}", group, name), "untyped",
                fmt::format("Statistic {}{}.", group, name));
        m.value("", n.get<std::uint64_t>());
      }
  device_metrics(m, member(report, "devices"));
  if (const Json& ns = member(report, "ns"); ns.contains("buckets")) {
    m.begin("txpath_latency_seconds", "histogram", "From the send call to the driver.");
    latency_metrics(m, "", ns);
  }
  bool begun = false;
  for (const auto& [stage, s] : member(report, "stages").items())
    if (const Json& ns = member(s, "ns"); ns.contains("buckets")) {
      if (!begun)
        m.begin("txpath_stage_latency_seconds", "histogram",
                "From a packet's coming to a stage to its coming to the next.");
      begun = true;
      latency_metrics(m, "stage=" + label(stage), ns);
    }
  if (const Json& c = member(report, "conservation"); !c.empty()) {
    for (const char* name : {"sent", "delivered", "dropped"}) {
      m.begin(fmt::format("txpath_packets_{}_total", name), "counter",
              fmt::format("Packets {}: sent = delivered + dropped + queued.", name));
      m.value("", number(c, name));
    }
    m.begin("txpath_packets_queued", "gauge", "Packets that wait now.");
    m.value("", number(c, "queued"));
  }
  return m.take();
}

}  // namespace txp
