// SPDX-License-Identifier: Apache-2.0
// txpath send: sends datagrams through the engine.
#include <fmt/format.h>

#include <nlohmann/json.hpp>

#include "cli/command.h"
#include "cli/payload_source.h"
#include "cli/sender.h"

namespace txp::cli {
namespace {

constexpr std::size_t kInputLen = 1400;  // bytes a datagram of --input, where --len is not given
constexpr std::uint64_t kMaxCount = std::uint64_t{1} << 62;
constexpr std::uint64_t kMaxRate = 1'000'000'000;

constexpr std::string_view kSendWordsText =
    R"(words:
  [udp] [from ADDR[:PORT]] to ADDR:PORT [oif DEV] [mark N] [tos N] [ttl N]
        [df do|dont|want|probe] [gso SIZE] [broadcast]
device kinds: af_packet (the default for Ethernet devices), null, loopback, pcap:FILE, and before
  any of them capture(FILE)/ or fault(drop=P,dup=P,...)/; docs/send.md tells more)";

struct Words {
  std::vector<std::string> words;
  std::string count, len, rate, trace;
  std::vector<std::string> trace_to;
  std::string trace_filter;
  bool drop_only = false;
  std::string latency;
  std::string record;
  std::string input;
  std::vector<std::string> devices;
  bool json = false;
};

// The options that are numbers, by hand: decimal or 0x, with a message of our own.
Result<std::optional<std::uint64_t>> number(std::string_view option, const std::string& text,
                                            std::uint64_t least, std::uint64_t most) {
  if (text.empty()) return std::nullopt;
  const auto n = parse_number(text, most);
  if (!n || *n < least)
    return fail(fmt::format("{} {}: a number from {} to {} is wanted", option, text, least, most));
  return n;
}

Result<std::map<std::string, std::string>> device_kinds(const std::vector<std::string>& all) {
  std::map<std::string, std::string> kinds;
  for (const std::string& d : all) {
    const auto equals = d.find('=');
    if (equals == std::string::npos || equals == 0 || equals + 1 == d.size())
      return fail(fmt::format("--device {}: DEV=KIND is wanted, as in va=af_packet", d));
    if (!kinds.emplace(d.substr(0, equals), d.substr(equals + 1)).second)
      return fail(fmt::format("--device {}: given twice", d.substr(0, equals)));
  }
  return kinds;
}

Result<std::unique_ptr<PayloadSource>> source_of(const Words& w) {
  const auto count = number("--count", w.count, 0, kMaxCount);
  if (!count) return std::unexpected(count.error());
  const auto len = number("--len", w.len, w.input.empty() ? 0 : 1, kMaxLen);
  if (!len) return std::unexpected(len.error());
  if (!w.input.empty()) return make_input(w.input, len->value_or(kInputLen), *count);
  return make_generated(count->value_or(1), len->value_or(kDefaultLen));
}

Result<SendOptions> options_of(const Words& w, const std::string& pcap) {
  std::span<const std::string> words(w.words);
  if (!words.empty() && words[0] == "udp") words = words.subspan(1);
  auto question = parse_flow_question(words, PayloadWords::no);
  if (!question) return std::unexpected(question.error());
  if (question->uid) return fail("uid: send uses the caller's own, leave the word out");
  auto devices = device_kinds(w.devices);
  if (!devices) return std::unexpected(devices.error());
  const auto rate = number("--rate", w.rate, 1, kMaxRate);
  if (!rate) return std::unexpected(rate.error());
  const auto trace = number("--trace", w.trace, 1, kMaxCount);
  if (!trace) return std::unexpected(trace.error());
  if (!*trace && (!w.trace_to.empty() || !w.trace_filter.empty() || w.drop_only))
    return fail("--trace N is missing, which turns traces on; --trace 1 traces every datagram");
  SendOptions o;
  o.question = std::move(*question);
  o.devices = std::move(*devices);
  o.rate = *rate;
  o.trace = trace->value_or(0);
  o.trace_to = w.trace_to;
  if (!w.latency.empty()) o.latency = w.latency == "call" ? LatencyMode::call : LatencyMode::stage;
  o.trace_selection = {trace->value_or(1), w.trace_filter, w.drop_only};
  o.pcap = pcap;
  o.record = w.record;
  o.json = w.json;
  return o;
}

// The end of a run: the table or the object, and what was left.
int tell(Sender& sender, const std::expected<void, SendFailure>& result, bool json) {
  const Json report = sender.report();
  const int printed =
      json ? print(report.dump(-1, ' ', false, Json::error_handler_t::replace) + "\n")
           : print(fmt::format("{}\n{}", sender.summary(), stat_table(report)));
  if (!result) complain("send: " + result.error().what);
  if (const std::string waiting = sender.waiting(); !waiting.empty()) complain("send: " + waiting);
  if (!sender.conserved())
    return internal_error("packets sent are not those delivered, dropped and queued");
  if (printed != kOk) return printed;
  if (!result) return result.error().unknown ? kUnknownExit : kNegative;
  return sender.all_delivered() && !sender.interrupted() ? kOk : kNegative;
}

}  // namespace

int send(const Arguments& arguments) {
  Words w;
  std::string pcap;
  CLI::App app("Sends datagrams through the engine, and ends with the stage table.", "send");
  app.add_option("words", w.words, "where to, and the socket's options, see below");
  app.add_option("--count", w.count, "datagrams; 1 by default, or all of the input")
      ->option_text("N");
  app.add_option("--len", w.len, "bytes a datagram; 100 by default, 1400 with --input")
      ->option_text("BYTES");
  app.add_option("--input", w.input, "sends this file's bytes; - is standard input")
      ->option_text("FILE");
  app.add_option("--rate", w.rate, "datagrams a second; as fast as it goes by default")
      ->option_text("PPS");
  app.add_option("--device", w.devices, "what stands behind a device, see below")
      ->option_text("DEV=KIND")
      ->allow_extra_args(false);
  app.add_option("--trace", w.trace, "traces one datagram in N, a line a stage")->option_text("N");
  app.add_option(
         "--trace-to", w.trace_to,
         "writes traces there, by the name's end: .jsonl, .json for Perfetto, .pcapng, else "
         "text; without it they are printed")
      ->option_text("FILE")
      ->allow_extra_args(false);
  app.add_option("--trace-filter", w.trace_filter, "only traces that this pcap-filter matches")
      ->option_text("FILTER");
  app.add_flag("--drop-only", w.drop_only, "only traces of what was dropped or refused");
  app.add_option("--latency", w.latency,
                 "measures the time from the call to the driver, or also from stage to stage")
      ->check(CLI::IsMember({"call", "stage"}))
      ->option_text("call|stage");
  app.add_option("--pcap", pcap, "writes every frame there")->option_text("OUT.pcapng");
  app.add_option("--record", w.record,
                 "keeps drops, failed calls and traces in this store, for txpath query")
      ->option_text("FILE");
  app.add_flag("-j,--json", w.json, "ends with one JSON object instead of the table");
  app.footer(std::string(kSendWordsText));
  if (const auto code = parse(app, arguments)) return *code;

  auto options = options_of(w, pcap);
  if (!options) return complain("send: " + options.error().what);
  auto source = source_of(w);
  if (!source) return complain("send: " + source.error().what);
  catch_stop();
  Sender sender(std::move(*options));
  if (auto opened = sender.open(); !opened) {
    complain("send: " + opened.error().what);
    return kUsage;
  }
  warn(sender.import_report());
  const auto result = sender.run(**source);
  if (auto written = sender.finish(); !written) {
    complain("send: " + written.error().what);
    return kUsage;
  }
  return tell(sender, result, w.json);
}

}  // namespace txp::cli
