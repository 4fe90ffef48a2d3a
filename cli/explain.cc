// SPDX-License-Identifier: Apache-2.0
// txpath explain: what this host would do with one datagram.
#include "explain/explain.h"

#include <fmt/format.h>
#include <unistd.h>

#include <algorithm>

#include "base/whole_file.h"
#include "cli/command.h"
#include "cli/frames_pcap.h"
#include "cli/question.h"
#include "explain/capture_flows.h"
#include "explain/report.h"
#include "mirror/snapshot.h"
#include "net.h"

namespace txp::cli {
namespace {

struct Options {
  std::vector<std::string> words;
  std::string snapshot;
  std::string ct;
  std::string pcap;
  std::string html;
  bool json = false;
  bool detailed = false;
  bool summary = false;
  bool minimal = false;
  Detail detail() const {
    return minimal    ? Detail::minimal
           : summary  ? Detail::summary
           : detailed ? Detail::detailed
                      : Detail::normal;
  }
};

Result<ImportReport> fill(Net& net, const std::string& snapshot) {
  return snapshot.empty() ? import_namespace(net, {}) : load_snapshot(net, snapshot);
}

// The files and then the report, so that no error follows an answer.
int tell(const Explanation& x, const Options& o) {
  if (!o.pcap.empty())
    if (auto done = write_frames_pcap(o.pcap, x); !done)
      return complain(fmt::format("explain: --pcap {}", done.error().what));
  if (!o.html.empty())
    if (auto done = write_whole_file(o.html, explanation_html(x)); !done)
      return complain(fmt::format("explain: --html {}: {}", o.html, done.error().what));
  const int printed =
      print(o.json ? explanation_json(x) + "\n" : explanation_text(x, o.detail(), colours()));
  const int code = exit_code(x);
  return printed != kOk ? printed : code;
}

// The answer about what cannot be asked.
Explanation unasked(const CapturedFlow& flow) {
  Explanation x;
  x.flow.proto = flow.question.proto;
  x.flow.src = flow.question.from;
  x.flow.sport = flow.question.from_port;
  x.flow.dst = flow.question.to;
  x.flow.dport = flow.question.to_port;
  x.flow.len = flow.payload.size();
  x.unknown.push_back({"packet", {}, flow.unknown});
  return x;
}

// An answer among many: one line, unless more is asked for.
std::string one_of_many(const Explanation& x, const Options& o) {
  if (o.json) return explanation_json(x) + "\n";
  if (o.summary || o.detailed) return explanation_text(x, o.detail(), colours());
  return flow_line(x) + ": " + explanation_text(x, Detail::minimal, colours());
}

// --pcap without words: every packet of a capture, each as if a program of this host sent it.
int explain_capture(const Options& o) {
  if (!o.html.empty()) return complain("explain: --html: a page shows one packet, leave it out");
  Net net(Net::Options{});
  const auto report = fill(net, o.snapshot);
  if (!report) return complain("explain: " + report.error().what);
  int worst = kOk;
  const auto ask = [&](CapturedFlow&& flow) {
    const Explanation x = flow.unknown.empty()
                              ? explain_flow(net, flow.question, flow.payload, ::geteuid())
                              : unasked(flow);
    if (const int printed = print(one_of_many(x, o)); printed != kOk) {
      worst = printed;
      return false;
    }
    worst = std::max(worst, exit_code(x));
    return worst != kInternal;
  };
  const auto passed_over = read_capture(o.pcap, ask);
  if (!passed_over) return complain("explain: --pcap " + passed_over.error().what);
  warn(*report);
  for (const auto& [kind, count] : *passed_over)
    warn(fmt::format("--pcap {}: {} packets not explained: {}", o.pcap, count, kind));
  return worst;
}

}  // namespace

int explain(const Arguments& arguments) {
  Options o;
  CLI::App app(
      "What this host would do with one datagram: every stage, every deciding object, the "
      "exact frames.",
      "explain");
  app.add_option("words", o.words, "the datagram, see below");
  app.add_option("--snapshot", o.snapshot, "a configuration saved by txpath snapshot")
      ->option_text("FILE");
  app.add_option("--ct", o.ct, "the connection's state for the firewall")
      ->check(CLI::IsMember({"new", "established"}))
      ->option_text("new|established");
  app.add_option("--pcap", o.pcap,
                 "writes the frames there; without words: reads every packet of that capture")
      ->option_text("FILE");
  app.add_option("--html", o.html, "writes a page with the drawing of the path")
      ->option_text("OUT.html");
  app.add_flag("-j,--json", o.json, "prints one JSON object");
  auto* detailed = app.add_flag("--detailed", o.detailed, "more: sizes, what did not match, bytes");
  auto* summary = app.add_flag("--summary", o.summary, "less: only stages where something decided");
  auto* minimal = app.add_flag("--minimal", o.minimal, "only the verdict");
  detailed->excludes(summary)->excludes(minimal);
  summary->excludes(minimal);
  app.footer(std::string(kWordsText));
  if (const auto code = parse(app, arguments)) return *code;

  if (o.words.empty() && !o.pcap.empty()) return explain_capture(o);
  auto question = question_of(o.words);
  if (!question) return complain("explain: " + question.error().what);

  Net net(Net::Options{});
  const auto report = fill(net, o.snapshot);
  if (!report) return complain("explain: " + report.error().what);
  warn(*report);
  question->flow.established = o.ct == "established";
  return tell(explain_flow(net, question->flow, question->payload, ::geteuid()), o);
}

}  // namespace txp::cli
