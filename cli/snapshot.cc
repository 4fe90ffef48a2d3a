// SPDX-License-Identifier: Apache-2.0
// txpath snapshot: saves a namespace's configuration.
#include "mirror/snapshot.h"

#include "cli/command.h"

namespace txp::cli {

int snapshot(const Arguments& arguments) {
  std::string path;
  CLI::App app("Saves this namespace's configuration, for explain --snapshot.", "snapshot");
  app.add_option("OUT.jsonl", path, "the file to write; it appears whole or not at all")
      ->required();
  if (const auto code = parse(app, arguments)) return *code;
  const auto report = save_snapshot(path, {});
  if (!report) return complain("snapshot: " + report.error().what);
  warn(*report);
  return kOk;
}

}  // namespace txp::cli
