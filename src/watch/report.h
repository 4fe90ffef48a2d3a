// SPDX-License-Identifier: Apache-2.0
// What was watched, for people and for programs (docs/watch.md).
#pragma once

#include <string>

#include "observe/stat.h"
#include "watch/flow.h"
#include "watch/watch.h"

namespace txp {

// Whose packet or socket it is. What the event says beside: "error ENETUNREACH"; "": nothing.
std::optional<WatchFlow> watch_flow(const txp_watch_event& e);
std::string watch_word(const txp_watch_event& e);

// One object, without a newline; the keys are the command line's contract.
Json watch_event_json(const WatchEvent& e);
// "source": "kernel", and the stages and devices in the form of `stat`.
Json watch_totals_json(const WatchTotals& t);

// One line, ending in a newline. `wall_offset`: what CLOCK_REALTIME is ahead of CLOCK_MONOTONIC.
std::string watch_event_text(const WatchEvent& e, std::int64_t wall_offset);
struct WatchTables {
  bool stages = false, drops = false, latency = false;
};
std::string watch_totals_text(const WatchTotals& t, WatchTables tables);

}  // namespace txp
