// SPDX-License-Identifier: Apache-2.0
#include "prove/scenario.h"

#include <fmt/format.h>

#include <algorithm>
#include <sstream>

namespace txp {
namespace {

using Must = ProofCase::Must;

std::vector<std::string> split(std::string_view text) {
  std::istringstream in{std::string(text)};
  std::vector<std::string> words;
  for (std::string w; in >> w;) words.push_back(std::move(w));
  return words;
}

bool all_capitals(std::string_view w) {
  return !w.empty() && std::ranges::all_of(w, [](char c) {
    return (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '_';
  });
}

// "send by va", after "must".
Result<void> parse_must(ProofCase& c, const std::vector<std::string>& w) {
  constexpr std::pair<std::string_view, Must> kWords[] = {{"send", Must::send},
                                                          {"drop", Must::drop},
                                                          {"fail", Must::fail},
                                                          {"queue", Must::queue},
                                                          {"agree", Must::agree}};
  const auto verb =
      std::ranges::find_if(kWords, [&](const auto& k) { return w.size() > 1 && k.first == w[1]; });
  if (verb == std::end(kWords)) return fail("after must comes send, drop, fail, queue or agree");
  c.must = verb->second;
  for (std::size_t i = 2; i < w.size(); ++i) {
    const bool more = i + 1 < w.size();
    if (c.must == Must::send && w[i] == "by" && more) {
      c.dev = w[++i];
    } else if (c.must == Must::drop && w[i] == "at" && more) {
      c.stage = find_stage(w[++i]);
      if (!c.stage)
        return fail(fmt::format("at {}: no such stage, docs/stages.md lists them", w[i]));
    } else if (c.must == Must::drop && all_capitals(w[i]) && c.reason.empty()) {
      c.reason = w[i];
    } else if (c.must == Must::fail && all_capitals(w[i]) && c.error.empty()) {
      c.error = w[i];
    } else {
      return fail(fmt::format("{}: not understood after must {}", w[i], w[1]));
    }
  }
  return {};
}

Result<ProofCase> parse_line(unsigned number, const std::string& line) {
  ProofCase c;
  c.line = number;
  c.text = line;
  const std::size_t colon = line.find(": ");
  const auto words = split(std::string_view(line).substr(0, colon));
  if (colon == std::string::npos || words.empty() || words[0] != "must")
    return fail("\"must WHAT: QUESTION\" is wanted");
  if (auto must = parse_must(c, words); !must) return std::unexpected(must.error());
  auto question = split(std::string_view(line).substr(colon + 2));
  if (question.empty() || question[0] != "udp") return fail("the question begins with udp");
  const auto parsed = parse_flow_question(std::span(question).subspan(1), PayloadWords::yes);
  if (!parsed) return std::unexpected(parsed.error());
  c.question = std::move(question);
  return c;
}

std::string xml(std::string_view text) {
  std::string out;
  for (const char c : text) {
    switch (c) {
      case '<': out += "&lt;"; break;
      case '>': out += "&gt;"; break;
      case '&': out += "&amp;"; break;
      case '"': out += "&quot;"; break;
      default: out += static_cast<unsigned char>(c) < 0x20 && c != '\n' ? '?' : c;
    }
  }
  return out;
}

// What the kernel did, against one line.
std::string kernel_failure(const ProofCase& c, const Proof& p) {
  const Observation& o = p.observed;
  const SeenEvent* drop = nullptr;
  bool queued = false;
  for (const SeenEvent& e : o.events) {
    if (e.point == TXP_POINT_kfree_skb && drop == nullptr) drop = &e;
    if (e.point == TXP_POINT_neigh_event_send_done) queued |= e.value != 0;
  }
  const auto said = [&]() -> std::string {
    if (drop != nullptr)
      return fmt::format("the kernel dropped it, {} at {}", drop->reason,
                         drop->stage ? name(*drop->stage) : "?");
    if (o.error) return fmt::format("the call failed with {}", o.error->name());
    if (queued) return "it waits for its neighbour";
    return fmt::format("{} frames left{}", o.frames.size(),
                       o.frames.empty() ? "" : " by " + o.frames.front().dev);
  };
  switch (c.must) {
    case Must::agree: return "";
    case Must::queue: return queued && drop == nullptr ? "" : said();
    case Must::fail:
      return o.error && (c.error.empty() || o.error->name() == c.error) ? "" : said();
    case Must::drop:
      if (drop == nullptr) return said();
      if (!c.reason.empty() && drop->reason != c.reason) return said();
      return c.stage && drop->stage != c.stage ? said() : "";
    case Must::send: break;
  }
  if (o.error || drop != nullptr || o.frames.empty()) return said();
  const bool by = c.dev.empty() || std::ranges::all_of(o.frames, [&](const ReportFrame& f) {
                    return f.dev == c.dev;
                  });
  return by ? "" : said();
}

}  // namespace

Result<std::vector<ProofCase>> parse_proof_scenario(const std::string& text) {
  std::vector<ProofCase> cases;
  std::istringstream in(text);
  unsigned number = 0;
  for (std::string line; std::getline(in, line);) {
    ++number;
    line = line.substr(0, line.find('#'));
    const auto end = line.find_last_not_of(" \t\r");
    if (end == std::string::npos) continue;
    line.resize(end + 1);
    line.erase(0, line.find_first_not_of(" \t"));
    auto c = parse_line(number, line);
    if (!c) return fail(fmt::format("line {}: {}", number, c.error().what));
    cases.push_back(std::move(*c));
  }
  if (cases.empty()) return fail("no line says what must be");
  return cases;
}

std::string proof_failure(const ProofCase& c, const Proof& p) {
  if (const std::string kernel = kernel_failure(c, p); !kernel.empty()) return kernel;
  if (p.unknown) return "the prediction is unknown";
  if (!p.agrees()) return "prediction and kernel differ at " + p.first_difference;
  return "";
}

std::string junit_xml(const std::string& name, const std::vector<CaseResult>& results) {
  std::size_t failures = 0, errors = 0;
  double seconds = 0;
  for (const CaseResult& r : results) {
    if (!r.failure.empty()) ++(r.unknown ? errors : failures);
    seconds += r.seconds;
  }
  std::string out = "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n<testsuites>\n";
  out += fmt::format(
      "  <testsuite name=\"{}\" tests=\"{}\" failures=\"{}\" errors=\"{}\" time=\"{:.3f}\">\n",
      xml(name), results.size(), failures, errors, seconds);
  for (const CaseResult& r : results) {
    out += fmt::format("    <testcase classname=\"{}\" name=\"line {}: {}\" time=\"{:.3f}\"",
                       xml(name), r.of->line, xml(r.of->text), r.seconds);
    if (r.failure.empty()) {
      out += "/>\n";
      continue;
    }
    const char* kind = r.unknown ? "error" : "failure";
    out += fmt::format(">\n      <{} message=\"{}\">{}</{}>\n    </testcase>\n", kind,
                       xml(r.failure), xml(r.detail), kind);
  }
  return out + "  </testsuite>\n</testsuites>\n";
}

}  // namespace txp
