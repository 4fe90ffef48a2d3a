// SPDX-License-Identifier: Apache-2.0
#include "observe/histogram.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <random>

namespace txp {
namespace {

using namespace histogram;

TEST(Histogram, BucketsFollowOneAnotherWithoutGapOrOverlap) {
  for (std::size_t b = 0; b + 1 < kBuckets; ++b) {
    EXPECT_LT(lower_bound(b), lower_bound(b + 1)) << b;
    EXPECT_EQ(bucket_of(lower_bound(b)), b);
    EXPECT_EQ(bucket_of(lower_bound(b + 1) - 1), b);
  }
}

TEST(Histogram, AValueToldIsWithinTwoPercent) {
  for (std::uint64_t v = 1; v < std::uint64_t{1} << 40; v += 1 + v / 97) {
    const auto told = static_cast<double>(middle(bucket_of(v)));
    EXPECT_NEAR(told, static_cast<double>(v), 0.02 * static_cast<double>(v)) << v;
  }
  for (std::uint64_t v = 0; v < 64; ++v) EXPECT_EQ(middle(bucket_of(v)), v);
}

TEST(Histogram, WhatIsTooLongIsInTheLastBucket) {
  EXPECT_EQ(bucket_of(std::uint64_t{1} << 40), kBuckets - 1);
  EXPECT_EQ(bucket_of(~std::uint64_t{0}), kBuckets - 1);
}

TEST(Histogram, PercentilesAreThoseOfTheSortedValues) {
  std::mt19937_64 random(7);
  std::lognormal_distribution<double> times(7, 1.5);
  Histogram one, two;
  std::vector<std::uint64_t> values;
  for (int i = 0; i < 20000; ++i) {
    values.push_back(static_cast<std::uint64_t>(times(random)));
    (i % 3 == 0 ? one : two).record(values.back());
  }
  std::ranges::sort(values);
  HistogramTotals sum;
  one.add_to(sum);
  two.add_to(sum);
  EXPECT_EQ(sum.count(), values.size());
  for (const double share : {0.01, 0.5, 0.9, 0.99, 0.999, 1.0}) {
    const auto rank = static_cast<std::size_t>(share * static_cast<double>(values.size()) - 1e-9);
    const auto exact = static_cast<double>(values[rank]);
    EXPECT_NEAR(static_cast<double>(sum.quantile(share)), exact, 0.02 * exact + 1) << share;
  }
  EXPECT_EQ(HistogramTotals().quantile(0.5), 0U);
}

}  // namespace
}  // namespace txp
