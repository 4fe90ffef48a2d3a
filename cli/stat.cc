// SPDX-License-Identifier: Apache-2.0
// txpath stat: the counters of running txpath processes, else the kernel's.
#include "observe/stat.h"

#include <algorithm>
#include <nlohmann/json.hpp>

#include "cli/command.h"
#include "observe/stat_file.h"

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

int stat(const Arguments& arguments) {
  std::string format;
  std::string source;
  bool json = false;
  CLI::App app(
      "Counters: of the txpath processes that run in this namespace, else the kernel's own.",
      "stat");
  auto* form =
      app.add_option("--format", format, "prints as that tool would")
          ->check(CLI::IsMember(std::vector<std::string>(kStatFormats.begin(), kStatFormats.end())))
          ->option_text("nstat|tc|ss|ethtool|prometheus");
  app.add_option("--source", source, "whose counters; without it txpath's where one runs")
      ->check(CLI::IsMember({"txpath", "kernel"}))
      ->option_text("txpath|kernel");
  app.add_flag("-j,--json", json, "prints one JSON object")->excludes(form);
  if (const auto code = parse(app, arguments)) return *code;

  std::optional<Json> report;
  if (source != "kernel") report = running();
  if (!report) {
    if (source == "txpath")
      return complain(
          "stat: no txpath runs in this namespace, leave out --source for the kernel's");
    auto kernel = kernel_stat_report();
    if (!kernel) return complain("stat: " + kernel.error().what);
    report = std::move(*kernel);
  }
  if (json) return print(report->dump(-1, ' ', false, Json::error_handler_t::replace) + "\n");
  if (!format.empty()) return print(format_stat(*report, *find_stat_format(format)));
  const std::string table = stat_table(*report);
  return print("source: " + report->value("source", std::string()) + "\n" + table +
               (table.empty() ? "" : "\n") + format_stat(*report, StatFormat::nstat) +
               format_stat(*report, StatFormat::ethtool) + format_stat(*report, StatFormat::tc));
}

}  // namespace txp::cli
