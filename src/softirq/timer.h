// SPDX-License-Identifier: Apache-2.0
// Timers on the Net's clock (struct timer_list). They fire in run_timers(), called by Net::poll().
#pragma once

#include <condition_variable>
#include <cstddef>
#include <cstdint>
#include <mutex>
#include <thread>
#include <vector>

#include "base/clock.h"

namespace txp {

class Net;

// Embedded in what it wakes. Must be deleted (TimerQueue::del, or TimerQueue::cancel and an RCU
// grace period) before it is destroyed.
struct Timer {
  using Function = void (*)(Net& net, Timer& timer);
  Function function = nullptr;
  void* arg = nullptr;
  Nanos expires = 0;
  std::uint64_t order = 0;  // of arming: timers of one moment fire in the order they were set
  std::size_t heap_index = static_cast<std::size_t>(-1);  // of TimerQueue; -1: not pending
};

// A binary heap under one mutex. Thread safety: any thread.
class TimerQueue {
 public:
  // mod_timer(): sets or moves the timer. True when it was pending.
  bool mod(Timer& timer, Nanos expires);
  // timer_delete(): no longer pending afterwards, but its function may still be running in another
  // thread. For callers that hold a lock which the function takes. True when it was pending.
  bool cancel(Timer& timer);
  // timer_delete_sync(): afterwards the function is neither pending nor running elsewhere (unless
  // called from it). True when it was pending.
  bool del(Timer& timer);
  // Runs what is due, in order of time, without the mutex held and inside an RcuReader (so what a
  // timer lives in may be freed an RCU grace period after cancel()). A function that sets its timer
  // to a time already past runs again in the next call. Answers how many ran.
  std::size_t run(Net& net, Nanos now);
  // The earliest expiry, or -1.
  Nanos next() const;

 private:
  struct Running {
    Timer* timer;
    std::thread::id thread;
  };
  bool before(const Timer& a, const Timer& b) const;
  void place(std::size_t i, Timer* timer);
  void sift_up(std::size_t i);
  void sift_down(std::size_t i);
  bool erase(Timer& timer);
  bool runs_elsewhere(const Timer& timer) const;
  mutable std::mutex mutex_;
  std::condition_variable done_;  // a function returned
  std::vector<Timer*> heap_;
  std::vector<Running> running_;
  std::uint64_t order_ = 0;
};

}  // namespace txp
