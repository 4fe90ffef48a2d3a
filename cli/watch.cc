// SPDX-License-Identifier: Apache-2.0
// txpath watch: the running kernel's send path, in the same stages.
#include "watch/watch.h"

#include <fmt/format.h>
#include <net/if.h>

#include <csignal>
#include <ctime>
#include <nlohmann/json.hpp>

#include "base/clock.h"
#include "cli/command.h"
#include "dev/link.h"
#include "explain/flow_question.h"
#include "records/recorder.h"
#include "tap/pcapng_writer.h"
#include "watch/report.h"
#include "watch/sink.h"

namespace txp::cli {
namespace {

constexpr std::string_view kFooter =
    R"(filter: a pcap-filter expression, as tcpdump takes it, after the options:
  txpath watch udp and dst port 53
It is run in the kernel, on a packet's first 128 bytes. Ends by itself after --seconds, or on ^C.)";

struct WatchWords {
  std::vector<std::string> filter;
  std::vector<std::string> stages;
  std::vector<std::string> trace_to;
  std::string netns, dev, mark, pcap, record;
  std::uint32_t pid = 0;
  double seconds = 0, interval = 1;
  bool json = false, count = false, drops = false, latency = false, drop_only = false;
};

volatile std::sig_atomic_t stop_watching = 0;

void catch_stop_of_watch() {
  struct sigaction action{};
  action.sa_handler = [](int) { stop_watching = 1; };
  for (const int signal : {SIGINT, SIGTERM, SIGHUP}) ::sigaction(signal, &action, nullptr);
}

Result<WatchOptions> watch_options_of(const WatchWords& w) {
  WatchOptions o;
  if (w.netns != "all") {
    if (!w.netns.empty())
      if (auto entered = enter_netns(w.netns); !entered) return std::unexpected(entered.error());
    o.netns = this_netns();
  }
  if (!w.dev.empty()) {
    o.ifindex = ::if_nametoindex(w.dev.c_str());
    if (o.ifindex == 0)
      return fail(fmt::format("--dev {}: no such device in this namespace", w.dev));
  }
  o.pid = w.pid;
  if (!w.mark.empty()) {
    const auto mark = parse_number(w.mark, 0xffffffff);
    if (!mark) return fail(fmt::format("--mark {}: a number is wanted", w.mark));
    o.mark = static_cast<std::uint32_t>(*mark);
  }
  for (const std::string& text : w.stages) {
    const auto stage = find_stage(text);
    if (!stage)
      return fail(fmt::format("--stage {}: no such stage, docs/stages.md lists them", text));
    o.stages.push_back(*stage);
  }
  for (const std::string& word : w.filter) o.filter += (o.filter.empty() ? "" : " ") + word;
  o.latency = w.latency;
  o.counts = w.count || w.drops;
  o.drops_only = w.drop_only || (w.drops && !w.count);
  o.events = !(w.count || w.drops || w.latency) || !w.pcap.empty() || !w.trace_to.empty() ||
             !w.record.empty();
  o.frames = !w.pcap.empty();
  return o;
}

std::int64_t wall_offset() {
  timespec wall{}, mono{};
  ::clock_gettime(CLOCK_REALTIME, &wall);
  ::clock_gettime(CLOCK_MONOTONIC, &mono);
  return (wall.tv_sec - mono.tv_sec) * kSecond + (wall.tv_nsec - mono.tv_nsec);
}

// What is written beside the terminal.
struct WatchFiles {
  std::shared_ptr<PcapngWriter> pcap;
  std::unique_ptr<Recorder> recorder;
  std::vector<std::unique_ptr<WatchSink>> sinks;

  Result<void> open(const WatchWords& w) {
    if (!w.pcap.empty()) {
      auto opened = PcapngWriter::open(w.pcap);
      if (!opened) return fail("--pcap " + opened.error().what);
      pcap = std::move(*opened);
    }
    for (const std::string& path : w.trace_to) {
      auto sink = make_watch_sink(path);
      if (!sink) return fail("--trace-to " + sink.error().what);
      sinks.push_back(std::move(*sink));
    }
    if (!w.record.empty()) {
      auto opened = Recorder::open(w.record);
      if (!opened) return fail("--record " + opened.error().what);
      recorder = std::move(*opened);
      sinks.push_back(make_watch_recorder(*recorder));
    }
    return {};
  }
  // Errors: of all of them the first.
  Result<void> close() {
    Result<void> result;
    const auto note = [&](std::string_view option, const Result<void>& closed) {
      if (!closed && result) result = fail(fmt::format("{} {}", option, closed.error().what));
    };
    if (pcap) note("--pcap", pcap->close());
    for (const auto& sink : sinks) note("--trace-to", sink->close());
    if (recorder) note("--record", recorder->close());
    return result;
  }
};

class Watcher {
 public:
  Watcher(Watch& watch, const WatchWords& words, WatchFiles& files)
      : watch_(watch), words_(words), files_(files), offset_(wall_offset()) {}

  int run() {
    const Clock clock = Clock::monotonic();
    const Nanos begin = clock.now();
    const auto ns = [](double seconds) { return static_cast<Nanos>(seconds * 1e9); };
    const Nanos end = words_.seconds > 0 ? begin + ns(words_.seconds) : 0;
    Nanos next = begin + ns(words_.interval);
    const std::function<void(const WatchEvent&)> sink = [this](const WatchEvent& e) { tell(e); };
    while (stop_watching == 0 && code_ == kOk) {
      const Nanos now = clock.now();
      if (end != 0 && now >= end) break;
      if (now >= next) {
        next += ns(words_.interval);
        tell_lost();
        if (totals()) show();
        if (code_ != kOk) break;
      }
      Nanos until = next;
      if (end != 0) until = std::min(until, end);
      watch_.poll(static_cast<int>(std::clamp<Nanos>((until - now) / kMillisecond, 1, 200)), sink);
      flush();
    }
    watch_.poll(0, sink);  // what came in between
    flush();
    tell_lost();
    if (totals() && code_ == kOk) show();
    return code_;
  }

 private:
  // Whether events are printed: where no file was named for them.
  bool lines() const { return !totals() && files_.sinks.empty(); }
  bool totals() const { return words_.count || words_.drops || words_.latency; }

  void tell(const WatchEvent& e) {
    for (const auto& sink : files_.sinks) sink->write(e, static_cast<Nanos>(e.raw->t) + offset_);
    if (!e.frame.empty() && files_.pcap) {
      Link dev;
      dev.name = std::string(e.raw->dev, ::strnlen(e.raw->dev, sizeof e.raw->dev));
      dev.ifindex = static_cast<int>(e.raw->ifindex);
      files_.pcap->packet(dev, static_cast<Nanos>(e.raw->t) + offset_, e.frame, true);
    }
    if (!lines()) return;
    out_ += words_.json ? watch_event_json(e).dump() + "\n" : watch_event_text(e, offset_);
  }

  void flush() {
    if (out_.empty()) return;
    code_ = print(out_);
    out_.clear();
  }

  void tell_lost() {
    const std::uint64_t lost = watch_.lost();
    if (lost == lost_) return;
    if (files_.recorder) files_.recorder->lose(static_cast<std::int64_t>(lost - lost_));
    if (!files_.sinks.empty())
      warn(fmt::format("watch: {} events are lost", lost - lost_));
    else if (lines())
      out_ += words_.json ? fmt::format("{{\"lost\":{}}}\n", lost - lost_)
                          : fmt::format("lost {} events\n", lost - lost_);
    lost_ = lost;
    flush();
  }

  void show() {
    const WatchTotals t = watch_.totals();
    if (words_.json) {
      code_ = print(watch_totals_json(t).dump() + "\n");
    } else {
      const WatchTables tables{words_.count, words_.drops || (words_.count && !t.drops.empty()),
                               words_.latency};
      code_ = print((shown_ ? "\n" : "") + watch_totals_text(t, tables));
      shown_ = true;
    }
  }

  Watch& watch_;
  const WatchWords& words_;
  WatchFiles& files_;
  const Nanos offset_;
  std::string out_;
  std::uint64_t lost_ = 0;
  int code_ = kOk;
  bool shown_ = false;
};

}  // namespace

int watch(const Arguments& arguments) {
  WatchWords w;
  CLI::App app("The running kernel's send path, from its tracepoints, in the same stages.",
               "watch");
  app.add_option("filter", w.filter, "a pcap-filter expression, see below");
  app.add_flag("--count", w.count, "counts by stage and device instead of lines");
  app.add_flag("--drops", w.drops, "drops by reason, stage and place");
  app.add_flag("--latency", w.latency, "times between stages, by packet");
  app.add_option("--seconds", w.seconds, "ends after that long")->check(CLI::PositiveNumber);
  app.add_option("--interval", w.interval, "seconds between two prints of counts; 1")
      ->check(CLI::PositiveNumber);
  app.add_option("--pid", w.pid, "only what this process sends")->check(CLI::PositiveNumber);
  app.add_option("--netns", w.netns, "another namespace, by name or path, or all of them")
      ->option_text("NAME|all");
  app.add_option("--dev", w.dev, "only this device of this namespace");
  app.add_option("--mark", w.mark, "only packets with this mark");
  app.add_option("--stage", w.stages, "only this stage; may be repeated")
      ->expected(1)
      ->multi_option_policy(CLI::MultiOptionPolicy::TakeAll);
  app.add_flag("--drop-only", w.drop_only, "only lines of drops");
  app.add_option("--pcap", w.pcap, "writes the frames that drivers got there")
      ->option_text("OUT.pcapng");
  app.add_option("--trace-to", w.trace_to,
                 "writes each event there, by the name's end: .jsonl, .json for Perfetto, .pcapng, "
                 "else text")
      ->option_text("FILE")
      ->allow_extra_args(false);
  app.add_option("--record", w.record,
                 "keeps drops and failed calls in this store, for txpath query")
      ->option_text("FILE");
  app.add_flag("-j,--json", w.json, "JSON: one object a line");
  app.footer(std::string(kFooter));
  if (const auto code = parse(app, arguments)) return *code;
  const auto options = watch_options_of(w);
  if (!options) return complain("watch: " + options.error().what);
  WatchFiles files;
  if (auto opened = files.open(w); !opened) return complain("watch: " + opened.error().what);
  catch_stop_of_watch();
  auto watch = Watch::open(*options);
  if (!watch) return complain("watch: " + watch.error().what);
  const int code = Watcher(**watch, w, files).run();
  watch->reset();  // detached before the last word
  if (auto closed = files.close(); !closed) return complain("watch: " + closed.error().what);
  if (files.recorder && files.recorder->lost() != 0)
    warn(fmt::format("--record: {} records are lost", files.recorder->lost()));
  return code;
}

}  // namespace txp::cli
