// SPDX-License-Identifier: Apache-2.0
#include "dev/dql.h"

#include <algorithm>

namespace txp {

namespace {

// a - b where that is above zero, in wrapping numbers.
std::uint32_t posdiff(std::uint32_t a, std::uint32_t b) {
  return static_cast<std::int32_t>(a - b) > 0 ? a - b : 0;
}
bool after_eq(std::uint32_t a, std::uint32_t b) { return static_cast<std::int32_t>(a - b) >= 0; }

}  // namespace

void Dql::completed(std::uint32_t bytes, Nanos now) {
  const std::uint32_t queued = num_queued_.load(std::memory_order_relaxed);
  const std::uint32_t before = num_completed_.load(std::memory_order_relaxed);
  bytes = std::min(bytes, queued - before);
  const std::uint32_t completed = before + bytes;
  std::uint32_t limit = limit_.load(std::memory_order_relaxed);
  std::uint32_t ovlimit = posdiff(queued - before, limit);
  const std::uint32_t inprogress = queued - completed;
  const std::uint32_t prev_inprogress = prev_num_queued_ - before;
  const bool all_prev_completed = after_eq(completed, prev_num_queued_);

  if ((ovlimit != 0 && inprogress == 0) || (prev_ovlimit_ != 0 && all_prev_completed)) {
    // Starved: it was at its limit and ran empty, or may have. More by what went through.
    limit += posdiff(completed, prev_num_queued_) + prev_ovlimit_;
    slack_start_time_ = now;
    lowest_slack_ = 0xffffffff;
  } else if (inprogress != 0 && prev_inprogress != 0 && !all_prev_completed) {
    // Busy all the time: what was never needed for hold_time can go.
    const std::uint32_t last_objs =
        prev_ovlimit_ != 0 ? posdiff(prev_last_obj_cnt_, prev_ovlimit_) : 0;
    const std::uint32_t slack =
        std::max(posdiff(limit + prev_ovlimit_, 2 * (completed - before)), last_objs);
    lowest_slack_ = std::min(lowest_slack_, slack);
    if (now > slack_start_time_ + hold_time) {
      limit = posdiff(limit, lowest_slack_);
      slack_start_time_ = now;
      lowest_slack_ = 0xffffffff;
    }
  }
  limit = std::clamp(limit, min_limit, max_limit);
  if (limit != limit_.load(std::memory_order_relaxed)) {
    limit_.store(limit, std::memory_order_relaxed);
    ovlimit = 0;
  }
  prev_ovlimit_ = ovlimit;
  prev_last_obj_cnt_ = last_obj_cnt_;
  num_completed_.store(completed, std::memory_order_relaxed);
  prev_num_queued_ = queued;
  adj_limit_.store(limit + completed, std::memory_order_relaxed);
}

void Dql::reset(Nanos now) {
  limit_.store(min_limit, std::memory_order_relaxed);
  num_queued_.store(0, std::memory_order_relaxed);
  num_completed_.store(0, std::memory_order_relaxed);
  adj_limit_.store(min_limit, std::memory_order_relaxed);
  last_obj_cnt_ = prev_ovlimit_ = prev_num_queued_ = prev_last_obj_cnt_ = 0;
  lowest_slack_ = 0xffffffff;
  slack_start_time_ = now;
}

}  // namespace txp
