// SPDX-License-Identifier: Apache-2.0
// Files that traces go to.
#include <fmt/format.h>
#include <unistd.h>

#include <nlohmann/json.hpp>

#include "base/whole_file.h"
#include "dev/link.h"
#include "explain/report.h"
#include "observe/trace_json.h"
#include "observe/trace_log.h"
#include "tap/pcapng_writer.h"

namespace txp {
namespace {

// Text and JSON lines: what `form` makes of a packet, one after the other.
class LinesSink : public TraceSink {
 public:
  using Form = std::string (*)(const TracedPacket&);
  LinesSink(std::string path, WholeFile file, Form form)
      : path_(std::move(path)), file_(std::move(file)), form_(form) {}
  void write(const TracedPacket& packet) override { put(form_(packet)); }
  Result<void> close() override {
    if (error_) error_ = file_.commit();
    if (!error_) return fail(path_ + ": " + error_.error().what);
    return {};
  }

 protected:
  void put(std::string_view text) {
    if (error_) error_ = file_.write(text);
  }

 private:
  const std::string path_;
  WholeFile file_;
  const Form form_;
  Result<void> error_;
};

// The Trace Event Format of Chrome, which Perfetto reads: a track a packet, a slice a stage, from
// the packet's coming there to its coming to the next one.
class ChromeSink final : public LinesSink {
 public:
  ChromeSink(std::string path, WholeFile file)
      : LinesSink(std::move(path), std::move(file), nullptr) {
    put(R"({"displayTimeUnit":"ns","traceEvents":[)");
    event({{"name", "process_name"}, {"ph", "M"}, {"args", {{"name", "txpath"}}}}, 0);
  }
  void write(const TracedPacket& p) override {
    event({{"name", "thread_name"},
           {"ph", "M"},
           {"args", {{"name", fmt::format("#{} {}", p.number, flow_text(p.flow))}}}},
          p.number);
    for (std::size_t i = 0; i < p.events.size(); ++i) {
      const TraceEvent& e = p.events[i];
      const Nanos end = i + 1 < p.events.size() ? p.events[i + 1].since : e.since + 1;
      Json args{{"len", e.len}, {"result", e.result}};
      if (e.reason) args["reason"] = name(*e.reason);
      if (const std::string words = event_words(e); !words.empty()) args["by"] = words;
      event({{"name", name(e.stage)},
             {"cat", e.reason ? "drop" : "stage"},
             {"ph", "X"},
             {"ts", micros(p.wall + e.since)},
             {"dur", micros(end - e.since)},
             {"args", std::move(args)}},
            p.number);
    }
  }
  Result<void> close() override {
    put("\n]}\n");
    return LinesSink::close();
  }

 private:
  static double micros(Nanos n) { return static_cast<double>(n) / 1e3; }
  void event(Json j, std::uint64_t track) {
    j["pid"] = ::getpid();
    j["tid"] = track;
    put((first_ ? "\n" : ",\n") + j.dump(-1, ' ', false, Json::error_handler_t::replace));
    first_ = false;
  }
  bool first_ = true;
};

// An interface a stage, from ip_send_skb on: above it there is no packet yet.
class PcapngSink final : public TraceSink {
 public:
  explicit PcapngSink(std::shared_ptr<PcapngWriter> writer) : writer_(std::move(writer)) {}
  bool wants_bytes() const override { return true; }
  void write(const TracedPacket& p) override {
    for (const TraceEvent& e : p.events) {
      if (e.bytes.bytes.empty()) continue;
      constexpr std::uint16_t kEthernet = 1;
      constexpr std::uint16_t kNone = 0xfffe;  // ARPHRD_NONE: bare IP
      Link stage;
      stage.name = name(e.stage);
      stage.type = e.bytes.ethernet ? kEthernet : kNone;
      stage.ifindex = stage.type;  // a stage that sees both kinds has an interface for each
      const std::string words = event_words(e);
      writer_->packet(
          stage, p.wall + e.since, e.bytes.bytes,
          {.outgoing = true,
           .id = p.number,
           .comment = fmt::format("packet {}, {}: {}{}{}{}", p.number, name(e.stage), e.result,
                                  e.reason ? " " : "", e.reason ? name(*e.reason) : "",
                                  words.empty() ? "" : "; " + words)});
    }
  }
  Result<void> close() override { return writer_->close(); }

 private:
  std::shared_ptr<PcapngWriter> writer_;
};

}  // namespace

Result<std::unique_ptr<TraceSink>> make_trace_sink(const std::string& path) {
  if (path.ends_with(".pcapng")) {
    auto writer = PcapngWriter::open(path);
    if (!writer) return std::unexpected(writer.error());
    return std::make_unique<PcapngSink>(std::move(*writer));
  }
  auto file = WholeFile::create(path);
  if (!file) return fail(path + ": " + file.error().what);
  if (path.ends_with(".json")) return std::make_unique<ChromeSink>(path, std::move(*file));
  const auto form = path.ends_with(".jsonl") ? trace_json_lines : trace_text;
  return std::make_unique<LinesSink>(path, std::move(*file), form);
}

}  // namespace txp
