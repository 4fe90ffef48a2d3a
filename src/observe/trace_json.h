// SPDX-License-Identifier: Apache-2.0
// Traced packets as JSON.
#pragma once

#include "observe/stat.h"
#include "observe/trace_log.h"

namespace txp {

// "10.0.0.1:4000 > 10.0.0.2:53 udp".
std::string flow_text(const TraceFlow& flow);
// What decided, and what came out: "dev va, mtu 1500 [route 10.0.0.0/8 dev va]".
std::string event_words(const TraceEvent& event);
// One object: "packet", "at" (ms since the epoch), "flow", "errno", "events" with "ns" since the
// call began, "stage", "len", "result", "reason", "by" in words.
Json trace_packet_json(const TracedPacket& packet);
// Its "events" alone.
Json trace_events_json(const TracedPacket& packet);

}  // namespace txp
