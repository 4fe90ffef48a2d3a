// SPDX-License-Identifier: Apache-2.0
// htb's classes and the sets they wait in. Kernel twin: net/sched/sch_htb.c.
//
// A class is green (may send: below its rate), yellow (may borrow: below its ceil) or red (may do
// neither). Green active classes stand in the row of their level, by priority; yellow ones in their
// parent's feed; yellow and red ones in their level's wait heap, until the time of their next
// change. dequeue() takes the lowest level's row first and follows feeds down to a leaf.
//
// Differs from the kernel's trees: a row or feed is a set of the classes' places in the order of
// their ids, which gives the same order without rebalancing.
#pragma once

#include <array>
#include <cstdint>
#include <vector>

#include "sched/classful.h"
#include "sched/index_set.h"
#include "sched/ratecfg.h"
#include "sched/timed_heap.h"

namespace txp {

inline constexpr int kHtbMaxDepth = 8;  // TC_HTB_MAXDEPTH
inline constexpr int kHtbPrios = 8;     // TC_HTB_NUMPRIO

enum class HtbMode : std::uint8_t { cant_send, may_borrow, can_send };

struct HtbClass;

// struct htb_prio: a row of a level, or a feed of an inner class.
struct HtbRow {
  IndexSet set;
  int ptr = -1;   // whose turn it is; -1: not known
  int hint = -1;  // where it was, when ptr went away
  void advance() {
    if (ptr >= 0) ptr = set.next(ptr + 1);
  }
};

struct HtbClass final : TcClass {
  using TcClass::TcClass;
  Ratecfg rate, ceil;
  Nanos buffer = 0, cbuffer = 0;
  static constexpr Nanos kMbuffer = 60 * kSecond;  // the longest time that is reckoned with
  std::uint32_t prio = 0;
  std::int64_t quantum = 0;
  int level = 0;
  HtbClass* parent = nullptr;
  int place = 0;      // among the parent's children
  int row_place = 0;  // among the level's classes
  std::vector<HtbClass*> children;

  Nanos tokens = 0, ctokens = 0;
  Nanos t_c = 0;  // when the tokens were reckoned
  std::array<std::int64_t, kHtbMaxDepth> deficit{};
  std::array<HtbRow, kHtbPrios> feeds;  // of an inner class
  std::uint32_t prio_activity = 0;      // bit by priority
  HtbMode mode = HtbMode::can_send;
  Count lends, borrows;

  TimedNode wait;

  // htb_class_mode(): at `diff` after t_c; changes diff to the time until the next change.
  HtbMode mode_at(Nanos& diff) const {
    if (const Nanos t = ctokens + diff; t < 0) {
      diff = -t;
      return HtbMode::cant_send;
    }
    const Nanos t = tokens + diff;
    if (t >= 0) return HtbMode::can_send;
    diff = -t;
    return HtbMode::may_borrow;
  }
};

// The classes of a level that wait for their next change of mode.
using HtbWaitHeap = TimedHeap<HtbClass, &HtbClass::wait>;

}  // namespace txp
