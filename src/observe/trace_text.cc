// SPDX-License-Identifier: Apache-2.0
// Traces as text, a line an event, in the manner of pwru and retis: when, which packet, where, the
// flow, what came of it.
#include <fmt/chrono.h>
#include <fmt/format.h>

#include "explain/report.h"
#include "observe/trace_json.h"
#include "observe/trace_log.h"

namespace txp {

std::string flow_text(const TraceFlow& f) {
  return fmt::format("{}:{} > {}:{} udp", f.src.str(), f.sport, f.dst.str(), f.dport);
}

std::string event_words(const TraceEvent& e) {
  std::string words = fields_line(e.out);
  for (const ReportObject& o : e.by)
    words += fmt::format("{}[{} {}]", words.empty() ? "" : " ", o.kind, object_line(o));
  return words;
}

std::string trace_text(const TracedPacket& p) {
  const std::string flow = flow_text(p.flow);
  std::string out;
  for (const TraceEvent& e : p.events) {
    const Nanos at = p.wall + e.since;
    const std::string words = event_words(e);
    out += fmt::format("{:%H:%M:%S}.{:09} #{} {:>9.1f} us  {:<22} {} {:>5} B  {}{}{}{}\n",
                       fmt::localtime(static_cast<std::time_t>(at / kSecond)), at % kSecond,
                       p.number, static_cast<double>(e.since) / 1e3, name(e.stage), flow, e.len,
                       e.result, e.reason ? fmt::format(" {}", name(*e.reason)) : "",
                       words.empty() ? "" : "  ", words);
  }
  if (p.error != 0)
    out += fmt::format("#{} the call fails with {}\n", p.number, Errno{p.error}.name());
  return out;
}

}  // namespace txp
