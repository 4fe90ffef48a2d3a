// SPDX-License-Identifier: Apache-2.0
// txpath prove: the prediction, the kernel, and where they differ.
#include <fmt/format.h>
#include <unistd.h>

#include <fstream>
#include <iterator>
#include <nlohmann/json.hpp>

#include "base/clock.h"
#include "base/whole_file.h"
#include "cli/command.h"
#include "cli/question.h"
#include "net.h"
#include "prove/compare.h"
#include "prove/observe.h"
#include "prove/scenario.h"

namespace txp::cli {
namespace {

constexpr std::string_view kProveFooter =
    R"(words: those of txpath explain: udp [from ADDR[:PORT]] to ADDR:PORT [oif DEV] ...
The datagram is really sent. A scenario is a file of lines such as
  must send by eth1: udp to 10.0.0.2:53
  must drop NETFILTER_DROP at nf_hook(LOCAL_OUT): udp to 10.0.0.9:123
exit status: 0 they agree; 1 they differ; 3 the prediction is unknown)";

Result<Proof> prove_one(Observer& observer, std::span<const std::string> words) {
  const auto question = question_of(words);
  if (!question) return std::unexpected(question.error());
  if (question->flow.to6) return fail("over IPv4 only in this version; explain speaks IPv6");
  Net net(Net::Options{});
  const auto report = import_namespace(net, {});
  if (!report) return std::unexpected(report.error());
  warn(*report);
  Explanation x = explain_flow(net, question->flow, question->payload, ::geteuid());
  auto seen = observer.send(question->flow, question->payload);
  if (!seen) return std::unexpected(seen.error());
  return compare(std::move(x), std::move(*seen));
}

int exit_of(const Proof& p) { return p.unknown ? kUnknownExit : p.agrees() ? kOk : kNegative; }

int prove_question(Observer& observer, const std::vector<std::string>& words, bool json) {
  const auto proof = prove_one(observer, words);
  if (!proof) return complain("prove: " + proof.error().what);
  const int printed =
      print(json ? proof_json(*proof).dump(-1, ' ', false, Json::error_handler_t::replace) + "\n"
                 : proof_text(*proof));
  return printed != kOk ? printed : exit_of(*proof);
}

int prove_scenario(Observer& observer, const std::string& path, const std::vector<ProofCase>& cases,
                   const std::string& junit, bool json) {
  const Clock clock = Clock::monotonic();
  std::vector<CaseResult> results;
  std::size_t failed = 0, unknown = 0;
  for (const ProofCase& c : cases) {
    const Nanos begin = clock.now();
    const auto proof = prove_one(observer, c.question);
    if (!proof) return complain(fmt::format("prove: {}:{}: {}", path, c.line, proof.error().what));
    CaseResult r;
    r.of = &c;
    r.failure = proof_failure(c, *proof);
    r.detail = proof_text(*proof);
    r.unknown = proof->unknown;
    r.seconds = static_cast<double>(clock.now() - begin) / 1e9;
    if (!r.failure.empty()) ++(r.unknown ? unknown : failed);
    std::string told;
    if (json) {
      Json j = {{"line", c.line},
                {"text", c.text},
                {"passed", r.failure.empty()},
                {"failure", r.failure.empty() ? Json(nullptr) : Json(r.failure)},
                {"proof", proof_json(*proof)}};
      told = j.dump(-1, ' ', false, Json::error_handler_t::replace) + "\n";
    } else {
      told = r.failure.empty() ? fmt::format("ok    {}\n", c.text)
                               : fmt::format("FAIL  {}\n      {}\n", c.text, r.failure);
    }
    results.push_back(std::move(r));
    if (const int printed = print(told); printed != kOk) return printed;
  }
  if (!json)
    if (const int printed = print(fmt::format("{} passed, {} failed\n",
                                              results.size() - failed - unknown, failed + unknown));
        printed != kOk)
      return printed;
  if (!junit.empty())
    if (auto done = write_whole_file(junit, junit_xml(path, results)); !done)
      return complain(fmt::format("prove: --junit {}: {}", junit, done.error().what));
  return failed != 0 ? kNegative : unknown != 0 ? kUnknownExit : kOk;
}

Result<std::vector<ProofCase>> read_scenario(const std::string& path) {
  std::ifstream file(path);
  if (!file) return fail(fmt::format("{}: {}", path, std::strerror(errno)));
  std::string text(std::istreambuf_iterator<char>(file), {});
  if (file.bad()) return fail(fmt::format("{}: cannot be read", path));
  auto cases = parse_proof_scenario(text);
  if (!cases) return fail(fmt::format("{}: {}", path, cases.error().what));
  return cases;
}

}  // namespace

int prove(const Arguments& arguments) {
  std::vector<std::string> words;
  std::string scenario, junit;
  bool json = false;
  CLI::App app(
      "Explains a datagram, really sends it through the kernel while watching, and lays both side "
      "by side.",
      "prove");
  app.add_option("words", words, "the datagram, see below");
  auto* file =
      app.add_option("--scenario", scenario, "proves every line of a file")->option_text("FILE");
  app.add_option("--junit", junit, "writes the scenario's results there")
      ->option_text("OUT.xml")
      ->needs(file);
  app.add_flag("-j,--json", json, "JSON: one object, or one a line of the scenario");
  app.footer(std::string(kProveFooter));
  if (const auto code = parse(app, arguments)) return *code;
  if (scenario.empty() == words.empty())
    return complain(
        "prove: a question or --scenario FILE is wanted, as in txpath prove udp to "
        "10.0.0.2:53");
  if (!words.empty() && words[0] != "udp")
    return complain("prove: the first word must be udp, as in txpath prove udp to 10.0.0.2:53");
  std::vector<ProofCase> cases;
  if (!scenario.empty()) {
    auto read = read_scenario(scenario);
    if (!read) return complain("prove: " + read.error().what);
    cases = std::move(*read);
  } else if (const auto asked = parse_flow_question(std::span(words).subspan(1), PayloadWords::yes);
             !asked) {
    return complain("prove: " + asked.error().what);
  }
  auto observer = Observer::open();
  if (!observer) return complain("prove: " + observer.error().what);
  return scenario.empty() ? prove_question(**observer, words, json)
                          : prove_scenario(**observer, scenario, cases, junit, json);
}

}  // namespace txp::cli
