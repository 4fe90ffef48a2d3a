// SPDX-License-Identifier: Apache-2.0
// A round of flows: a queue of pointers through the flows themselves (Flow::next, Flow::listed).
#pragma once

namespace txp {

template <typename Flow>
class FlowList {
 public:
  Flow* first() const { return first_; }
  bool empty() const { return first_ == nullptr; }
  void push_back(Flow& f) {
    f.next = nullptr;
    f.listed = true;
    if (first_ == nullptr)
      first_ = &f;
    else
      last_->next = &f;
    last_ = &f;
  }
  void pop_front() {
    first_->listed = false;
    first_ = first_->next;
  }
  void clear() {
    while (!empty()) pop_front();
  }

 private:
  Flow* first_ = nullptr;
  Flow* last_ = nullptr;
};

}  // namespace txp
