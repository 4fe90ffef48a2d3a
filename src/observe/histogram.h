// SPDX-License-Identifier: Apache-2.0
// A log-linear histogram of nanoseconds: 32 buckets an octave, so that a value told from a bucket's
// middle is within 1.6 % of every value in it. Up to 63 ns exact; from 2^40 ns (18 minutes) on all
// are one. Histograms add up, bucket by bucket.
#pragma once

#include <array>
#include <bit>
#include <cstddef>
#include <cstdint>
#include <vector>

#include "observe/count.h"

namespace txp {

namespace histogram {
inline constexpr unsigned kLinearBits = 5;  // 32 buckets an octave
inline constexpr unsigned kOctaves = 40;
inline constexpr std::size_t kBuckets = (kOctaves - kLinearBits + 1) << kLinearBits;

constexpr std::size_t bucket_of(std::uint64_t value) {
  if (value >> kOctaves != 0) return kBuckets - 1;
  if (value < 1U << kLinearBits) return value;
  const unsigned octave = static_cast<unsigned>(std::bit_width(value)) - 1 - kLinearBits;
  return (std::size_t{octave} << kLinearBits) + (value >> octave);
}
// The first value of a bucket.
constexpr std::uint64_t lower_bound(std::size_t bucket) {
  if (bucket < 2U << kLinearBits) return bucket;
  const std::size_t octave = (bucket >> kLinearBits) - 1;
  return std::uint64_t{bucket - (octave << kLinearBits)} << octave;
}
constexpr std::uint64_t middle(std::size_t bucket) {
  return lower_bound(bucket) + (lower_bound(bucket + 1) - lower_bound(bucket)) / 2;
}
}  // namespace histogram

// What readers add up.
class HistogramTotals {
 public:
  HistogramTotals() : buckets_(histogram::kBuckets) {}
  void add(std::size_t bucket, std::uint64_t n) { buckets_[bucket] += n; }
  void add_sum(std::uint64_t ns) { sum_ += ns; }
  std::uint64_t at(std::size_t bucket) const { return buckets_[bucket]; }
  std::uint64_t count() const;
  std::uint64_t sum() const { return sum_; }
  // The value that `share` (0 to 1) of all do not exceed; 0 when there is none.
  std::uint64_t quantile(double share) const;

 private:
  std::vector<std::uint64_t> buckets_;
  std::uint64_t sum_ = 0;
};

// One writer at a time, any number of readers.
class Histogram {
 public:
  void record(std::uint64_t ns) {
    buckets_[histogram::bucket_of(ns)].add();
    sum_.add(ns);
  }
  void add_to(HistogramTotals& totals) const;

 private:
  std::array<Count, histogram::kBuckets> buckets_;
  Count sum_;
};

}  // namespace txp
