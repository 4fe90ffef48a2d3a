// SPDX-License-Identifier: Apache-2.0
// Dynamic queue limits: how many bytes a transmit queue may hold so that the device does not starve
// and packets wait in the discipline, where they can be scheduled, instead of in the ring.
// Kernel twin: lib/dynamic_queue_limits.c. The numbers are the kernel's, 32 bits wide and wrapping.
//
// Left out: the watch for stalls (stall_thrs). Thread safety: queued() under the queue's transmit
// lock, completed() from one thread at a time; the two may run side by side.
#pragma once

#include <atomic>
#include <cstdint>

#include "base/clock.h"

namespace txp {

class Dql {
 public:
  static constexpr std::uint32_t kMaxLimit = 0x7fffffff / 16;  // DQL_MAX_LIMIT

  void queued(std::uint32_t bytes) {
    last_obj_cnt_ = bytes;
    num_queued_.store(num_queued_.load(std::memory_order_relaxed) + bytes,
                      std::memory_order_relaxed);
  }
  // How many bytes may be queued still; negative: too many are.
  std::int32_t avail() const {
    return static_cast<std::int32_t>(adj_limit_.load(std::memory_order_relaxed) -
                                     num_queued_.load(std::memory_order_relaxed));
  }
  void completed(std::uint32_t bytes, Nanos now);
  void reset(Nanos now);

  std::uint32_t limit() const { return limit_.load(std::memory_order_relaxed); }
  std::uint32_t inflight() const {
    return num_queued_.load(std::memory_order_relaxed) -
           num_completed_.load(std::memory_order_relaxed);
  }
  // /sys/class/net/DEV/queues/tx-N/byte_queue_limits; set while nothing sends.
  std::uint32_t min_limit = 0;
  std::uint32_t max_limit = kMaxLimit;
  Nanos hold_time = kSecond;

 private:
  std::atomic<std::uint32_t> num_queued_{0};
  std::atomic<std::uint32_t> adj_limit_{0};  // limit + num_completed
  std::atomic<std::uint32_t> num_completed_{0};
  std::atomic<std::uint32_t> limit_{0};
  std::uint32_t last_obj_cnt_ = 0;
  std::uint32_t prev_ovlimit_ = 0;
  std::uint32_t prev_num_queued_ = 0;
  std::uint32_t prev_last_obj_cnt_ = 0;
  std::uint32_t lowest_slack_ = 0xffffffff;
  Nanos slack_start_time_ = 0;
};

}  // namespace txp
