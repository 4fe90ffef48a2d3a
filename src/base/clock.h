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
  Clock(const Clock& o)
      : manual_(o.manual_.load(std::memory_order_relaxed)), tick_ns_(o.tick_ns_) {}
  Clock& operator=(const Clock& o) {
    manual_.store(o.manual_.load(std::memory_order_relaxed), std::memory_order_relaxed);
    tick_ns_ = o.tick_ns_;
    return *this;
  }

  Nanos now() const {
    Nanos t = manual_.load(std::memory_order_relaxed);
    return t >= 0 ? t : read_monotonic();
  }
  bool is_manual() const { return manual_.load(std::memory_order_relaxed) >= 0; }
  // Only for a manual clock.
  void advance(Nanos by) { manual_.fetch_add(by, std::memory_order_relaxed); }

  // For intervals: about 10 ns to read where the processor counts at a constant rate, else now().
  // ns_of() makes them nanoseconds, once calibrate() has been called, which takes some 2 ms.
  std::uint64_t ticks() const {
#if defined(__x86_64__)
    if (tick_ns_ != 0) return __builtin_ia32_rdtsc();
#endif
    return static_cast<std::uint64_t>(now());
  }
  std::uint64_t ns_of(std::uint64_t ticks) const {
    return tick_ns_ != 0 ? ticks * tick_ns_ >> kTickShift : ticks;  // up to an hour
  }
  void calibrate();

  // Wall-clock time for capture files, ns since the epoch (a manual clock's own time when manual).
  Nanos wall() const;

 private:
  explicit Clock(Nanos manual) : manual_(manual) {}
  static Nanos read_monotonic();
  static constexpr unsigned kTickShift = 20;
  std::atomic<Nanos> manual_;  // -1: the monotonic clock
  std::uint64_t tick_ns_ = 0;  // ns a tick, in 2^-20; 0: ticks are nanoseconds
};

}  // namespace txp
