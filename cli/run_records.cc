// SPDX-License-Identifier: Apache-2.0
#include "cli/run_records.h"

#include <fmt/format.h>

#include <nlohmann/json.hpp>

#include "explain/flow_question.h"
#include "records/record_sinks.h"

namespace txp::cli {
namespace {

std::string text(const Json& j, const char* key) {
  const auto at = j.find(key);
  return at != j.end() && at->is_string() ? at->get<std::string>() : std::string();
}

}  // namespace

RunRecords::RunRecords(Recorder* recorder) : recorder_(recorder) {
  log_.listen([this](const Failure& f, std::uint64_t times) { put(record_of(f, times)); });
}

void RunRecords::put(Record r) {
  if (recorder_ == nullptr) return;
  r.pid = pid_;
  r.command = command_;
  recorder_->put(std::move(r));
}

std::uint64_t RunRecords::grown(const std::string& counter, std::uint64_t now) {
  std::uint64_t& before = seen_[{pid_, counter}];
  const std::uint64_t more = now >= before ? now - before : now;  // a process with that number anew
  before = now;
  return more;
}

void RunRecords::take(std::string_view told) try {
  const Json report = Json::parse(told, nullptr, false);
  if (!report.is_object() || !report.contains("run")) return;
  const Json& run = report.at("run");
  pid_ = run.value("pid", std::int64_t{0});
  command_ = text(run, "command");
  for (const Json& f : run.value("failures", Json::array())) {
    const int error = f.value("errno", 0);
    const std::string dst = text(f, "dst");
    const auto more = grown(fmt::format("failed {} {} {}", error, dst, f.value("dport", 0)),
                            f.value("times", std::uint64_t{0}));
    const auto to = parse_addr_port(dst);
    if (more == 0 || !to) continue;
    FlowQuestion question;
    question.to = to->addr;
    question.to6 = to->addr6;
    question.to_port = f.value("dport", std::uint16_t{0});
    log_.call_failed(question, f.value("len", std::size_t{0}), error, more);
  }
  if (recorder_ == nullptr) return;
  const Json stages = report.value("stages", Json::object());
  for (const auto& [stage, counted] : stages.items()) {
    const Json drops = counted.value("drops", Json::object());
    for (const auto& [reason, n] : drops.items()) {
      Record r;
      r.kind = record_kind::kDrop;
      r.stage = stage;
      r.reason = reason;
      r.count =
          static_cast<std::int64_t>(grown("drop " + stage + " " + reason, n.get<std::uint64_t>()));
      if (r.count != 0) put(std::move(r));
    }
  }
  const Json stories = run.value("stories", Json::array());
  const std::uint64_t fresh = grown("stories", stories.size());
  for (std::size_t i = stories.size() - fresh; i < stories.size(); ++i) {
    const Json& s = stories[i];
    Record r;
    r.time = s.value("at", std::int64_t{0});
    r.kind = record_kind::kTrace;
    r.proto = "udp";
    r.src = text(s, "src");
    r.sport = s.value("sport", 0);
    r.dst = text(s, "dst");
    r.dport = s.value("dport", 0);
    r.error = text(s, "errno");
    for (const Json& e : s["events"]) {
      if (r.len == 0) r.len = e.value("len", 0);
      if (text(e, "reason").empty()) continue;
      r.stage = text(e, "stage");
      r.reason = text(e, "reason");
    }
    r.trace = s["events"].dump(-1, ' ', false, Json::error_handler_t::replace);
    put(std::move(r));
  }
} catch (const Json::exception&) {  // the program may write over what its processes tell
}

std::string RunRecords::failures() const {
  std::string lines;
  for (const Json& f : log_.json()) {
    const std::string object = text(f, "object");
    const std::string change = text(f, "change");
    lines += fmt::format(
        "failed: {}, {} times: {}{}{}{}\n", text(f, "flow"), f.value("times", std::uint64_t{0}),
        text(f, "errno"), text(f, "stage").empty() ? "" : " at " + text(f, "stage"),
        object.empty() ? "" : ", " + object, change.empty() ? "" : "; to let it pass: " + change);
  }
  return lines;
}

}  // namespace txp::cli
