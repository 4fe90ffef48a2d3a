// SPDX-License-Identifier: Apache-2.0
// Rates as disciplines reckon with them: bytes into nanoseconds by a multiplication and a shift,
// with the kernel's rounding. Kernel twin: net/sched/sch_generic.c (psched_ratecfg_precompute()),
// include/net/sch_generic.h (psched_l2t_ns()), include/net/pkt_sched.h (PSCHED_TICKS2NS()).
#pragma once

#include <cstdint>

#include <linux/pkt_sched.h>

#include "base/clock.h"

namespace txp {

// The kernel's ticks are 64 ns.
constexpr Nanos psched_ticks2ns(std::uint32_t ticks) { return Nanos{ticks} << 6; }
constexpr std::int64_t psched_ns2ticks(Nanos ns) { return ns >> 6; }

struct Ratecfg {
  std::uint64_t rate_bytes_ps = 0;
  std::uint32_t mult = 1;
  std::uint16_t overhead = 0;
  std::uint16_t mpu = 0;
  bool atm = false;
  std::uint8_t shift = 0;

  Ratecfg() = default;
  Ratecfg(const tc_ratespec& conf, std::uint64_t rate64)
      : rate_bytes_ps(conf.rate > rate64 ? conf.rate : rate64),
        overhead(conf.overhead),
        mpu(conf.mpu),
        atm((conf.linklayer & TC_LINKLAYER_MASK) == TC_LINKLAYER_ATM) {
    if (rate_bytes_ps == 0) return;
    // The largest factor for which the quotient still has 32 bits.
    std::uint64_t factor = 1000000000;
    for (;;) {
      mult = static_cast<std::uint32_t>(factor / rate_bytes_ps);
      if ((mult & 0x80000000U) != 0 || (factor >> 63) != 0) break;
      factor <<= 1;
      ++shift;
    }
  }

  // psched_l2t_ns(): how long `len` bytes take.
  Nanos l2t_ns(std::uint32_t len) const {
    len += overhead;
    if (len < mpu) len = mpu;
    if (atm) len = (len + 47) / 48 * 53;  // ATM cells
    return static_cast<Nanos>((std::uint64_t{len} * mult) >> shift);
  }
  // psched_ns_t2l(): how many bytes fit into `ns`; wraps where the kernel's does.
  std::uint64_t ns_t2l(Nanos ns) const {
    std::uint64_t len = static_cast<std::uint64_t>(ns) * rate_bytes_ps / 1000000000;
    if (atm) len = len / 53 * 48;
    return len > overhead ? len - overhead : 0;
  }
};

}  // namespace txp
