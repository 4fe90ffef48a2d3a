// SPDX-License-Identifier: Apache-2.0
// txpath diff: what changes for one packet between two saved configurations.
#include <unistd.h>

#include <algorithm>

#include "cli/command.h"
#include "cli/question.h"
#include "explain/explanation_diff.h"
#include "mirror/snapshot.h"
#include "net.h"

namespace txp::cli {
namespace {

Result<Explanation> ask(const std::string& snapshot, const Question& q) {
  Net net(Net::Options{});
  const auto loaded = load_snapshot(net, snapshot);
  if (!loaded) return std::unexpected(loaded.error());
  warn(*loaded);
  return explain_flow(net, q.flow, q.payload, ::geteuid());
}

}  // namespace

int diff(const Arguments& arguments) {
  std::string before;
  std::string after;
  std::vector<std::string> words;
  bool json = false;
  CLI::App app(
      "What changes for one packet between two configurations saved by txpath snapshot. Exit "
      "status 0: nothing; 1: something; 3: one of them is unknown.",
      "diff");
  app.add_option("OLD.jsonl", before, "the configuration before")->required();
  app.add_option("NEW.jsonl", after, "the configuration after")->required();
  app.add_option("words", words, "the packet, see below")->required();
  app.add_flag("-j,--json", json, "prints one JSON object");
  app.footer(std::string(kWordsText));
  if (const auto code = parse(app, arguments)) return *code;
  const auto question = question_of(words);
  if (!question) return complain("diff: " + question.error().what);
  const auto x = ask(before, *question);
  if (!x) return complain("diff: " + x.error().what);
  const auto y = ask(after, *question);
  if (!y) return complain("diff: " + y.error().what);
  const int printed =
      print(json ? explanation_diff_json(*x, *y) + "\n" : explanation_diff_text(*x, *y, colours()));
  if (printed != kOk) return printed;
  if (const int worst = std::max(exit_code(*x), exit_code(*y)); worst >= kUnknownExit) return worst;
  return explanation_diff(*x, *y).empty() ? kOk : kNegative;
}

}  // namespace txp::cli
