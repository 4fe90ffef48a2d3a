// SPDX-License-Identifier: Apache-2.0
#include "observe/histogram.h"

#include <cmath>
#include <numeric>

namespace txp {

std::uint64_t HistogramTotals::count() const {
  return std::accumulate(buckets_.begin(), buckets_.end(), std::uint64_t{0});
}

std::uint64_t HistogramTotals::quantile(double share) const {
  const std::uint64_t all = count();
  if (all == 0) return 0;
  const auto rank = static_cast<std::uint64_t>(std::ceil(share * static_cast<double>(all)));
  std::uint64_t seen = 0;
  std::size_t bucket = 0;
  for (; bucket + 1 < buckets_.size(); ++bucket) {
    seen += buckets_[bucket];
    if (seen >= rank && seen > 0) break;
  }
  return histogram::middle(bucket);
}

void Histogram::add_to(HistogramTotals& totals) const {
  for (std::size_t b = 0; b < buckets_.size(); ++b)
    if (const std::uint64_t n = buckets_[b].get(); n != 0) totals.add(b, n);
  totals.add_sum(sum_.get());
}

}  // namespace txp
