// SPDX-License-Identifier: Apache-2.0
#include "watch/report.h"

#include <fmt/chrono.h>
#include <fmt/format.h>

#include <array>
#include <cstdlib>
#include <ctime>
#include <nlohmann/json.hpp>

#include "base/errno.h"
#include "watch/flow.h"

namespace txp {
namespace {

std::string handle_text(std::uint32_t handle) {
  return handle == 0 ? "0:" : fmt::format("{:x}:", handle >> 16);
}

// An event's value in words: ("error", "ENETUNREACH").
struct Said {
  std::string_view key;
  std::string word;
};

std::string nud_name(int state) {
  constexpr std::array<std::string_view, 8> kNames = {
      "INCOMPLETE", "REACHABLE", "STALE", "DELAY", "PROBE", "FAILED", "NOARP", "PERMANENT"};
  for (std::size_t i = 0; i < kNames.size(); ++i)
    if (state == 1 << i) return std::string(kNames[i]);
  return state == 0 ? "NONE" : fmt::format("{:#x}", state);
}

std::optional<Said> said(const txp_watch_event& e) {
  switch (e.point) {
    case TXP_POINT_sock_send_length:
    case TXP_POINT_inet_sk_error_report:
    case TXP_POINT_fib_table_lookup:
      if (e.value < 0) return Said{"error", std::string(Errno{-e.value}.name())};
      return std::nullopt;
    case TXP_POINT_net_dev_xmit:
      if (e.value == 16) return Said{"error", "NETDEV_TX_BUSY"};
      if (e.value != 0) return Said{"error", fmt::format("{}", e.value)};
      return std::nullopt;
    case TXP_POINT_neigh_update:
    case TXP_POINT_neigh_timer_handler: return Said{"nud", nud_name(e.value)};
    case TXP_POINT_neigh_event_send_done: return Said{"result", e.value == 0 ? "send" : "queued"};
    case TXP_POINT_neigh_event_send_dead: return Said{"result", "dead"};
    default: return std::nullopt;
  }
}

bool has_qdisc(const txp_watch_event& e) {
  return e.point == TXP_POINT_qdisc_enqueue || e.point == TXP_POINT_qdisc_dequeue;
}

std::string_view c_string(const char* text, std::size_t room) {
  return {text, ::strnlen(text, room)};
}

template <typename T>
Json or_null(const std::optional<T>& v) {
  return v ? Json(*v) : Json(nullptr);
}

std::string duration(std::uint64_t ns) {
  if (ns < 10'000) return fmt::format("{} ns", ns);
  if (ns < 10'000'000) return fmt::format("{:.1f} us", static_cast<double>(ns) / 1e3);
  return fmt::format("{:.1f} ms", static_cast<double>(ns) / 1e6);
}

Json hist_json(const WatchHist& h) {
  return {{"from", h.from},
          {"to", h.to},
          {"count", h.count},
          {"mean", h.sum / h.count},
          {"p50", h.percentile(0.5)},
          {"p90", h.percentile(0.9)},
          {"p99", h.percentile(0.99)},
          {"max", h.max}};
}

Json device_json(const WatchTotals::Device& d) {
  Json qdiscs = Json::array();
  for (const auto& q : d.qdiscs)
    qdiscs.push_back({{"handle", handle_text(q.handle)},
                      {"enqueued", q.counted.enqueued},
                      {"packets", q.counted.dequeued},
                      {"bytes", q.counted.dequeued_bytes},
                      {"backlog_bytes", q.counted.backlog_bytes},
                      {"backlog_packets", q.counted.backlog_packets},
                      {"max_backlog_bytes", q.counted.max_bytes},
                      {"max_backlog_packets", q.counted.max_packets}});
  return {{"ifindex", d.ifindex},       {"netns", d.netns},       {"queued", d.queued_packets},
          {"tx_packets", d.tx_packets}, {"tx_bytes", d.tx_bytes}, {"tx_busy", d.tx_busy},
          {"tx_dropped", d.drops},      {"qdiscs", qdiscs}};
}

}  // namespace

std::optional<WatchFlow> watch_flow(const txp_watch_event& e) {
  auto flow = read_flow({e.hdr, std::min<std::size_t>(e.hdr_len, sizeof e.hdr)});
  // A socket that is not connected knows no destination.
  if (flow && flow->dst == "0.0.0.0" && flow->dport == 0) {
    flow->dst.clear();
    flow->dport.reset();
  }
  return flow;
}

std::string watch_word(const txp_watch_event& e) {
  const auto s = said(e);
  return s ? fmt::format("{} {}", s->key, s->word) : std::string();
}

Json watch_event_json(const WatchEvent& e) {
  const txp_watch_event& r = *e.raw;
  const auto or_nothing = [](const std::string& s) { return s.empty() ? Json(nullptr) : Json(s); };
  Json flow = nullptr;
  if (const auto f = watch_flow(r)) {
    flow = {{"proto", f->proto},
            {"src", f->src},
            {"sport", or_null(f->sport)},
            {"dst", f->dst},
            {"dport", or_null(f->dport)}};
    if (f->fragment != 0 || f->more_fragments) flow["fragment"] = f->fragment;
  }
  const std::string dev(c_string(r.dev, sizeof r.dev));
  Json j = {{"t", r.t},
            {"stage", e.stage ? Json(name(*e.stage)) : Json(nullptr)},
            {"event", e.point->event},
            {"skb", r.skb != 0 ? Json(fmt::format("{:#x}", r.skb)) : Json(nullptr)},
            {"packet", r.packet != 0 ? Json(r.packet) : Json(nullptr)},
            {"pid", r.pid},
            {"comm", c_string(r.comm, sizeof r.comm)},
            {"netns", r.netns},
            {"dev", or_nothing(dev)},
            {"queue", r.point == TXP_POINT_fib_table_lookup ? Json(nullptr) : Json(r.queue)},
            {"len", r.len},
            {"mark", r.mark},
            {"flow", std::move(flow)},
            {"reason", or_nothing(e.reason)},
            {"location", or_nothing(e.location)},
            {"since_ns", r.since != 0 && r.t >= r.since ? Json(r.t - r.since) : Json(nullptr)}};
  if (const auto s = said(r)) j[std::string(s->key)] = s->word;
  if (r.point == TXP_POINT_fib_table_lookup) j["table"] = r.queue;
  if (has_qdisc(r)) {
    j["qdisc"] = handle_text(r.handle);
    j["backlog_packets"] = r.backlog_packets;
    j["backlog_bytes"] = r.backlog_bytes;
  }
  return j;
}

std::string watch_event_text(const WatchEvent& e, std::int64_t wall_offset) {
  const txp_watch_event& r = *e.raw;
  const std::int64_t wall = static_cast<std::int64_t>(r.t) + wall_offset;
  const std::time_t seconds = wall / 1'000'000'000;
  std::tm tm{};
  ::localtime_r(&seconds, &tm);
  std::string line = fmt::format("{:%H:%M:%S}.{:09} ", tm, wall % 1'000'000'000);
  line += fmt::format("{:<21}", e.stage                            ? name(*e.stage)
                                : r.point == TXP_POINT_consume_skb ? "(freed)"
                                                                   : "?");
  if (r.packet != 0) line += fmt::format(" #{:x}", r.packet);
  if (const auto dev = c_string(r.dev, sizeof r.dev); !dev.empty()) line += fmt::format(" {}", dev);
  if (const auto f = watch_flow(r)) line += " " + flow_text(*f);
  if (r.len != 0) line += fmt::format(" len {}", r.len);
  if (r.mark != 0) line += fmt::format(" mark {:#x}", r.mark);
  if (r.point == TXP_POINT_fib_table_lookup) line += fmt::format(" table {}", r.queue);
  if (has_qdisc(r))
    line += fmt::format(" qdisc {} backlog {}b {}p", handle_text(r.handle), r.backlog_bytes,
                        r.backlog_packets);
  if (const auto s = said(r)) line += fmt::format(" {} {}", s->key, s->word);
  if (!e.reason.empty()) line += fmt::format(" DROP {} at {}", e.reason, e.location);
  line += fmt::format(" [{}] {} ({})", e.point->event, r.pid, c_string(r.comm, sizeof r.comm));
  if (r.since != 0 && r.t >= r.since) line += fmt::format(" +{}", duration(r.t - r.since));
  for (char& c : line)
    if (static_cast<unsigned char>(c) < 0x20) c = '?';
  return line + "\n";
}

Json watch_totals_json(const WatchTotals& t) {
  Json stages = Json::object(), devices = Json::object(), unseen = Json::array();
  for (const StageInfo& i : kPath) {
    const auto& s = t.stages[static_cast<std::size_t>(i.stage)];
    if (!s.seen && s.drops.empty() && s.errors.empty() && s.events.empty()) {
      unseen.push_back(i.name);
      continue;
    }
    Json ns = {{"p50", nullptr}, {"p99", nullptr}};
    for (const WatchHist& h : t.latency)
      if (h.to == i.name && h.from != kMarkNames[TXP_MARK_call])
        ns = {{"p50", h.percentile(0.5)}, {"p99", h.percentile(0.99)}};
    stages[std::string(i.name)] = {{"packets", s.seen ? Json(s.packets) : Json(nullptr)},
                                   {"bytes", s.seen ? Json(s.bytes) : Json(nullptr)},
                                   {"drops", s.drops},
                                   {"errors", s.errors},
                                   {"events", Json::object()},
                                   {"ns", ns}};
    for (const auto& [event, n] : s.events)
      stages[std::string(i.name)]["events"][std::string(event)] = n;
  }
  for (const auto& d : t.devices) devices[d.name] = device_json(d);
  Json drops = Json::array(), latency = Json::array();
  for (const WatchDrop& d : t.drops)
    drops.push_back({{"reason", d.reason},
                     {"stage", d.stage ? Json(name(*d.stage)) : Json(nullptr)},
                     {"location", d.location},
                     {"dev", d.dev.empty() ? Json(nullptr) : Json(d.dev)},
                     {"packets", d.packets},
                     {"bytes", d.bytes}});
  for (const WatchHist& h : t.latency) latency.push_back(hist_json(h));
  return {{"source", "kernel"}, {"stages", stages}, {"unseen", unseen},
          {"devices", devices}, {"drops", drops},   {"elsewhere", t.elsewhere},
          {"latency", latency}, {"lost", t.lost}};
}

std::string watch_totals_text(const WatchTotals& t, WatchTables tables) {
  std::string out;
  if (tables.stages) {
    out += fmt::format("{:<24}{:>12}{:>16}  {}\n", "stage", "packets", "bytes", "drops, errors");
    for (const StageInfo& i : kPath) {
      const auto& s = t.stages[static_cast<std::size_t>(i.stage)];
      if (s.packets == 0 && s.drops.empty() && s.errors.empty() && s.events.empty()) continue;
      std::string more;
      const auto add = [&](std::string_view what, std::uint64_t n) {
        more += fmt::format("{}{} {}", more.empty() ? "  " : ", ", what, n);
      };
      for (const auto& [reason, n] : s.drops) add(reason, n);
      for (const auto& [error, n] : s.errors) add(error, n);
      for (const auto& [event, n] : s.events) add(event, n);
      out += fmt::format("{:<24}{:>12}{:>16}{}\n", i.name, s.packets, s.bytes, more);
    }
    for (const auto& d : t.devices) {
      out += fmt::format("device {}: {} packets, {} bytes to the driver\n", d.name, d.tx_packets,
                         d.tx_bytes);
      for (const auto& q : d.qdiscs)
        out += fmt::format("  qdisc {} {} in, {} out, backlog {}b {}p, at most {}b {}p\n",
                           handle_text(q.handle), q.counted.enqueued, q.counted.dequeued,
                           q.counted.backlog_bytes, q.counted.backlog_packets, q.counted.max_bytes,
                           q.counted.max_packets);
    }
  }
  if (tables.drops) {
    out += fmt::format("{:>10}  {:<20}{:<22}{:<10}{}\n", "dropped", "reason", "stage", "dev",
                       "location");
    for (const WatchDrop& d : t.drops)
      out += fmt::format("{:>10}  {:<20}{:<22}{:<10}{}\n", d.packets, d.reason,
                         d.stage ? name(*d.stage) : "?", d.dev.empty() ? "-" : d.dev, d.location);
  }
  if (tables.latency) {
    out += fmt::format("{:<20} {:<20} {:>10} {:>10} {:>10} {:>10} {:>10}\n", "from", "to",
                       "packets", "p50", "p90", "p99", "max");
    for (const WatchHist& h : t.latency)
      out += fmt::format("{:<20} {:<20} {:>10} {:>10} {:>10} {:>10} {:>10}\n", h.from, h.to,
                         h.count, duration(h.percentile(0.5)), duration(h.percentile(0.9)),
                         duration(h.percentile(0.99)), duration(h.max));
  }
  if (t.lost != 0) out += fmt::format("lost: {} events or counts\n", t.lost);
  return out;
}

}  // namespace txp
