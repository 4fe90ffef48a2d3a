// SPDX-License-Identifier: Apache-2.0
#include <algorithm>

#include "watch/watch.h"

namespace txp {

std::uint64_t WatchHist::percentile(double p) const {
  const double wanted = p * static_cast<double>(count);
  double seen = 0;
  for (std::size_t i = 0; i < bucket.size(); ++i) {
    seen += static_cast<double>(bucket[i]);
    if (seen < wanted || bucket[i] == 0) continue;
    constexpr std::uint64_t kSub = 1U << TXP_WATCH_SUB_BITS;
    if (i < kSub) return i;
    const std::uint64_t octave = i / kSub - 1, sub = i % kSub;
    return std::min(max, ((kSub + sub + 1) << octave) - 1);
  }
  return max;
}

}  // namespace txp
