// SPDX-License-Identifier: Apache-2.0
// What the verbs of the command line share: exit codes, messages, options.
#pragma once

#include <CLI/CLI.hpp>
#include <string>
#include <string_view>
#include <vector>

#include "mirror/import.h"

namespace txp::cli {

enum Exit : int {
  kOk = 0,
  kNegative = 1,  // the answer is no: dropped, or the call fails
  kUsage = 2,     // wrong usage or input, or the namespace cannot be read
  kUnknownExit = 3,
  kInternal = 70,  // EX_SOFTWARE: conservation does not hold, a bug of ours
};

// A verb: its words after the verb itself. Answers the exit code.
using Arguments = std::vector<std::string>;
int diff(const Arguments& arguments);
int explain(const Arguments& arguments);
int send(const Arguments& arguments);
int serve(const Arguments& arguments);
int run(const Arguments& arguments);
int snapshot(const Arguments& arguments);
int stat(const Arguments& arguments);
int top(const Arguments& arguments);
int watch(const Arguments& arguments);
int prove(const Arguments& arguments);
int query(const Arguments& arguments);
int forward(const Arguments& arguments);

// One line on standard error: "txpath: WHAT: WHY". Answers kUsage.
int complain(std::string_view message);
void warn(std::string_view message);
// Tells of what an import could not read.
void warn(const ImportReport& report);
// Conservation does not hold: answers kInternal.
int internal_error(std::string_view message);

// Parses `arguments` with `app`; a code to exit with (after --help, or an error that was told), or
// nothing: go on.
std::optional<int> parse(CLI::App& app, const Arguments& arguments);

// Writes to standard output and flushes. Answers kOk, or kUsage after a message.
int print(std::string_view text);
bool colours();  // standard output is a terminal that wants colours

// From here on the calling thread is in the network namespace `name`: a name in /run/netns, or a
// path. Before any other thread exists.
[[nodiscard]] Result<void> enter_netns(const std::string& name);
// The namespace that the process was started in, as an open file; -1: it never left.
int home_netns();

}  // namespace txp::cli
