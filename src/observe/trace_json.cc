// SPDX-License-Identifier: Apache-2.0
#include "observe/trace_json.h"

#include <unistd.h>

#include <nlohmann/json.hpp>

#include "explain/report.h"

namespace txp {
namespace {

Json reason_json(const TraceEvent& e) {
  return e.reason ? Json(std::string(name(*e.reason))) : Json(nullptr);
}

Json errno_json(int error) { return error != 0 ? Json(Errno{error}.name()) : Json(nullptr); }

Json objects_json(const TraceEvent& e) {
  Json by = Json::array();
  for (const ReportObject& o : e.by) by.push_back(o.kind + " " + object_line(o));
  return by;
}

Json out_json(const TraceEvent& e) {
  Json out = Json::object();
  for (const auto& [key, value] : e.out)
    out[key] = std::visit([](const auto& v) { return Json(v); }, value);
  return out;
}

Json flow_json(const TraceFlow& f) {
  return Json{{"proto", "udp"},
              {"src", f.src.str()},
              {"sport", f.sport},
              {"dst", f.dst.str()},
              {"dport", f.dport}};
}

}  // namespace

Json trace_events_json(const TracedPacket& p) {
  Json events = Json::array();
  for (const TraceEvent& e : p.events)
    events.push_back(Json{{"ns", e.since},
                          {"stage", name(e.stage)},
                          {"len", e.len},
                          {"result", e.result},
                          {"reason", reason_json(e)},
                          {"by", objects_json(e)}});
  return events;
}

Json trace_packet_json(const TracedPacket& p) {
  return Json{{"packet", p.number},
              {"at", p.wall / kMillisecond},
              {"flow", flow_text(p.flow)},
              {"errno", errno_json(p.error)},
              {"events", trace_events_json(p)}};
}

std::string trace_json_lines(const TracedPacket& p) {
  std::string lines;
  for (const TraceEvent& e : p.events) {
    const bool last = &e == &p.events.back();
    const Json j{{"t", p.wall + e.since},
                 {"packet", p.number},
                 {"stage", name(e.stage)},
                 {"pid", ::getpid()},
                 {"len", e.len},
                 {"flow", flow_json(p.flow)},
                 {"result", e.result},
                 {"reason", reason_json(e)},
                 {"errno", last ? errno_json(p.error) : Json(nullptr)},
                 {"by", objects_json(e)},
                 {"out", out_json(e)},
                 {"since_ns", e.since}};
    lines += j.dump(-1, ' ', false, Json::error_handler_t::replace) + "\n";
  }
  return lines;
}

}  // namespace txp
