// SPDX-License-Identifier: Apache-2.0
#include "base/clock.h"

#if defined(__x86_64__)
#include <cpuid.h>
#endif

#include <ctime>

namespace txp {
namespace {
Nanos read(clockid_t id) {
  timespec ts{};
  ::clock_gettime(id, &ts);
  return Nanos{ts.tv_sec} * kSecond + ts.tv_nsec;
}
}  // namespace

Nanos Clock::read_monotonic() { return read(CLOCK_MONOTONIC); }

void Clock::calibrate() {
#if defined(__x86_64__)
  unsigned a = 0, b = 0, c = 0, d = 0;
  constexpr unsigned kInvariantTsc = 1U << 8;  // of CPUID 0x80000007, EDX
  if (is_manual() || tick_ns_ != 0 || __get_cpuid(0x80000007, &a, &b, &c, &d) == 0 ||
      (d & kInvariantTsc) == 0)
    return;
  constexpr Nanos kLong = 2 * kMillisecond;
  const Nanos start = read_monotonic();
  const std::uint64_t first = __builtin_ia32_rdtsc();
  Nanos end = start;
  while (end - start < kLong) end = read_monotonic();
  const std::uint64_t last = __builtin_ia32_rdtsc();
  tick_ns_ = (static_cast<std::uint64_t>(end - start) << kTickShift) / (last - first);
#endif
}

Nanos Clock::wall() const { return is_manual() ? now() : read(CLOCK_REALTIME); }

}  // namespace txp
