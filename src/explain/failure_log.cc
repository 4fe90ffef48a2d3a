// SPDX-License-Identifier: Apache-2.0
#include "explain/failure_log.h"

#include <unistd.h>

#include <algorithm>
#include <nlohmann/json.hpp>

#include "explain/report.h"
#include "mirror/import.h"
#include "net.h"

namespace txp {
namespace {

constexpr std::size_t kFailures = 32;

// What decided at the stage where it ended.
std::string deciding_object(const Explanation& x) {
  for (auto s = x.stages.rbegin(); s != x.stages.rend(); ++s)
    if (s->stage == x.dropped_at)
      if (const ReportObject* o = decided(s->by)) return o->kind + " " + object_line(*o);
  return {};
}

// Where it was last sent to.
std::string last_device(const Explanation& x) {
  std::string dev;
  for (const ReportStage& s : x.stages)
    for (const auto& [key, value] : s.out)
      if (const auto* text = std::get_if<std::string>(&value); key == "dev" && text != nullptr)
        dev = *text;
  return dev;
}

// What is known of a flow without asking.
Explanation::Flow asked_flow(const FlowQuestion& q, std::size_t len) {
  Explanation::Flow f;
  f.proto = q.proto;
  if (q.from && !q.from->is_zero()) f.src = q.from;
  if (q.from6 && !q.from6->is_any()) f.src6 = q.from6;
  if (q.from_port != 0) f.sport = q.from_port;
  f.dst = q.to;
  f.dst6 = q.to6;
  f.dport = q.to_port;
  f.len = len;
  return f;
}

// Asks a copy of the namespace. What it would do is no answer where it was dropped later: then the
// drop is put in its place, and the objects of the walk tell what it was about.
void explain_failure(Failure& f, std::size_t len) {
  Net net(Net::Options{});
  if (!import_namespace(net, {})) return;
  const std::vector<std::uint8_t> payload(len, 0);
  Explanation x = explain_flow(net, f.question, payload, ::geteuid());
  f.flow = flow_line(x);
  if (f.error != 0 && (!x.error || x.error->code != f.error)) return;  // it has changed since
  if (f.error == 0 && f.stage) {
    x.verdict = Verdict::dropped;
    x.dropped_at = f.stage;
    x.reason = f.reason;
  }
  f.stage = x.dropped_at;
  f.reason = x.reason;
  f.way = x.flow;
  f.dev = last_device(x);
  f.object = deciding_object(x);
  f.change = smallest_change(x);
}

bool same_place(const FlowQuestion& a, const FlowQuestion& b) {
  return a.to == b.to && a.to6 == b.to6 && a.from6 == b.from6 && a.to_port == b.to_port &&
         a.from == b.from && a.from_port == b.from_port && a.oif == b.oif && a.mark == b.mark;
}

}  // namespace

void FailureLog::call_failed(const FlowQuestion& question, std::size_t len, int error,
                             std::uint64_t times) {
  note(question, len, error, std::nullopt, std::nullopt, times);
}

void FailureLog::drops(const FlowQuestion& question, std::size_t len, const CounterTotals& before,
                       const CounterTotals& now) {
  if (before.dropped == now.dropped) return;
  for (std::size_t s = 0; s < kStageCount; ++s)
    for (std::size_t r = 0; r < kDropReasonCount; ++r)
      if (const std::uint64_t n = now.stages[s].drops[r] - before.stages[s].drops[r]; n != 0)
        note(question, len, 0, static_cast<Stage>(s), static_cast<DropReason>(r), n);
}

void FailureLog::note(const FlowQuestion& question, std::size_t len, int error,
                      std::optional<Stage> stage, std::optional<DropReason> reason,
                      std::uint64_t times) {
  const Nanos now = Clock::monotonic().wall();
  const std::lock_guard guard(mutex_);
  const auto known = std::ranges::find_if(failures_, [&](const Failure& f) {
    return f.error == error && same_place(f.question, question) &&
           (error != 0 || (f.stage == stage && f.reason == reason));
  });
  Failure f;
  if (known != failures_.end()) {
    f = std::move(*known);
    failures_.erase(known);
  } else {
    f.question = question;
    f.error = error;
    f.stage = stage;
    f.reason = reason;
    f.way = asked_flow(question, len);
    f.flow = question.to.str() + ":" + std::to_string(question.to_port);
    // The call that failed and the packet that was dropped by it have one cause.
    const auto twin = std::ranges::find_if(failures_, [&](const Failure& o) {
      return stage && o.stage == stage && o.reason == reason && same_place(o.question, question);
    });
    if (twin != failures_.end()) {
      f.way = twin->way;
      f.dev = twin->dev;
      f.flow = twin->flow;
      f.object = twin->object;
      f.change = twin->change;
    }
  }
  f.times += times;
  f.at_ms = now / kMillisecond;
  if (f.object.empty() && f.change.empty() && now - explained_ >= kSecond) {
    explain_failure(f, len);
    explained_ = now;
  }
  if (listener_) listener_(f, times);
  failures_.push_back(std::move(f));
  if (failures_.size() > kFailures) failures_.pop_front();
}

std::optional<Failure> FailureLog::last() const {
  const std::lock_guard guard(mutex_);
  if (failures_.empty()) return std::nullopt;
  return failures_.back();
}

Json FailureLog::json() const {
  const auto or_null = [](const std::string& s) { return s.empty() ? Json(nullptr) : Json(s); };
  const std::lock_guard guard(mutex_);
  Json all = Json::array();
  for (const Failure& f : failures_)
    all.push_back(Json{{"at", f.at_ms},
                       {"times", f.times},
                       {"stage", f.stage ? Json(name(*f.stage)) : Json(nullptr)},
                       {"errno", f.error != 0 ? Json(Errno{f.error}.name()) : Json(nullptr)},
                       {"reason", f.reason ? Json(name(*f.reason)) : Json(nullptr)},
                       {"flow", f.flow},
                       {"object", or_null(f.object)},
                       {"change", or_null(f.change)}});
  return all;
}

}  // namespace txp
