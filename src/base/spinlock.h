// SPDX-License-Identifier: Apache-2.0
// A short lock for short sections (spinlock_t): spins a little, then yields. Not recursive.
#pragma once

#include <atomic>
#include <thread>

namespace txp {

class Spinlock {
 public:
  void lock() {
    for (int spins = 0; locked_.exchange(true, std::memory_order_acquire); ++spins)
      if (spins > 64) std::this_thread::yield();
  }
  bool try_lock() { return !locked_.exchange(true, std::memory_order_acquire); }
  void unlock() { locked_.store(false, std::memory_order_release); }

 private:
  std::atomic<bool> locked_{false};
};

}  // namespace txp
