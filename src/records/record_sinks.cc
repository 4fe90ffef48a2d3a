// SPDX-License-Identifier: Apache-2.0
#include "records/record_sinks.h"

#include <algorithm>
#include <nlohmann/json.hpp>

#include "explain/report.h"
#include "observe/trace_json.h"

namespace txp {
namespace {

class RecordSink final : public TraceSink {
 public:
  explicit RecordSink(Recorder& recorder) : recorder_(recorder) {}
  void write(const TracedPacket& packet) override { recorder_.put(record_of(packet)); }
  Result<void> close() override { return {}; }  // the recorder's own close() tells

 private:
  Recorder& recorder_;
};

}  // namespace

Record record_of(const Failure& f, std::uint64_t times) {
  Record r;
  r.kind = f.error != 0 ? record_kind::kFailure : record_kind::kDrop;
  if (f.stage) r.stage = name(*f.stage);
  if (f.reason) r.reason = name(*f.reason);
  if (f.error != 0) r.error = Errno{f.error}.name();
  r.proto = name(f.way.proto);
  r.src = f.way.src_text().value_or("");
  r.sport = f.way.sport.value_or(0);
  r.dst = f.way.dst_text();
  r.dport = f.way.dport;
  r.dev = f.dev;
  r.len = static_cast<std::int64_t>(f.way.len);
  r.count = static_cast<std::int64_t>(times);
  r.object = f.object;
  r.change = f.change;
  return r;
}

Record record_of(const TracedPacket& p) {
  Record r;
  r.time = p.wall;
  r.kind = record_kind::kTrace;
  r.proto = "udp";
  r.src = p.flow.src.str();
  r.sport = p.flow.sport;
  r.dst = p.flow.dst.str();
  r.dport = p.flow.dport;
  if (p.error != 0) r.error = Errno{p.error}.name();
  for (const TraceEvent& e : p.events) {
    if (e.len != 0 && r.len == 0) r.len = static_cast<std::int64_t>(e.len);
    for (const auto& [key, value] : e.out)
      if (const auto* dev = std::get_if<std::string>(&value); key == "dev" && dev != nullptr)
        r.dev = *dev;
    if (!e.reason) continue;
    r.stage = name(e.stage);
    r.reason = name(*e.reason);
    if (const ReportObject* o = decided(e.by)) r.object = o->kind + " " + object_line(*o);
    const auto pass = std::ranges::find(e.by, kWouldPass, &ReportObject::kind);
    if (pass != e.by.end()) r.change = object_line(*pass);
  }
  if (p.error != 0 && r.stage.empty() && !p.events.empty()) r.stage = name(p.events.back().stage);
  r.trace = trace_events_json(p).dump(-1, ' ', false, Json::error_handler_t::replace);
  return r;
}

std::unique_ptr<TraceSink> make_record_sink(Recorder& recorder) {
  return std::make_unique<RecordSink>(recorder);
}

}  // namespace txp
