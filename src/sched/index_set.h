// SPDX-License-Identifier: Apache-2.0
// A set of small numbers that finds the next one fast: what htb keeps of the classes that may send.
// Bits with a summary above; never allocates after resize().
#pragma once

#include <bit>
#include <cstdint>
#include <vector>

namespace txp {

class IndexSet {
 public:
  void resize(std::size_t n) {
    words_.assign((n + 63) / 64, 0);
    summary_.assign((words_.size() + 63) / 64, 0);
    count_ = 0;
  }
  bool empty() const { return count_ == 0; }
  bool has(int i) const { return (words_[at(i)] >> (i & 63) & 1) != 0; }
  void set(int i) {
    std::uint64_t& w = words_[at(i)];
    count_ += (w >> (i & 63) & 1) == 0;
    w |= std::uint64_t{1} << (i & 63);
    summary_[at(i) / 64] |= std::uint64_t{1} << (at(i) & 63);
  }
  void clear(int i) {
    std::uint64_t& w = words_[at(i)];
    count_ -= (w >> (i & 63) & 1) != 0;
    w &= ~(std::uint64_t{1} << (i & 63));
    if (w == 0) summary_[at(i) / 64] &= ~(std::uint64_t{1} << (at(i) & 63));
  }
  void clear() { resize(words_.size() * 64); }
  // The smallest member not below `i`; -1: none.
  int next(int i) const {
    std::size_t w = at(i);
    if (w >= words_.size()) return -1;
    if (const std::uint64_t rest = words_[w] >> (i & 63)) return i + std::countr_zero(rest);
    ++w;
    for (std::size_t s = w / 64; s < summary_.size(); ++s) {
      const std::uint64_t bits =
          s == w / 64 ? summary_[s] & (~std::uint64_t{0} << (w & 63)) : summary_[s];
      if (bits == 0) continue;
      const std::size_t word = s * 64 + static_cast<std::size_t>(std::countr_zero(bits));
      return static_cast<int>(word * 64) + std::countr_zero(words_[word]);
    }
    return -1;
  }

 private:
  static std::size_t at(int i) { return static_cast<std::size_t>(i) / 64; }
  std::vector<std::uint64_t> words_;
  std::vector<std::uint64_t> summary_;
  std::size_t count_ = 0;
};

}  // namespace txp
