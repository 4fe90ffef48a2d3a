// SPDX-License-Identifier: Apache-2.0
// Timers on the Net's clock.
//
// Kernel twin: kernel/time/timer.c, mod_timer(), timer_delete(), timer_delete_sync().
// Differs: a heap to the nanosecond instead of a wheel in jiffies, so a timer fires at its time and
// never late by its distance.
#include "softirq/timer.h"

#include <algorithm>

#include "base/rcu.h"

namespace txp {
namespace {
constexpr std::size_t kNotPending = static_cast<std::size_t>(-1);
}

bool TimerQueue::before(const Timer& a, const Timer& b) const {
  return a.expires != b.expires ? a.expires < b.expires : a.order < b.order;
}

void TimerQueue::place(std::size_t i, Timer* timer) {
  heap_[i] = timer;
  timer->heap_index = i;
}

void TimerQueue::sift_up(std::size_t i) {
  Timer* timer = heap_[i];
  while (i > 0) {
    const std::size_t parent = (i - 1) / 2;
    if (!before(*timer, *heap_[parent])) break;
    place(i, heap_[parent]);
    i = parent;
  }
  place(i, timer);
}

void TimerQueue::sift_down(std::size_t i) {
  Timer* timer = heap_[i];
  for (;;) {
    std::size_t child = 2 * i + 1;
    if (child >= heap_.size()) break;
    if (child + 1 < heap_.size() && before(*heap_[child + 1], *heap_[child])) ++child;
    if (!before(*heap_[child], *timer)) break;
    place(i, heap_[child]);
    i = child;
  }
  place(i, timer);
}

bool TimerQueue::erase(Timer& timer) {
  const std::size_t i = timer.heap_index;
  if (i == kNotPending) return false;
  timer.heap_index = kNotPending;
  Timer* last = heap_.back();
  heap_.pop_back();
  if (last == &timer) return true;
  place(i, last);
  sift_up(i);
  sift_down(last->heap_index);
  return true;
}

bool TimerQueue::runs_elsewhere(const Timer& timer) const {
  return std::ranges::any_of(running_, [&](const Running& r) {
    return r.timer == &timer && r.thread != std::this_thread::get_id();
  });
}

bool TimerQueue::mod(Timer& timer, Nanos expires) {
  const std::lock_guard guard(mutex_);
  const bool pending = erase(timer);
  timer.expires = expires;
  timer.order = order_++;
  heap_.push_back(&timer);
  sift_up(heap_.size() - 1);
  return pending;
}

bool TimerQueue::cancel(Timer& timer) {
  const std::lock_guard guard(mutex_);
  return erase(timer);
}

bool TimerQueue::del(Timer& timer) {
  std::unique_lock guard(mutex_);
  bool pending = erase(timer);
  while (runs_elsewhere(timer)) {
    done_.wait(guard);
    pending |= erase(timer);  // the function may have set it again
  }
  return pending;
}

std::size_t TimerQueue::run(Net& net, Nanos now) {
  std::size_t ran = 0;
  std::unique_lock guard(mutex_);
  // What the functions set from here on has a later order, and waits for the next call.
  const std::uint64_t limit = order_;
  while (!heap_.empty() && heap_.front()->expires <= now && heap_.front()->order < limit) {
    const RcuReader reader;
    Timer* timer = heap_.front();
    erase(*timer);
    running_.push_back({timer, std::this_thread::get_id()});
    guard.unlock();
    timer->function(net, *timer);
    ++ran;
    guard.lock();
    std::erase_if(running_, [&](const Running& r) {
      return r.timer == timer && r.thread == std::this_thread::get_id();
    });
    done_.notify_all();
  }
  return ran;
}

Nanos TimerQueue::next() const {
  const std::lock_guard guard(mutex_);
  return heap_.empty() ? -1 : heap_.front()->expires;
}

}  // namespace txp
