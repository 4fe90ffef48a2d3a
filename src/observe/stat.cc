// SPDX-License-Identifier: Apache-2.0
#include "observe/stat.h"

#include <fmt/format.h>

#include <algorithm>
#include <charconv>
#include <nlohmann/json.hpp>

#include "dev/netdevice.h"
#include "net.h"
#include "observe/counters.h"
#include "observe/histogram.h"
#include "observe/latency.h"
#include "observe/trace_log.h"
#include "sched/classful.h"
#include "sched/clsact.h"
#include "socket/sock.h"
#include "udp/udp_table.h"

namespace txp {
namespace {

// A histogram: what adds up (buckets by the ns where they begin), and what people read of it.
Json latency_json(const HistogramTotals& h) {
  Json buckets = Json::object();
  for (std::size_t b = 0; b < histogram::kBuckets; ++b)
    if (h.at(b) != 0) buckets[std::to_string(histogram::lower_bound(b))] = h.at(b);
  if (buckets.empty()) return Json{{"p50", nullptr}, {"p99", nullptr}};
  return Json{{"p50", h.quantile(0.5)},
              {"p99", h.quantile(0.99)},
              {"count", h.count()},
              {"sum", h.sum()},
              {"buckets", std::move(buckets)}};
}

Json stages_json(const CounterTotals& totals, const LatencyTotals& latency) {
  Json stages = Json::object();
  for (const StageInfo& s : kPath) {
    const CounterTotals::Stage& c = totals.stages[static_cast<std::size_t>(s.stage)];
    Json drops = Json::object();
    for (std::size_t r = 0; r < kDropReasonCount; ++r)
      if (c.drops[r] != 0) drops[std::string(kDropReasons[r].name)] = c.drops[r];
    stages[std::string(s.name)] =
        Json{{"packets", c.packets},
             {"bytes", c.bytes},
             {"drops", std::move(drops)},
             {"ns", latency_json(latency.stages[static_cast<std::size_t>(s.stage)])}};
  }
  return stages;
}

Json snmp_json(const CounterTotals& totals) {
  Json snmp = Json::object();
  for (std::size_t i = 0; i < kSnmpCount; ++i)
    snmp[std::string(kSnmp[i].group)][std::string(kSnmp[i].name)] = totals.snmp[i];
  return snmp;
}

// The reasons that occurred, by name.
template <std::size_t kCount>
Json reasons_json(const std::array<std::string_view, kCount>& names,
                  const std::array<std::uint64_t, kCount>& counts) {
  Json reasons = Json::object();
  for (std::size_t i = 0; i < kCount; ++i)
    if (counts[i] != 0) reasons[std::string(names[i])] = counts[i];
  return reasons;
}

Json plans_json(const CounterTotals& totals) {
  return Json{{"flown", totals.flown},
              {"walked", totals.walked},
              {"invalidated", totals.invalidated()},
              {"walked_by", reasons_json(kWalkNames, totals.walked_by)},
              {"invalidated_by", reasons_json(kBasisNames, totals.invalidated_by)}};
}

std::string handle_text(std::uint32_t handle) { return fmt::format("{:x}:", handle >> 16); }

std::string parent_text(std::uint32_t parent) {
  constexpr std::uint32_t kRoot = 0xffffffff;  // TC_H_ROOT
  if (parent == kRoot) return "root";
  const std::uint32_t minor = parent & 0xffff;
  return fmt::format("{:x}:{}", parent >> 16, minor != 0 ? fmt::format("{:x}", minor) : "");
}

Json xstats_json(const std::vector<Qdisc::Xstat>& xstats) {
  Json x = Json::object();
  for (const Qdisc::Xstat& s : xstats) x[std::string(s.name)] = s.value->get();
  return x;
}

Json class_json(const TcClass& c) {
  Json j{{"classid", parent_text(c.spec.classid)},
         {"parent", parent_text(c.spec.parent)},
         {"kind", c.spec.kind}};
  const bool own = c.stats == TcClass::Stats::own;
  const Qdisc* leaf = c.stats != TcClass::Stats::none ? c.leaf.get() : nullptr;
  const auto of_leaf = [&](auto count) { return leaf != nullptr ? count(*leaf) : 0; };
  j["bytes"] = own ? c.bytes.get() : of_leaf([](auto& q) { return q.stats.bytes.get(); });
  j["packets"] = own ? c.packets.get() : of_leaf([](auto& q) { return q.stats.packets.get(); });
  j["drops"] = own ? c.drops.get() : of_leaf([](auto& q) { return q.stats.drops.get(); });
  j["overlimits"] =
      own ? c.overlimits.get() : of_leaf([](auto& q) { return q.stats.overlimits.get(); });
  j["backlog_bytes"] = of_leaf([](auto& q) { return std::uint64_t{q.backlog()}; });
  j["backlog_packets"] = of_leaf([](auto& q) { return std::uint64_t{q.qlen()}; });
  j["xstats"] = xstats_json(c.xstats);
  return j;
}

Json qdisc_json(const Qdisc& q, std::span<const std::shared_ptr<Qdisc>> children) {
  const auto total = [&](auto count) {
    std::uint64_t sum = count(q);
    for (const auto& child : children) sum += count(*child);
    return sum;
  };
  return Json{{"handle", handle_text(q.spec.handle)},
              {"parent", parent_text(q.spec.parent)},
              {"kind", q.spec.kind},
              {"bytes", total([](const Qdisc& d) { return d.stats.bytes.get(); })},
              {"packets", total([](const Qdisc& d) { return d.stats.packets.get(); })},
              {"drops", total([](const Qdisc& d) { return d.stats.drops.get(); })},
              {"overlimits", total([](const Qdisc& d) { return d.stats.overlimits.get(); })},
              {"requeues", total([](const Qdisc& d) { return d.stats.requeues.get(); })},
              {"backlog_bytes", total([](const Qdisc& d) { return std::uint64_t{d.backlog()}; })},
              {"backlog_packets", total([](const Qdisc& d) { return std::uint64_t{d.qlen()}; })},
              {"xstats", xstats_json(q.xstats)}};
}

// net.rtnl held.
Json device_json(const NetDevice& dev) {
  std::uint64_t packets = 0, bytes = 0, dropped = dev.tx_dropped.load(), errors = 0;
  for (const auto& txq : dev.tx) {
    packets += txq->tx_packets();
    bytes += txq->tx_bytes();
    dropped += txq->tx_dropped.load();
    errors += txq->tx_errors.load();
  }
  // /sys/class/net/DEV/queues/tx-N: byte_queue_limits and tx_timeout.
  Json queues = Json::array();
  for (const auto& txq : dev.tx)
    queues.push_back(Json{{"queue", fmt::format("tx-{}", txq->index)},
                          {"packets", txq->tx_packets()},
                          {"bytes", txq->tx_bytes()},
                          {"tx_timeout", txq->trans_timeout.load()},
                          {"limit", std::uint64_t{txq->dql.limit()}},
                          {"inflight", std::uint64_t{txq->dql.inflight()}}});
  Json qdiscs = Json::array();
  const std::span all(dev.qdiscs);
  for (std::size_t i = 0; i < all.size(); ++i) {
    // mq has no counters of its own: mq_dump() sums its children's.
    const bool sums = i == 0 && all[i]->spec.kind == "mq";
    qdiscs.push_back(qdisc_json(*all[i], sums ? all.subspan(1) : all.first(0)));
  }
  // Below the roots: every class, and what has a handle (the kernel hides default leaves too).
  Json classes = Json::array();
  for (const auto& root : dev.qdiscs) {
    qdisc_walk(*root, [&](Qdisc& q) {
      if (&q != root.get() && q.spec.handle != 0) qdiscs.push_back(qdisc_json(q, {}));
      if (const auto* classful = dynamic_cast<const ClassfulQdisc*>(&q))
        for (const auto& c : classful->classes()) classes.push_back(class_json(*c));
    });
  }
  if (const Clsact* c = dev.clsact.get()) {
    qdiscs.push_back(Json{{"handle", handle_text(c->spec.handle)},
                          {"parent", "ingress"},
                          {"kind", "clsact"},
                          {"bytes", c->bytes.load()},
                          {"packets", c->packets.load()},
                          {"drops", c->drops.load()},
                          {"overlimits", 0},
                          {"requeues", 0},
                          {"backlog_bytes", 0},
                          {"backlog_packets", 0},
                          {"xstats", Json::object()}});
  }
  Json driver = Json::object();
  if (dev.driver)
    for (const auto& [name, value] : dev.driver->stats()) driver[name] = value;
  return Json{{"tx_packets", packets},
              {"tx_bytes", bytes},
              {"tx_dropped", dropped},
              {"tx_errors", errors},
              {"rx_packets", dev.rx_packets.load()},
              {"rx_bytes", dev.rx_bytes.load()},
              {"rx_dropped", dev.rx_dropped.load()},
              {"driver", std::move(driver)},
              {"qdiscs", std::move(qdiscs)},
              {"classes", std::move(classes)},
              {"queues", std::move(queues)}};
}

Json socket_json(const Sock& sk) {
  return Json{{"local", sk.inet_rcv_saddr.str()},
              {"local_port", sk.inet_num},
              {"peer", sk.inet_daddr.str()},
              {"peer_port", sk.inet_dport},
              {"tx_queue", sk.wmem_alloc.load() - 1},
              {"rx_queue", sk.rmem_alloc.load()},
              {"drops", sk.drops.load()}};
}

// What tells an array's objects apart.
std::string key_of(const Json& element) {
  std::string key;
  for (const char* field : {"handle", "classid", "parent", "kind", "queue"})
    if (const auto it = element.find(field); it != element.end()) key += it->dump();
  return key;
}

void add_array(Json& sum, const Json& other) {
  for (const Json& theirs : other) {
    const std::string key = theirs.is_object() ? key_of(theirs) : std::string();
    const auto same = std::ranges::find_if(sum, [&](const Json& ours) {
      return !key.empty() && ours.is_object() && key_of(ours) == key;
    });
    if (same == sum.end())
      sum.push_back(theirs);
    else
      add_report(*same, theirs);
  }
}

void tell_quantiles(Json& ns, const HistogramTotals& h) {
  ns["p50"] = h.quantile(0.5);
  ns["p99"] = h.quantile(0.99);
}

}  // namespace

HistogramTotals histogram_of(const Json& ns) {
  HistogramTotals h;
  const auto buckets = ns.is_object() ? ns.find("buckets") : ns.end();
  if (buckets == ns.end() || !buckets->is_object()) return h;
  for (const auto& [begin, n] : buckets->items()) {
    std::uint64_t value = 0;
    const auto [end, error] = std::from_chars(begin.data(), begin.data() + begin.size(), value);
    if (error == std::errc() && *end == '\0' && n.is_number_unsigned())
      h.add(histogram::bucket_of(value), n.get<std::uint64_t>());
  }
  h.add_sum(ns.value("sum", std::uint64_t{0}));
  return h;
}

Json stat_report(Net& net) {
  const CounterTotals totals = net.totals();
  const LatencyTotals latency = net.latency();
  Json devices = Json::object();
  Json sockets = Json::array();
  {
    const std::lock_guard guard(net.rtnl);
    for (const NetDevice* dev : net.dev->all()) devices[dev->name()] = device_json(*dev);
  }
  for (const Sock* sk : net.udp->all()) sockets.push_back(socket_json(*sk));
  Json report{{"source", "txpath"},
              {"stages", stages_json(totals, latency)},
              {"snmp", snmp_json(totals)},
              {"ns", latency_json(latency.call)},
              {"devices", std::move(devices)},
              {"sockets", std::move(sockets)},
              {"fallback", Json::object()},
              {"plans", plans_json(totals)},
              {"conservation",
               {{"sent", totals.sent},
                {"delivered", totals.delivered},
                {"dropped", totals.dropped},
                {"queued", totals.queued}}}};
  if (net.trace_log != nullptr) report["traces"] = net.trace_log->recent();
  return report;
}

void add_report(Json& sum, const Json& other) {
  if (sum.is_null()) {
    sum = other;
  } else if (sum.is_object() && other.is_object()) {
    for (const auto& [key, value] : other.items()) add_report(sum[key], value);
    if (const auto buckets = sum.find("buckets"); buckets != sum.end() && buckets->is_object())
      tell_quantiles(sum, histogram_of(sum));
  } else if (sum.is_array() && other.is_array()) {
    add_array(sum, other);
  } else if (sum.is_number_unsigned() && other.is_number_unsigned()) {
    sum = sum.get<std::uint64_t>() + other.get<std::uint64_t>();
  }
}

}  // namespace txp
