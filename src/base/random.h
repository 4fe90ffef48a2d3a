// SPDX-License-Identifier: Apache-2.0
// The random source of a Net: get_random_u32() and friends. Seeded, so that tests repeat.
#pragma once

#include <atomic>
#include <cstdint>

namespace txp {

// SplitMix64 (Steele, Lea, Flood 2014) over an atomic counter. Not for secrets.
// Thread safety: any thread.
class Random {
 public:
  explicit Random(std::uint64_t seed) : state_(seed) {}

  std::uint64_t u64() {
    std::uint64_t z =
        state_.fetch_add(0x9e3779b97f4a7c15ULL, std::memory_order_relaxed) + 0x9e3779b97f4a7c15ULL;
    z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9ULL;
    z = (z ^ (z >> 27)) * 0x94d049bb133111ebULL;
    return z ^ (z >> 31);
  }
  std::uint32_t u32() { return static_cast<std::uint32_t>(u64() >> 32); }
  // Uniform in [0, ceil). Zero when ceil is zero. Kernel: get_random_u32_below().
  std::uint32_t below(std::uint32_t ceil) {
    return static_cast<std::uint32_t>((std::uint64_t{u32()} * ceil) >> 32);
  }
  void seed(std::uint64_t seed) { state_.store(seed, std::memory_order_relaxed); }

 private:
  std::atomic<std::uint64_t> state_;
};

}  // namespace txp
