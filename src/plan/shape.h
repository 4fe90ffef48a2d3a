// SPDX-License-Identifier: Apache-2.0
// What a flown datagram counts. A walk's counts are the same for every flow that goes the same way,
// so they are kept once as a shape; a flight adds one packet to its shape, and readers multiply.
#pragma once

#include <array>
#include <atomic>
#include <cstdint>

#include "observe/counters.h"

namespace txp {

// The counters that a walk may touch above the device: those of stages, the protocol counters, and
// what is born.
inline constexpr std::size_t kFlightCounts = 2 * kStageCount + kSnmpCount + 1;

// What one datagram of `payload` bytes adds to each: of + (times ? payload : 0).
struct FlightCounts {
  struct Linear {
    std::uint16_t of : 15 = 0;
    std::uint16_t times : 1 = 0;
    friend bool operator==(const Linear&, const Linear&) = default;
  };
  std::array<Linear, kFlightCounts> each{};
  friend bool operator==(const FlightCounts&, const FlightCounts&) = default;
};

// Calls visit(i, Count&) for all kFlightCounts of them, in the order of FlightCounts::each.
template <typename Counted, typename Visit>
void each_flight_count(Counted& c, Visit&& visit) {
  std::size_t i = 0;
  for (auto& stage : c.stages) {
    visit(i++, stage.packets);
    visit(i++, stage.bytes);
  }
  for (auto& counter : c.snmp) visit(i++, counter);
  visit(i, c.sent);
}

struct FlightShape {
  FlightCounts counts;
  Count packets;  // that flew so
  Count bytes;    // their payload
};

// The shapes of one thread: written by it, read by anyone. They are few; when there is no room for
// one more, a flow keeps walking.
class FlightShapes {
 public:
  static constexpr std::size_t kMost = 16;
  // The shape of these counts, made when there is none; kMost: no room.
  std::size_t find(const FlightCounts& counts) {
    const std::size_t n = count_.load(std::memory_order_relaxed);
    for (std::size_t i = 0; i < n; ++i)
      if (shapes_[i].counts == counts) return i;
    if (n == kMost) return kMost;
    shapes_[n].counts = counts;
    count_.store(n + 1, std::memory_order_release);
    return n;
  }
  FlightShape& operator[](std::size_t i) { return shapes_[i]; }
  // Adds what flew to `totals`; answers the number of datagrams.
  std::uint64_t add_to(CounterTotals& totals) const {
    std::uint64_t flown = 0;
    const std::size_t n = count_.load(std::memory_order_acquire);
    for (std::size_t s = 0; s < n; ++s) {
      const std::uint64_t packets = shapes_[s].packets.get();
      const std::uint64_t bytes = shapes_[s].bytes.get();
      each_flight_count(totals, [&](std::size_t i, std::uint64_t& total) {
        const FlightCounts::Linear& l = shapes_[s].counts.each[i];
        total += l.of * packets + l.times * bytes;
      });
      // Later fragments have shapes of their own, which begin further down.
      if (shapes_[s].counts.each[0].of != 0) flown += packets;
    }
    return flown;
  }

 private:
  std::array<FlightShape, kMost> shapes_;
  std::atomic<std::size_t> count_{0};
};

}  // namespace txp
