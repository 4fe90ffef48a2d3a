// SPDX-License-Identifier: Apache-2.0
// What was watched, for people and for programs (docs/watch.md).
#pragma once

#include <string>

#include "observe/stat.h"
#include "watch/watch.h"

namespace txp {

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
