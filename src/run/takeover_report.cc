// SPDX-License-Identifier: Apache-2.0
// What `txpath run` tells of a process: its sockets, why the kernel sent, devices, warnings,
// traces.
#include <fmt/format.h>
#include <unistd.h>

#include <exception>
#include <nlohmann/json.hpp>

#include "mirror/read_file.h"
#include "observe/stat.h"
#include "run/takeover_entry.h"

namespace txp {
namespace {

constexpr std::size_t kHistory = 256;  // sockets in the report

std::string command_name() {
  std::string name = read_file("/proc/self/comm").value_or("?");
  while (!name.empty() && name.back() == '\n') name.pop_back();
  return name;
}

Json socket_json(int fd, const std::string& label, std::uint64_t taken, std::uint64_t kernel,
                 Fallback why, const std::string& object) {
  Json j{{"fd", fd}, {"socket", label}, {"engine", taken}, {"kernel", kernel}};
  if (why != Fallback::none) {
    j["reason"] = info(why).name;
    j["why"] = object.empty() ? std::string(info(why).text)
                              : fmt::format("{}: {}", info(why).text, object);
  }
  return j;
}

}  // namespace

// e.mutex held.
void Takeover::keep_history(Entry& e) {
  if (e.taken == 0 && e.kernel == 0 && e.first_why == Fallback::none) return;
  const std::lock_guard guard(history_mutex_);
  if (history_.size() >= kHistory)
    ++history_lost_;
  else
    history_.push_back(socket_json(e.fd, e.label, e.taken, e.kernel, e.first_why, e.first_object));
}

Json Takeover::failures() {
  const std::lock_guard guard(failures_mutex_);
  Json all = Json::array();
  for (const auto& [to, how] : failures_)
    all.push_back(Json{{"errno", to.error},
                       {"dst", to.dst},
                       {"dport", to.dport},
                       {"len", how.len},
                       {"times", how.times}});
  return all;
}

Json Takeover::report() {
  Json j = Json::object();
  RunEngine* engine = engine_.load(std::memory_order_acquire);
  if (engine != nullptr) j = stat_report(engine->net);
  Json fallback = Json::object();
  for (const FallbackInfo& f : kFallbacks)
    if (const auto n = fallbacks_[static_cast<std::size_t>(f.reason)].load(); n != 0)
      fallback[std::string(f.name)] = n;
  j["fallback"] = std::move(fallback);
  Json run{{"pid", ::getpid()},
           {"command", command_name()},
           {"engine", taken_.load()},
           {"kernel", kernel_.load()}};
  if (!engine_error_.empty())
    run["error"] = fmt::format("{}: {}", info(engine_failure_).text, engine_error_);
  Json devices = Json::array();
  Json warnings = Json::array();
  Json trace = Json::array();
  Json stories = Json::array();
  if (engine != nullptr) {
    for (const RunDevices::Told& d : engine->devices.told())
      devices.push_back(Json{{"dev", d.dev}, {"kind", d.kind}, {"why", d.why}});
    for (const std::string& w : engine->warnings()) warnings.push_back(w);
    const std::lock_guard guard(trace_mutex_);
    for (const std::string& lines : trace_text_) trace.push_back(lines);
    for (const Json& s : stories_) stories.push_back(s);
  }
  run["devices"] = std::move(devices);
  run["warnings"] = std::move(warnings);
  run["trace"] = std::move(trace);
  run["stories"] = std::move(stories);
  if (Json failed = failures(); !failed.empty()) run["failures"] = std::move(failed);
  {
    const std::lock_guard guard(history_mutex_);
    run["sockets"] = history_;
    run["more_sockets"] = history_lost_;
  }
  for (std::size_t c = 0; c < kChunks; ++c) {
    Chunk* chunk = chunks_[c].load(std::memory_order_acquire);
    if (chunk == nullptr) continue;
    for (Entry& e : chunk->entries) {
      if (e.kind.load(std::memory_order_acquire) != Entry::Kind::udp) continue;
      const std::lock_guard guard(e.mutex);
      if (e.taken == 0 && e.kernel == 0 && e.first_why == Fallback::none) continue;
      if (run["sockets"].size() >= kHistory)
        run["more_sockets"] = run["more_sockets"].get<std::uint64_t>() + 1;
      else
        run["sockets"].push_back(
            socket_json(e.fd, e.label, e.taken, e.kernel, e.first_why, e.first_object));
    }
  }
  j["run"] = std::move(run);
  return j;
}

void Takeover::tell_report(bool last) {
  if (!segment_) return;
  const std::lock_guard guard(report_mutex_);
  if (finished_ && !last) return;
  (void)segment_->publish(report().dump(-1, ' ', false, Json::error_handler_t::replace), last);
}

void Takeover::finish(bool last) {
  if (inside_engine() || !tried_) return;
  const InsideEngine guard;
  RunEngine* engine = engine_.load(std::memory_order_acquire);
  if (engine != nullptr) (void)engine->settle(kSecond);
  if (last && finished_.exchange(true)) return;
  if (engine != nullptr && last) engine->close_capture();
  try {
    tell_report(last);
  } catch (const std::exception&) {
    return;  // no memory: the report is lost, the datagrams are not
  }
}

}  // namespace txp
