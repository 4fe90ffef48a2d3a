// SPDX-License-Identifier: Apache-2.0
#include "base/clock.h"

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

Nanos Clock::wall() const { return is_manual() ? now() : read(CLOCK_REALTIME); }

}  // namespace txp
