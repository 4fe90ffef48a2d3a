// SPDX-License-Identifier: Apache-2.0
// A binary heap by time through a node in what it orders; equal times in the order of their coming.
// Allocates only beyond what was reserved.
#pragma once

#include <cstdint>
#include <vector>

#include "base/clock.h"

namespace txp {

struct TimedNode {
  Nanos at = 0;
  std::uint64_t order = 0;
  int index = -1;  // in the heap; -1: not there
};

template <typename T, TimedNode T::* Node>
class TimedHeap {
 public:
  void reserve(std::size_t n) { heap_.reserve(n); }
  bool empty() const { return heap_.empty(); }
  T* first() const { return heap_.empty() ? nullptr : heap_.front(); }
  void add(T& t, Nanos at) {
    (t.*Node).at = at;
    (t.*Node).order = ++order_;
    heap_.push_back(&t);
    sift_up(static_cast<int>(heap_.size()) - 1);
  }
  void remove(T& t) {
    const int i = (t.*Node).index;
    if (i < 0) return;
    T* last = heap_.back();
    heap_.pop_back();
    (t.*Node).index = -1;
    if (last == &t) return;
    place(i, last);
    sift_up(i);
    sift_down((last->*Node).index);
  }
  void clear() {
    for (T* t : heap_) (t->*Node).index = -1;
    heap_.clear();
  }

 private:
  static bool before(const T& a, const T& b) {
    const TimedNode& x = a.*Node;
    const TimedNode& y = b.*Node;
    return x.at != y.at ? x.at < y.at : x.order < y.order;
  }
  T*& at(int i) { return heap_[static_cast<std::size_t>(i)]; }
  void place(int i, T* t) {
    at(i) = t;
    (t->*Node).index = i;
  }
  void sift_up(int i) {
    T* t = at(i);
    while (i > 0 && before(*t, *at((i - 1) / 2))) {
      place(i, at((i - 1) / 2));
      i = (i - 1) / 2;
    }
    place(i, t);
  }
  void sift_down(int i) {
    T* t = at(i);
    const int n = static_cast<int>(heap_.size());
    for (int below = 2 * i + 1; below < n; below = 2 * i + 1) {
      if (below + 1 < n && before(*at(below + 1), *at(below))) ++below;
      if (!before(*at(below), *t)) break;
      place(i, at(below));
      i = below;
    }
    place(i, t);
  }

  std::vector<T*> heap_;
  std::uint64_t order_ = 0;
};

}  // namespace txp
