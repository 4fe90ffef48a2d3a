// SPDX-License-Identifier: Apache-2.0
// Packets by the time at which they may leave (Skb::qdisc_time), equal times in the order of their
// coming. Owns what it holds.
#pragma once

#include <algorithm>
#include <cstdint>
#include <vector>

#include "skb/skb.h"

namespace txp {

class SkbHeap {
 public:
  void push(SkbPtr skb) {
    const Nanos at = skb->qdisc_time;
    heap_.push_back({at, ++order_, skb.release()});
    std::ranges::push_heap(heap_, later);
  }
  Skb* peek() const { return heap_.empty() ? nullptr : heap_.front().skb; }
  SkbPtr pop() {
    if (heap_.empty()) return nullptr;
    std::ranges::pop_heap(heap_, later);
    SkbPtr skb(heap_.back().skb);
    heap_.pop_back();
    return skb;
  }
  std::size_t size() const { return heap_.size(); }
  template <typename Visit>
  void each(Visit&& visit) {
    for (Entry& e : heap_) visit(*e.skb);
  }

 private:
  struct Entry {
    Nanos at;
    std::uint64_t order;
    Skb* skb;
  };
  static bool later(const Entry& a, const Entry& b) {
    return a.at != b.at ? a.at > b.at : a.order > b.order;
  }
  std::vector<Entry> heap_;
  std::uint64_t order_ = 0;
};

}  // namespace txp
