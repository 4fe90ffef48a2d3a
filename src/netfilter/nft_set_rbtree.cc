// SPDX-License-Identifier: Apache-2.0
// Intervals. Kernel twin: net/netfilter/nft_set_rbtree.c.
// Differs: a sorted row instead of a tree; keys are compared as bytes, the first the highest.
#include <algorithm>
#include <cstring>
#include <numeric>

#include "netfilter/nft_set.h"

namespace txp {
namespace {

// Bytes, the first the highest, as a number: keys of up to four.
std::uint32_t interval_number(const std::uint8_t* key, std::size_t klen) {
  std::uint32_t v = 0;
  for (std::size_t i = 0; i < klen; ++i) v = (v << 8) | key[i];
  return v;
}

}  // namespace

void NftSetIntervals::build(std::size_t klen, std::span<const NftElemKey> keys) {
  klen_ = klen;
  std::vector<std::int32_t> order(keys.size());
  std::iota(order.begin(), order.end(), 0);
  std::ranges::sort(order, [&](std::int32_t a, std::int32_t b) {
    return std::memcmp(keys[static_cast<std::size_t>(a)].key.data(),
                       keys[static_cast<std::size_t>(b)].key.data(), klen) < 0;
  });
  elem_ = order;
  for (const std::int32_t n : order) {
    const NftElemKey& k = keys[static_cast<std::size_t>(n)];
    const std::vector<std::uint8_t>& end = k.end.empty() ? k.key : k.end;
    if (klen <= 4) {
      from32_.push_back(interval_number(k.key.data(), klen));
      to32_.push_back(interval_number(end.data(), klen));
    } else {
      from_.insert(from_.end(), k.key.begin(), k.key.begin() + static_cast<std::ptrdiff_t>(klen));
      to_.insert(to_.end(), end.begin(), end.begin() + static_cast<std::ptrdiff_t>(klen));
    }
  }
}

// The last interval that begins at or before `v`, without a branch that could be guessed wrong.
std::int32_t NftSetIntervals::find32(std::uint32_t v) const {
  const std::uint32_t* base = from32_.data();
  std::size_t n = from32_.size();
  while (n > 1) {
    const std::size_t half = n / 2;
    base = base[half] <= v ? base + half : base;
    n -= half;
  }
  const auto i = static_cast<std::size_t>(base - from32_.data());
  return from32_[i] <= v && v <= to32_[i] ? elem_[i] : -1;
}

std::int32_t NftSetIntervals::lookup(const std::uint8_t* key) const {
  if (elem_.empty()) return -1;
  if (klen_ <= 4) return find32(interval_number(key, klen_));
  std::size_t low = 0;
  std::size_t high = elem_.size();  // the answer begins before it
  while (high - low > 1) {
    const std::size_t middle = (low + high) / 2;
    (std::memcmp(&from_[middle * klen_], key, klen_) <= 0 ? low : high) = middle;
  }
  const bool inside = std::memcmp(&from_[low * klen_], key, klen_) <= 0 &&
                      std::memcmp(key, &to_[low * klen_], klen_) <= 0;
  return inside ? elem_[low] : -1;
}

}  // namespace txp
