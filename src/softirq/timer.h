// SPDX-License-Identifier: Apache-2.0
// Timers on the Net's clock (struct timer_list). They fire in run_timers(), called by Net::poll().
#pragma once

#include <cstddef>
#include <mutex>
#include <vector>

#include "base/clock.h"

namespace txp {

class Net;

// Embedded in what it wakes. Must be deleted (TimerQueue::del) before it is destroyed.
struct Timer {
  using Function = void (*)(Net& net, Timer& timer);
  Function function = nullptr;
  void* arg = nullptr;
  Nanos expires = 0;
  std::size_t heap_index = static_cast<std::size_t>(-1);  // of TimerQueue; -1: not pending
};

// A binary heap under one mutex. Thread safety: any thread.
class TimerQueue {
 public:
  // mod_timer(): sets or moves the timer. True when it was pending.
  bool mod(Timer& timer, Nanos expires);
  // timer_delete_sync(): afterwards the function is neither pending nor running elsewhere (unless
  // called from it). True when it was pending.
  bool del(Timer& timer);
  // Runs what is due, in order of time, without the mutex held. Answers how many ran.
  std::size_t run(Net& net, Nanos now);
  // The earliest expiry, or -1.
  Nanos next() const;

 private:
  void sift_up(std::size_t i);
  void sift_down(std::size_t i);
  void erase(std::size_t i);
  mutable std::recursive_mutex mutex_;
  std::vector<Timer*> heap_;
};

}  // namespace txp
