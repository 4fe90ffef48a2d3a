// SPDX-License-Identifier: Apache-2.0
// How long packets take: from the send call to the driver's taking them, with two readings of the
// processor's counter a packet; and by stage, when asked for, with one a stage. Off: a branch a
// call.
#pragma once

#include <array>
#include <cstdint>

#include "observe/histogram.h"
#include "path.h"

namespace txp {

enum class LatencyMode : std::uint8_t {
  off,
  call,   // from the call to the driver
  stage,  // and from a packet's coming to a stage to its coming to the next; every call walks
};

// What one thread has measured.
struct Latency {
  Histogram call;
  std::array<Histogram, kStageCount> stages;
};

struct LatencyTotals {
  HistogramTotals call;
  std::array<HistogramTotals, kStageCount> stages;
  void add(const Latency& latency);
};

}  // namespace txp
