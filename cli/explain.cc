// SPDX-License-Identifier: Apache-2.0
// txpath explain: what this host would do with one datagram.
#include "explain/explain.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <unistd.h>

#include <cstring>

#include "base/whole_file.h"
#include "cli/command.h"
#include "cli/frames_pcap.h"
#include "explain/report.h"
#include "mirror/snapshot.h"
#include "net.h"

namespace txp::cli {
namespace {

constexpr std::string_view kWordsText =
    R"(words:
  udp [from ADDR[:PORT]] to ADDR:PORT [oif DEV] [mark N] [tos N] [uid N] [ttl N]
      [len BYTES | data FILE] [df do|dont|want|probe] [gso SIZE] [broadcast]
  in any order after udp; numbers decimal or 0x; without len and data 100 bytes of zeros; data -
  reads standard input)";

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

Result<std::vector<std::uint8_t>> read_payload(const std::string& name) {
  const auto fail_errno = [&] {
    return fail(fmt::format("data {}: {}", name, std::strerror(errno)));
  };
  const int fd = name == "-" ? ::dup(STDIN_FILENO) : ::open(name.c_str(), O_RDONLY | O_CLOEXEC);
  if (fd < 0) return fail_errno();
  std::vector<std::uint8_t> bytes(kMaxLen + 1);
  std::size_t len = 0;
  ssize_t n = 0;
  while (len < bytes.size()) {
    n = ::read(fd, bytes.data() + len, bytes.size() - len);
    if (n < 0 && errno == EINTR) continue;
    if (n <= 0) break;
    len += static_cast<std::size_t>(n);
  }
  if (n < 0) {
    const int error = errno;
    ::close(fd);
    errno = error;
    return fail_errno();
  }
  ::close(fd);
  if (len > kMaxLen)
    return fail(
        fmt::format("data {}: more than {} bytes, no datagram is that long", name, kMaxLen));
  bytes.resize(len);
  return bytes;
}

Result<std::vector<std::uint8_t>> payload_of(const FlowQuestion& q) {
  if (!q.data.empty()) return read_payload(q.data);
  return std::vector<std::uint8_t>(q.len.value_or(kDefaultLen), 0);
}

Result<ImportReport> fill(Net& net, const std::string& snapshot) {
  return snapshot.empty() ? import_namespace(net, {}) : load_snapshot(net, snapshot);
}

int exit_code(const Explanation& x) {
  if (!x.conserved)
    return internal_error("packets sent are not those delivered, dropped and queued");
  switch (x.verdict) {
    case Verdict::sent:
    case Verdict::queued: return kOk;
    case Verdict::unknown: return kUnknownExit;
    default: return kNegative;
  }
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
  app.add_option("--pcap", o.pcap, "writes the frames there")->option_text("OUT.pcapng");
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

  if (o.words.empty() && !o.pcap.empty())
    return complain(
        "explain: every packet of a capture: not in this version, write udp to ADDR:PORT");
  if (o.words.empty() || (o.words[0] != "udp" && o.words[0] != "tcp"))
    return complain("explain: the first word must be udp, as in txpath explain udp to 10.0.0.2:53");
  const FlowProto proto = o.words[0] == "tcp" ? FlowProto::tcp : FlowProto::udp;
  const auto question =
      parse_flow_question(std::span(o.words).subspan(1), PayloadWords::yes, proto);
  if (!question) return complain("explain: " + question.error().what);
  const auto payload = payload_of(*question);
  if (!payload) return complain("explain: " + payload.error().what);

  Net net(Net::Options{});
  const auto report = fill(net, o.snapshot);
  if (!report) return complain("explain: " + report.error().what);
  warn(*report);
  return tell(explain_flow(net, *question, *payload, ::geteuid()), o);
}

}  // namespace txp::cli
