// SPDX-License-Identifier: Apache-2.0
// The only reader of time. Every Net owns one Clock; tests own its hands.
#pragma once

#include <atomic>
#include <cstdint>

namespace txp {

using Nanos = std::int64_t;  // nanoseconds, CLOCK_MONOTONIC or since the start of a manual clock

inline constexpr Nanos kMillisecond = 1'000'000;
inline constexpr Nanos kSecond = 1'000'000'000;

// Thread safety: now() from any thread; advance() from one thread at a time.
class Clock {
 public:
  static Clock monotonic() { return Clock(-1); }
  static Clock manual(Nanos start = 0) { return Clock(start); }
  Clock(const Clock& o) : manual_(o.manual_.load(std::memory_order_relaxed)) {}
  Clock& operator=(const Clock& o) {
    manual_.store(o.manual_.load(std::memory_order_relaxed), std::memory_order_relaxed);
    return *this;
  }

  Nanos now() const {
    Nanos t = manual_.load(std::memory_order_relaxed);
    return t >= 0 ? t : read_monotonic();
  }
  bool is_manual() const { return manual_.load(std::memory_order_relaxed) >= 0; }
  // Only for a manual clock.
  void advance(Nanos by) { manual_.fetch_add(by, std::memory_order_relaxed); }

  // Wall-clock time for capture files, ns since the epoch (a manual clock's own time when manual).
  Nanos wall() const;

 private:
  explicit Clock(Nanos manual) : manual_(manual) {}
  static Nanos read_monotonic();
  std::atomic<Nanos> manual_;  // -1: the monotonic clock
};

}  // namespace txp
