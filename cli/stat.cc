// SPDX-License-Identifier: Apache-2.0
// txpath stat: the counters of running txpath processes, else the kernel's.
#include "observe/stat.h"

#include <nlohmann/json.hpp>

#include "cli/command.h"
#include "cli/stat_source.h"

namespace txp::cli {

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

  const auto report = read_stat(*find_stat_source(source));
  if (!report)
    return complain("stat: " + report.error().what +
                    (source == "txpath" ? ", leave out --source for the kernel's" : ""));
  if (json) return print(report->dump(-1, ' ', false, Json::error_handler_t::replace) + "\n");
  if (!format.empty()) return print(format_stat(*report, *find_stat_format(format)));
  const std::string table = stat_table(*report);
  return print("source: " + report->value("source", std::string()) + "\n" + table +
               (table.empty() ? "" : "\n") + format_stat(*report, StatFormat::nstat) +
               format_stat(*report, StatFormat::ethtool) + format_stat(*report, StatFormat::tc));
}

}  // namespace txp::cli
