// SPDX-License-Identifier: Apache-2.0
#include "watch/sink.h"

#include <fmt/format.h>

#include <nlohmann/json.hpp>
#include <set>

#include "base/whole_file.h"
#include "dev/link.h"
#include "tap/pcapng_writer.h"
#include "watch/flow.h"
#include "watch/report.h"

namespace txp {
namespace {

std::string stage_name(const WatchEvent& e) {
  if (e.stage) return std::string(name(*e.stage));
  return e.raw->point == TXP_POINT_consume_skb ? "(freed)" : "?";
}

// Text and JSON lines.
class WatchLines : public WatchSink {
 public:
  WatchLines(std::string path, WholeFile file, bool json)
      : path_(std::move(path)), file_(std::move(file)), json_(json) {}
  void write(const WatchEvent& e, Nanos wall) override {
    put(json_ ? json_line(watch_event_json(e))
              : watch_event_text(e, wall - static_cast<Nanos>(e.raw->t)));
  }
  Result<void> close() override {
    if (error_) error_ = file_.commit();
    if (!error_) return fail(path_ + ": " + error_.error().what);
    return {};
  }

 protected:
  static std::string json_line(const Json& j) {
    return j.dump(-1, ' ', false, Json::error_handler_t::replace) + "\n";
  }
  void put(std::string_view text) {
    if (error_) error_ = file_.write(text);
  }

 private:
  const std::string path_;
  WholeFile file_;
  const bool json_;
  Result<void> error_;
};

// The Trace Event Format of Chrome, which Perfetto reads. What belongs to no packet is on a track
// of its process's.
class WatchChrome final : public WatchLines {
 public:
  WatchChrome(std::string path, WholeFile file)
      : WatchLines(std::move(path), std::move(file), true) {
    put(R"({"displayTimeUnit":"ns","traceEvents":[)");
  }
  void write(const WatchEvent& e, Nanos wall) override {
    const txp_watch_event& r = *e.raw;
    // Tracks have 31 bits.
    const std::uint64_t track = r.packet & 0x7fffffff;
    name_tracks(e, track);
    Json args{{"event", e.point->event}, {"len", r.len}};
    if (r.dev[0] != 0) args["dev"] = std::string(r.dev, ::strnlen(r.dev, sizeof r.dev));
    if (const std::string word = watch_word(r); !word.empty()) args["said"] = word;
    if (!e.reason.empty()) args["reason"] = e.reason, args["location"] = e.location;
    // The way from the point before.
    if (r.since != 0 && r.t > r.since && r.since_point < TXP_POINT_COUNT) {
      const Nanos took = static_cast<Nanos>(r.t - r.since);
      event({{"name", name(kWatchPoints[r.since_point].stage)},
             {"cat", "stage"},
             {"ph", "X"},
             {"ts", micros(wall - took)},
             {"dur", micros(took)}},
            r.pid, track);
    }
    event({{"name", e.reason.empty() ? stage_name(e) : e.reason + " at " + stage_name(e)},
           {"cat", e.reason.empty() ? "point" : "drop"},
           {"ph", "i"},
           {"s", "t"},
           {"ts", micros(wall)},
           {"args", std::move(args)}},
          r.pid, track);
  }
  Result<void> close() override {
    put("\n]}\n");
    return WatchLines::close();
  }

 private:
  static double micros(Nanos n) { return static_cast<double>(n) / 1e3; }
  void name_tracks(const WatchEvent& e, std::uint64_t track) {
    const txp_watch_event& r = *e.raw;
    if (processes_.insert(r.pid).second)
      event({{"name", "process_name"},
             {"ph", "M"},
             {"args",
              {{"name",
                r.pid == 0 ? "kernel" : std::string(r.comm, ::strnlen(r.comm, sizeof r.comm))}}}},
            r.pid, 0);
    if (!tracks_.insert({r.pid, track}).second) return;
    const auto flow = watch_flow(r);
    event({{"name", "thread_name"},
           {"ph", "M"},
           {"args",
            {{"name", track == 0
                          ? "sockets"
                          : fmt::format("#{:x} {}", r.packet, flow ? flow_text(*flow) : "")}}}},
          r.pid, track);
  }
  void event(Json j, std::uint32_t pid, std::uint64_t track) {
    j["pid"] = pid;
    j["tid"] = track;
    put((first_ ? "\n" : ",\n") + j.dump(-1, ' ', false, Json::error_handler_t::replace));
    first_ = false;
  }
  bool first_ = true;
  std::set<std::uint32_t> processes_;
  std::set<std::pair<std::uint32_t, std::uint64_t>> tracks_;
};

// The packet as it was at each stage, as far as it was read (TXP_WATCH_EVENT_HDR).
class WatchPcapng final : public WatchSink {
 public:
  explicit WatchPcapng(std::shared_ptr<PcapngWriter> writer) : writer_(std::move(writer)) {}
  void write(const WatchEvent& e, Nanos wall) override {
    const txp_watch_event& r = *e.raw;
    if (r.skb == 0 || r.hdr_len == 0 || !e.stage) return;
    Link stage;
    stage.name = name(*e.stage);
    stage.ifindex = 1;
    const std::span<const std::uint8_t> bytes =
        e.frame.empty() ? std::span(r.hdr, std::min<std::size_t>(r.hdr_len, sizeof r.hdr))
                        : e.frame;
    const std::string word = watch_word(r);
    writer_->packet(stage, wall, bytes,
                    {.outgoing = true,
                     .id = r.packet,
                     .len = r.len,
                     .comment = fmt::format(
                         "packet {}, {}: {}{}", r.packet, stage.name,
                         e.reason.empty() ? (word.empty() ? "ok" : word) : "drop " + e.reason,
                         e.location.empty() ? "" : "; " + e.location)});
  }
  Result<void> close() override { return writer_->close(); }

 private:
  std::shared_ptr<PcapngWriter> writer_;
};

}  // namespace

Result<std::unique_ptr<WatchSink>> make_watch_sink(const std::string& path) {
  if (path.ends_with(".pcapng")) {
    auto writer = PcapngWriter::open(path);
    if (!writer) return std::unexpected(writer.error());
    return std::make_unique<WatchPcapng>(std::move(*writer));
  }
  auto file = WholeFile::create(path);
  if (!file) return fail(path + ": " + file.error().what);
  if (path.ends_with(".json")) return std::make_unique<WatchChrome>(path, std::move(*file));
  return std::make_unique<WatchLines>(path, std::move(*file), path.ends_with(".jsonl"));
}

}  // namespace txp
