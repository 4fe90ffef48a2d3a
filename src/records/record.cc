// SPDX-License-Identifier: Apache-2.0
#include "records/record.h"

#include <fmt/chrono.h>
#include <fmt/format.h>

#include <ctime>
#include <nlohmann/json.hpp>

namespace txp {
namespace {

std::string end_point(const std::string& address, std::int64_t port) {
  const std::string host = address.empty()                          ? "*"
                           : address.find(':') != std::string::npos ? "[" + address + "]"
                                                                    : address;
  return fmt::format("{}:{}", host, port == 0 ? "*" : std::to_string(port));
}

// One line for people: a store may hold what anybody wrote.
std::string printable(std::string text) {
  for (char& c : text)
    if (static_cast<unsigned char>(c) < 0x20 || c == 0x7f) c = '?';
  return text;
}

std::string text_of(const Json& j, const char* key) {
  const auto at = j.find(key);
  return at != j.end() && at->is_string() ? at->get<std::string>() : std::string();
}

std::int64_t number_of(const Json& j, const char* key) {
  const auto at = j.find(key);
  return at != j.end() && at->is_number_integer() ? at->get<std::int64_t>() : 0;
}

// The steps of a trace, a line each.
std::string trace_lines(const std::string& trace) {
  const Json events = Json::parse(trace, nullptr, false);
  if (!events.is_array()) return {};
  std::string out;
  for (const Json& e : events) {
    if (!e.is_object()) continue;
    std::string by;
    if (const auto all = e.find("by"); all != e.end() && all->is_array())
      for (const Json& o : *all)
        if (o.is_string()) by += (by.empty() ? "  [" : "; ") + o.get<std::string>();
    const std::string reason = text_of(e, "reason");
    const std::int64_t len = number_of(e, "len");
    std::string line = fmt::format(
        "  {:>10.1f} us  {:<21} {:>7}  {}{}{}{}", static_cast<double>(number_of(e, "ns")) / 1e3,
        text_of(e, "stage"), len == 0 ? "" : fmt::format("{} B", len), text_of(e, "result"),
        reason.empty() ? "" : " " + reason, by, by.empty() ? "" : "]");
    out += printable(std::move(line)) + "\n";
  }
  return out;
}

}  // namespace

Json record_json(const StoredRecord& r) {
  Json j{{"id", r.id}};
  for (const RecordColumn& c : kRecordColumns) {
    Json& to = j[std::string(c.name)];
    if (const auto* text = std::get_if<std::string Record::*>(&c.member)) {
      const std::string& value = r.record.**text;
      if (!value.empty()) to = value;
    } else {
      const std::int64_t value = r.record.*std::get<std::int64_t Record::*>(c.member);
      if (value != 0 || !c.zero_is_nothing) to = value;
    }
  }
  if (!r.record.trace.empty()) {
    Json events = Json::parse(r.record.trace, nullptr, false);
    j["trace"] = events.is_array() ? std::move(events) : Json(nullptr);
  }
  return j;
}

std::string record_flow(const Record& r) {
  if (r.proto.empty() && r.src.empty() && r.dst.empty()) return "-";
  return fmt::format("{} {} > {}", r.proto.empty() ? "?" : r.proto, end_point(r.src, r.sport),
                     end_point(r.dst, r.dport));
}

std::string local_time(std::int64_t ns) {
  const std::time_t seconds = ns / kSecond;
  std::tm tm{};
  ::localtime_r(&seconds, &tm);
  return fmt::format("{:%Y-%m-%d %H:%M:%S}.{:09}", tm, ns % kSecond);
}

std::string record_heading() {
  return fmt::format("{:>7} {:<29} {:<7} {:<20} {:<22} {:>6}  {}\n", "id", "time", "kind", "stage",
                     "why", "count", "flow");
}

std::string record_line(const StoredRecord& s) {
  const Record& r = s.record;
  std::string why = r.reason.empty() ? r.error : r.reason;
  if (!r.reason.empty() && !r.error.empty()) why += " " + r.error;
  std::string line = fmt::format(
      "{:>7} {} {:<7} {:<20} {:<22} {:>6}  {}{}{}", s.id, local_time(r.time), r.kind,
      r.stage.empty() ? "-" : r.stage, why.empty() ? "-" : why, r.count, record_flow(r),
      r.dev.empty() ? "" : " dev " + r.dev, r.len == 0 ? "" : fmt::format(", {} bytes", r.len));
  return printable(std::move(line)) + "\n";
}

std::string record_story(const StoredRecord& s) {
  const Record& r = s.record;
  std::string out;
  const auto tell = [&](std::string_view what, const std::string& value) {
    if (!value.empty()) out += fmt::format("  {:<9} {}\n", what, printable(value));
  };
  out += printable(fmt::format("record {}: {}{}, {}", s.id, r.kind,
                               r.count == 1 ? "" : fmt::format(", {} times", r.count),
                               local_time(r.time))) +
         "\n";
  tell("flow", fmt::format("{}{}{}", record_flow(r), r.dev.empty() ? "" : " dev " + r.dev,
                           r.len == 0 ? "" : fmt::format(", {} bytes", r.len)));
  tell("seen by",
       fmt::format("the {}, on {}", r.source == record_source::kKernel ? "kernel" : "engine",
                   r.host.empty() ? "?" : r.host));
  if (r.pid != 0) tell("process", fmt::format("{} {}", r.pid, r.command));
  if (r.netns != 0) tell("namespace", std::to_string(r.netns));
  tell("stage", r.stage);
  tell("reason", r.reason);
  tell("errno", r.error);
  tell("decided", r.object);
  tell("to pass", r.change);
  if (const std::string lines = trace_lines(r.trace); !lines.empty()) out += "  the way\n" + lines;
  return out;
}

}  // namespace txp
