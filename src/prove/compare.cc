// SPDX-License-Identifier: Apache-2.0
#include "prove/compare.h"

#include <fmt/format.h>

#include <algorithm>
#include <nlohmann/json.hpp>
#include <utility>

#include "explain/report.h"

namespace txp {
namespace {

// The kernel is watched at every device, also where a frame is handed on to another.
std::vector<ReportFrame> predicted_frames(const Explanation& x) {
  std::vector<ReportFrame> all = x.frames;
  all.insert(all.end(), x.inner_frames.begin(), x.inner_frames.end());
  return all;
}

std::string errno_text(const std::optional<Errno>& e, const std::string& call) {
  if (!e) return "sent";
  return call.empty() ? std::string(e->name()) : fmt::format("{} of {}", e->name(), call);
}

class Comparison {
 public:
  explicit Comparison(Proof& p) : p_(p), x_(p.predicted), o_(p.observed) {}
  void run();

 private:
  std::size_t predicted_count(Stage s) const {
    return static_cast<std::size_t>(std::ranges::count(x_.stages, s, &ReportStage::stage));
  }
  std::vector<const SeenEvent*> events(txp_watch_point point) const {
    std::vector<const SeenEvent*> all;
    for (const SeenEvent& e : o_.events)
      if (e.point == point) all.push_back(&e);
    return all;
  }
  std::vector<const SeenEvent*> drops(Stage s) const {
    std::vector<const SeenEvent*> all;
    for (const SeenEvent* e : events(TXP_POINT_kfree_skb))
      if (e->stage == s) all.push_back(e);
    return all;
  }
  std::string predicted_words(Stage s) const;
  ProofRow row(Stage s) const;
  void route(ProofRow& r) const;
  void packets(ProofRow& r, txp_watch_point point) const;
  void drop(ProofRow& r) const;
  void frames();
  void differ(std::string what) {
    if (p_.first_difference.empty()) p_.first_difference = std::move(what);
  }

  Proof& p_;
  const Explanation& x_;
  const Observation& o_;
};

std::string Comparison::predicted_words(Stage s) const {
  const std::size_t n = predicted_count(s);
  if (n == 0) return "";
  const auto first = std::ranges::find(x_.stages, s, &ReportStage::stage);
  std::string words = n == 1 ? "1 packet" : fmt::format("{} packets", n);
  if (s < Stage::ip_make_skb)
    words = first->len != 0 ? fmt::format("{} bytes", first->len) : "passed";
  for (const ReportStage& r : x_.stages)
    if (r.stage == s && r.result != "ok") {
      words += ", " + r.result;
      break;
    }
  return words;
}

// The device, and the table, of the last lookup that found something.
void Comparison::route(ProofRow& r) const {
  const auto lookups = events(TXP_POINT_fib_table_lookup);
  const auto stage = std::ranges::find(x_.stages, Stage::ip_route_output_flow, &ReportStage::stage);
  std::string dev;
  std::optional<std::int64_t> table;
  if (stage != x_.stages.end()) {
    for (const auto& [key, value] : stage->out)
      if (const auto* text = std::get_if<std::string>(&value); text != nullptr && key == "dev")
        dev = *text;
    for (const ReportObject& by : stage->by)
      for (const auto& [key, value] : by.fields)
        if (const auto* n = std::get_if<std::int64_t>(&value);
            n != nullptr && by.kind == "route" && key == "table")
          table = *n;
    if (!dev.empty()) r.predicted = "dev " + dev;
    if (table) r.predicted += fmt::format(", table {}", *table);
  }
  const auto found =
      std::ranges::find_if(lookups, [](const SeenEvent* e) { return e->value == 0; });
  if (found == lookups.end()) {
    if (!lookups.empty()) r.observed = std::string(Errno{-lookups.front()->value}.name());
    return;
  }
  const SeenEvent& seen = **found;
  r.observed = fmt::format("dev {}, table {}", seen.dev, seen.table);
  // Local and main are one trie until a rule is added, and a local address's route names its own
  // device where the packet goes out by lo.
  constexpr std::int64_t kMain = 254, kLocal = 255;
  const bool local = dev == "lo";
  const bool same_table = !table || *table == seen.table ||
                          (*table >= kMain && *table <= kLocal && seen.table >= kMain);
  if (!dev.empty()) r.agrees = (local || dev == seen.dev) && same_table;
}

void Comparison::packets(ProofRow& r, txp_watch_point point) const {
  const auto seen = events(point);
  const std::size_t n = predicted_count(r.stage);
  if (seen.empty() && n == 0) return;
  std::string devs;
  for (const SeenEvent* e : seen)
    if (devs.find(e->dev) == std::string::npos) devs += (devs.empty() ? "" : ", ") + e->dev;
  r.observed = fmt::format("{} packet{}{}{}", seen.size(), seen.size() == 1 ? "" : "s",
                           devs.empty() ? "" : ", dev ", devs);
  // A packet that found its discipline empty passes it by, and no tracepoint tells.
  if (point == TXP_POINT_qdisc_enqueue && seen.empty()) {
    r.observed = "passed by, or none";
    return;
  }
  // What the device segments counts once in the kernel; the frames are compared instead.
  const bool below = r.stage >= Stage::dev_hard_start_xmit;
  if (below && o_.superframe && seen.size() <= n) return;
  r.agrees = seen.size() == n;
}

// A drop that was seen, or foreseen, at this stage.
void Comparison::drop(ProofRow& r) const {
  const auto seen = drops(r.stage);
  const bool foreseen = x_.dropped_at == r.stage && x_.reason;
  if (seen.empty() && !foreseen) return;
  const std::string reason = foreseen ? std::string(name(*x_.reason)) : "";
  if (foreseen) r.predicted += ", drop " + reason;
  // A reason of ours has no name in the kernel.
  const bool ours = foreseen && kDropReasons[static_cast<std::size_t>(*x_.reason)].ours;
  if (!seen.empty())
    r.observed +=
        fmt::format("{}drop {}{}", r.observed.empty() ? "" : ", ", seen.front()->reason,
                    seen.front()->location.empty() ? "" : " at " + seen.front()->location);
  const bool same = foreseen && !seen.empty() && (ours || seen.front()->reason == reason);
  r.agrees = r.agrees.value_or(true) && same;
}

ProofRow Comparison::row(Stage s) const {
  ProofRow r{s, predicted_words(s), "", std::nullopt};
  switch (s) {
    case Stage::sock_sendmsg: {
      const auto calls = events(TXP_POINT_sock_send_length);
      if (!x_.failed_call.empty()) break;
      r.predicted = x_.error ? std::string(x_.error->name()) : fmt::format("{} bytes", x_.flow.len);
      if (calls.empty()) break;
      const SeenEvent& e = *calls.front();
      r.observed =
          e.value < 0 ? std::string(Errno{-e.value}.name()) : fmt::format("{} bytes", e.len);
      if (x_.verdict != Verdict::unknown) r.agrees = r.observed == r.predicted;
      break;
    }
    case Stage::ip_route_output_flow: route(r); break;
    case Stage::neigh_resolve_output: {
      const auto asked = events(TXP_POINT_neigh_event_send_done);
      if (asked.empty()) break;
      const bool queued = asked.front()->value != 0;
      r.observed = queued ? "queued" : "resolved";
      const bool foreseen = x_.verdict == Verdict::queued;
      if (x_.verdict == Verdict::sent || foreseen) r.agrees = queued == foreseen;
      break;
    }
    case Stage::dev_queue_xmit: packets(r, TXP_POINT_net_dev_queue); break;
    case Stage::qdisc_enqueue: packets(r, TXP_POINT_qdisc_enqueue); break;
    case Stage::dev_hard_start_xmit: packets(r, TXP_POINT_net_dev_start_xmit); break;
    case Stage::ndo_start_xmit: packets(r, TXP_POINT_net_dev_xmit); break;
    default:  // functions' entries, where the kernel allows them
      for (const WatchPoint& p : kWatchPoints)
        if (p.stage == s && p.kind == PointKind::entry)
          if (const auto seen = events(p.point); !seen.empty()) {
            r.observed = fmt::format("{} time{}", seen.size(), seen.size() == 1 ? "" : "s");
            // The tap may be our own capture.
            if (s != Stage::dev_queue_xmit_nit) r.agrees = predicted_count(s) != 0;
          }
  }
  drop(r);
  return r;
}

void Comparison::frames() {
  const std::vector<ReportFrame> foreseen = predicted_frames(x_);
  p_.seen = o_.frames;
  for (ReportFrame& f : p_.seen)
    for (const ReportFrame& predicted : foreseen)
      if (predicted.dev == f.dev) {
        f.link_type = predicted.link_type;
        f.encaps = predicted.encaps;
      }
  mask_frames(p_.seen, x_.masked);
  // What waits for a neighbour may leave later.
  if (x_.verdict == Verdict::queued && x_.frames.empty()) return;
  std::vector<std::string> devices;
  for (const std::vector<ReportFrame>* all : {&foreseen, &std::as_const(p_.seen)})
    for (const ReportFrame& f : *all)
      if (std::ranges::find(devices, f.dev) == devices.end()) devices.push_back(f.dev);
  p_.frames_agree = true;
  for (const std::string& dev : devices) {
    const auto of = [&](const std::vector<ReportFrame>& all) {
      std::vector<const ReportFrame*> some;
      for (const ReportFrame& f : all)
        if (f.dev == dev) some.push_back(&f);
      return some;
    };
    const auto predicted = of(foreseen), seen = of(p_.seen);
    for (std::size_t i = 0; i < std::min(predicted.size(), seen.size()); ++i) {
      const auto& a = predicted[i]->bytes;
      const auto& b = seen[i]->bytes;
      if (a == b) continue;
      const auto at = static_cast<std::size_t>(std::ranges::mismatch(a, b).in1 - a.begin());
      p_.frames_agree = false;
      differ(at < std::min(a.size(), b.size())
                 ? fmt::format("frame {} on {}, byte {}: {:02x} predicted, {:02x} sent", i + 1, dev,
                               at, a[at], b[at])
                 : fmt::format("frame {} on {}: {} bytes predicted, {} sent", i + 1, dev, a.size(),
                               b.size()));
    }
    if (predicted.size() != seen.size()) {
      p_.frames_agree = false;
      differ(
          fmt::format("frames on {}: {} predicted, {} sent", dev, predicted.size(), seen.size()));
    }
  }
}

void Comparison::run() {
  p_.unknown = x_.verdict == Verdict::unknown;
  for (const StageInfo& i : kPath) {
    ProofRow r = row(i.stage);
    if (r.predicted.empty() && r.observed.empty()) continue;
    if (r.agrees == false)
      differ(fmt::format("{}: {} predicted, {} observed", i.name,
                         r.predicted.empty() ? "nothing" : r.predicted,
                         r.observed.empty() ? "nothing" : r.observed));
    p_.rows.push_back(std::move(r));
  }
  if (!p_.unknown) {
    p_.errno_agrees = x_.error == o_.error && x_.failed_call == o_.failed_call;
    if (!*p_.errno_agrees)
      differ(fmt::format("the call: {} predicted, {} observed",
                         errno_text(x_.error, x_.failed_call),
                         errno_text(o_.error, o_.failed_call)));
    frames();
  } else {
    p_.seen = o_.frames;
  }
}

std::string hex_text(const std::vector<std::uint8_t>& bytes) {
  std::string text;
  for (const std::uint8_t b : bytes) fmt::format_to(std::back_inserter(text), "{:02x}", b);
  return text;
}

Json frames_json(const std::vector<ReportFrame>& frames) {
  Json all = Json::array();
  for (const ReportFrame& f : frames)
    all.push_back({{"dev", f.dev}, {"len", f.bytes.size()}, {"hex", hex_text(f.bytes)}});
  return all;
}

std::string_view verdict_word(const Proof& p) {
  return p.unknown ? "unknown" : p.agrees() ? "agrees" : "differs";
}

}  // namespace

Proof compare(Explanation predicted, Observation observed) {
  Proof p;
  p.predicted = std::move(predicted);
  p.observed = std::move(observed);
  Comparison(p).run();
  return p;
}

Json proof_json(const Proof& p) {
  const auto or_null = [](const auto& v) { return v ? Json(*v) : Json(nullptr); };
  const auto words = [](const std::string& s) { return s.empty() ? Json(nullptr) : Json(s); };
  Json stages = Json::array(), unknown = Json::array();
  for (const ProofRow& r : p.rows) {
    std::vector<std::string> by;  // what decided, in the prediction
    for (const ReportStage& stage : p.predicted.stages)
      if (stage.stage == r.stage)
        for (const ReportObject& o : stage.by)
          if (const std::string line = object_line(o); std::ranges::find(by, line) == by.end())
            by.push_back(line);
    stages.push_back({{"stage", name(r.stage)},
                      {"predicted", words(r.predicted)},
                      {"observed", words(r.observed)},
                      {"agrees", or_null(r.agrees)},
                      {"by", by}});
  }
  for (const ReportObject& o : p.predicted.unknown) unknown.push_back(object_line(o));
  const auto error = [](const std::optional<Errno>& e) {
    return e ? Json(e->name()) : Json(nullptr);
  };
  return {{"flow", flow_line(p.predicted)},
          {"result", verdict_word(p)},
          {"first_difference", words(p.first_difference)},
          {"stages", stages},
          {"errno",
           {{"predicted", error(p.predicted.error)},
            {"observed", error(p.observed.error)},
            {"agrees", or_null(p.errno_agrees)}}},
          {"frames",
           {{"predicted", frames_json(predicted_frames(p.predicted))},
            {"observed", frames_json(p.seen)},
            {"agrees", or_null(p.frames_agree)}}},
          {"masked", p.predicted.masked},
          {"predicted_verdict", name(p.predicted.verdict)},
          {"unknown", unknown}};
}

std::string proof_text(const Proof& p) {
  std::string out = flow_line(p.predicted) + "\n";
  out += fmt::format("  {:<22}{:<38}{:<38}\n", "stage", "predicted", "the kernel");
  for (const ProofRow& r : p.rows)
    out += fmt::format("{} {:<22}{:<38}{}\n",
                       !r.agrees   ? " "
                       : *r.agrees ? "="
                                   : "!",
                       name(r.stage), r.predicted.empty() ? "-" : r.predicted,
                       r.observed.empty() ? "(not told)" : r.observed);
  const auto mark = [](const std::optional<bool>& a) { return !a ? " " : *a ? "=" : "!"; };
  out += fmt::format("{} {:<22}{:<38}{}\n", mark(p.errno_agrees), "the call's result",
                     p.unknown ? "unknown" : errno_text(p.predicted.error, p.predicted.failed_call),
                     errno_text(p.observed.error, p.observed.failed_call));
  const auto sizes = [](const std::vector<ReportFrame>& frames) {
    if (frames.empty()) return std::string("none");
    std::string text = frames.front().dev + ":";
    for (std::size_t i = 0; i < frames.size() && i < 4; ++i)
      text += fmt::format("{} {}", i == 0 ? "" : ",", frames[i].bytes.size());
    if (frames.size() > 4) text += fmt::format(", ... ({} frames)", frames.size());
    return text + " bytes";
  };
  out += fmt::format("{} {:<22}{:<38}{}\n", mark(p.frames_agree), "frames",
                     p.unknown ? "unknown" : sizes(predicted_frames(p.predicted)), sizes(p.seen));
  if (p.unknown) {
    out += "unknown: nothing is proved, as the prediction stops at";
    for (const ReportObject& o : p.predicted.unknown)
      out += fmt::format("{} {}", &o == &p.predicted.unknown.front() ? "" : ",", object_line(o));
    return out + "\n";
  }
  if (!p.agrees()) return out + "differs first at " + p.first_difference + "\n";
  std::string masked;
  for (const std::string& m : p.predicted.masked) masked += (masked.empty() ? "" : ", ") + m;
  return out + fmt::format("agrees: {}{}\n", verdict_sentence(p.predicted),
                           masked.empty() ? "" : "; not compared, being random: " + masked);
}

}  // namespace txp
