// SPDX-License-Identifier: Apache-2.0
#include "cli/stat_source.h"

#include <nlohmann/json.hpp>
#include <vector>

#include "observe/stat_file.h"
#include "watch/report.h"
#include "watch/watch.h"

namespace txp::cli {
namespace {

// The running processes as one; nothing when there is none.
std::optional<Json> running() {
  const std::vector<Json> all = read_stat_files();
  if (all.empty()) return std::nullopt;
  Json pids = Json::array();
  Json sum = nullptr;
  for (Json report : all) {
    pids.push_back(report.value("pid", 0));
    for (const char* own : {"pid", "command", "netns", "send"}) report.erase(own);
    add_report(sum, report);
  }
  sum["pids"] = std::move(pids);
  return sum;
}

}  // namespace

std::optional<StatSource> find_stat_source(std::string_view name) {
  if (name.empty() || name == "auto") return StatSource::automatic;
  if (name == "txpath") return StatSource::txpath;
  if (name == "kernel") return StatSource::kernel;
  return std::nullopt;
}

Result<Json> read_stat(StatSource source) {
  if (source != StatSource::kernel)
    if (auto report = running()) return std::move(*report);
  if (source == StatSource::txpath) return fail("no txpath runs in this namespace");
  return kernel_stat_report();
}

StatReader::StatReader() = default;
StatReader::~StatReader() = default;

Result<std::unique_ptr<StatReader>> StatReader::open(bool watch) {
  std::unique_ptr<StatReader> reader(new StatReader);
  if (watch) {
    WatchOptions options;
    options.netns = this_netns();
    options.counts = options.latency = true;
    auto opened = Watch::open(options);
    if (!opened) return std::unexpected(opened.error());
    reader->watch_ = std::move(*opened);
  }
  return reader;
}

Result<Json> StatReader::read(StatSource source) {
  auto report = read_stat(source);
  if (!report || !watch_ || (*report)["source"] != "kernel") return report;
  const std::lock_guard guard(mutex_);
  Json watched = watch_totals_json(watch_->totals());
  (*report)["stages"] = std::move(watched["stages"]);
  for (const char* own : {"unseen", "drops", "elsewhere", "latency", "lost"})
    (*report)["watch"][own] = std::move(watched[own]);
  return report;
}

}  // namespace txp::cli
