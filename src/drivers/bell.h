// SPDX-License-Identifier: Apache-2.0
// A doorbell that another thread answers: drivers that only queue ring it, the thread that
// transmits waits for it.
#pragma once

#include <atomic>
#include <cstdint>

#include "base/clock.h"

namespace txp {

class Bell {
 public:
  // After the frame can be seen by the one who waits. Any thread. A system call only when that one
  // sleeps.
  void ring() {
    std::atomic_thread_fence(std::memory_order_seq_cst);
    if (asleep_.load(std::memory_order_relaxed) != 0) [[unlikely]]
      wake();
  }
  // For whoever transmits: says that it will sleep. Between this and wait() it must look at the
  // queues once more.
  void announce_sleep() {
    asleep_.store(1, std::memory_order_relaxed);
    std::atomic_thread_fence(std::memory_order_seq_cst);
  }
  void cancel_sleep() { asleep_.store(0, std::memory_order_relaxed); }
  void wait(Nanos most);  // returns early when rung

 private:
  void wake();
  std::atomic<std::uint32_t> asleep_{0};
};

}  // namespace txp
