// SPDX-License-Identifier: Apache-2.0
// point.h as C++ sees it: the points with their stages, in the order of the path.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <string_view>

#include "path.h"
#include "watch/point.h"

namespace txp {

enum class PointKind : std::uint8_t { packet, more, entry, end };

struct WatchPoint {
  txp_watch_point point;
  Stage stage;  // of kind `end`: not known from the point, see drop_stage.h
  PointKind kind;
  std::string_view program;
  std::string_view event;
  // The tracepoint's or function's own name, without its group.
  constexpr std::string_view target() const {
    const std::size_t colon = event.find(':');
    return colon == std::string_view::npos ? event : event.substr(colon + 1);
  }
};

inline constexpr std::array kWatchPoints = {
#define X(point, stage, kind, event) \
  WatchPoint{TXP_POINT_##point, Stage::stage, PointKind::kind, "on_" #point, event},
    TXP_WATCH_POINTS(X)
#undef X
};
static_assert(kWatchPoints.size() == TXP_POINT_COUNT);

// Where the latency of a packet is taken, as it is printed.
inline constexpr std::array<std::string_view, 7> kMarkNames = {
    "call",          "__dev_queue_xmit",    "qdisc_enqueue",
    "qdisc_dequeue", "dev_hard_start_xmit", "ndo_start_xmit",
    "freed"};

}  // namespace txp
