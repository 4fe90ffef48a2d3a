// SPDX-License-Identifier: Apache-2.0
// The generator's dice: the same on every machine, unlike the distributions of <random>.
#pragma once

#include <cstdint>
#include <initializer_list>
#include <span>
#include <vector>

namespace txp::kdiff {

class RandomSource {
 public:
  explicit RandomSource(std::uint64_t seed) : state_(seed) {}

  // splitmix64 (Steele, Lea, Flood 2014).
  std::uint64_t next() {
    std::uint64_t z = (state_ += 0x9e3779b97f4a7c15U);
    z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9U;
    z = (z ^ (z >> 27)) * 0x94d049bb133111ebU;
    return z ^ (z >> 31);
  }
  // From 0 to n - 1.
  std::size_t below(std::size_t n) { return static_cast<std::size_t>(next() % n); }
  int between(int low, int high) {
    return low + static_cast<int>(below(static_cast<std::size_t>(high - low + 1)));
  }
  bool percent(int n) { return below(100) < static_cast<std::size_t>(n); }

  template <typename T>
  const T& pick(const std::vector<T>& from) {
    return from[below(from.size())];
  }
  const char* pick(std::initializer_list<const char*> from) {
    return from.begin()[below(from.size())];
  }
  int pick(std::initializer_list<int> from) { return from.begin()[below(from.size())]; }

 private:
  std::uint64_t state_;
};

}  // namespace txp::kdiff
