// SPDX-License-Identifier: Apache-2.0
// netem's random numbers: the kernel's generator, so that the same seed gives the same losses.
// Kernel twin: lib/random32.c (prandom_u32_state()), include/linux/prandom.h; net/sched/sch_netem.c
// (get_crandom(), tabledist()).
#pragma once

#include <cstdint>
#include <vector>

namespace txp {

// LFSR113 (L'Ecuyer 1999).
class Prandom {
 public:
  void seed(std::uint64_t seed) {
    const auto i = static_cast<std::uint32_t>((seed >> 32) ^ (seed << 10) ^ seed);
    constexpr std::uint32_t kLeast[4] = {2, 8, 16, 128};
    for (int n = 0; n < 4; ++n) s_[n] = i < kLeast[n] ? i + kLeast[n] : i;
  }
  std::uint32_t u32() {
    const auto step = [](std::uint32_t s, int a, int b, std::uint32_t c, int d) {
      return ((s & c) << d) ^ (((s << a) ^ s) >> b);
    };
    s_[0] = step(s_[0], 6, 13, 4294967294U, 18);
    s_[1] = step(s_[1], 2, 27, 4294967288U, 2);
    s_[2] = step(s_[2], 13, 21, 4294967280U, 7);
    s_[3] = step(s_[3], 3, 12, 4294967168U, 13);
    return s_[0] ^ s_[1] ^ s_[2] ^ s_[3];
  }

 private:
  std::uint32_t s_[4] = {2, 8, 16, 128};
};

// Each number depends on the last one by `rho`, of 2^32.
struct CorrelatedRandom {
  std::uint32_t last = 0;
  std::uint32_t rho = 0;
  std::uint32_t next(Prandom& random) {
    const std::uint64_t value = random.u32();
    if (rho == 0) return static_cast<std::uint32_t>(value);
    const std::uint64_t r = std::uint64_t{rho} + 1;
    last = static_cast<std::uint32_t>((value * ((std::uint64_t{1} << 32) - r) + last * r) >> 32);
    return last;
  }
};

// A time around `mu` by `sigma`: uniform, or by a table of the distribution in 1/8192.
inline std::int64_t tabledist(std::int64_t mu, std::int32_t sigma, std::uint32_t rnd,
                              const std::vector<std::int16_t>& dist) {
  constexpr std::int64_t kScale = 8192;  // NETEM_DIST_SCALE
  if (sigma == 0) return mu;
  if (dist.empty())
    return static_cast<std::int64_t>(rnd % (2 * static_cast<std::uint32_t>(sigma))) + mu - sigma;
  const std::int64_t t = dist[rnd % dist.size()];
  std::int64_t x = (sigma % kScale) * t;
  x += x >= 0 ? kScale / 2 : -kScale / 2;
  return x / kScale + (sigma / kScale) * t + mu;
}

}  // namespace txp
