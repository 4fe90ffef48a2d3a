// SPDX-License-Identifier: Apache-2.0
// Random early detection (Floyd, Jacobson 1993): the average queue length, and whether a packet is
// marked. Kernel twin: include/net/red.h, whose fixed-point arithmetic this is.
#pragma once

#include <algorithm>
#include <array>
#include <bit>
#include <cstdint>

#include "base/clock.h"
#include "base/random.h"

namespace txp {

struct RedParms {
  std::uint64_t qth_min = 0;  // bytes, shifted by Wlog
  std::uint64_t qth_max = 0;
  std::uint32_t max_p_delta = 1;
  std::uint8_t Wlog = 0;
  std::uint8_t Scell_log = 0;
  std::array<std::uint8_t, 256> stab{};  // how often the average halves in an idle time

  // False: the kernel would refuse it.
  bool set(std::uint32_t min, std::uint32_t max, std::uint8_t wlog, std::uint8_t plog,
           std::uint8_t scell_log, std::uint32_t max_P) {
    if (std::bit_width(min) + wlog >= 32 || std::bit_width(max) + wlog >= 32 || scell_log >= 32 ||
        max < min)
      return false;
    for (const std::uint8_t s : stab)
      if (s >= 32) return false;
    qth_min = std::uint64_t{min} << wlog;
    qth_max = std::uint64_t{max} << wlog;
    Wlog = wlog;
    Scell_log = scell_log;
    const std::uint32_t delta = std::max(max - min, 1U);
    if (max_P == 0) max_P = (plog < 32 ? ~0U >> plog : ~0U) * delta;
    max_p_delta = std::max(max_P / delta, 1U);
    return true;
  }
};

struct RedVars {
  enum class Action : std::uint8_t { pass, mark_by_chance, mark };

  void restart() {
    qavg_ = 0;
    qcount_ = -1;
    idle_since_ = -1;
  }
  void idle(Nanos now) {
    if (idle_since_ < 0) idle_since_ = now;
  }
  // red_calc_qavg().
  void update(const RedParms& p, std::uint32_t backlog, Nanos now) {
    if (idle_since_ < 0) {
      qavg_ += backlog - (qavg_ >> p.Wlog);
      return;
    }
    const std::uint64_t cell_max = std::uint64_t{255} << p.Scell_log;
    const auto us =
        std::min<std::uint64_t>(static_cast<std::uint64_t>(now - idle_since_) / 1000, cell_max);
    idle_since_ = -1;
    if (const std::uint8_t shift = p.stab[(us >> p.Scell_log) & 255]) {
      qavg_ >>= shift;
      return;
    }
    // The first part of the exponential, as a line.
    const std::uint64_t less = (qavg_ * us) >> p.Scell_log;
    qavg_ = less < qavg_ >> 1 ? qavg_ - less : qavg_ >> 1;
  }
  Action decide(const RedParms& p, Random& random) {
    if (qavg_ < p.qth_min) {
      qcount_ = -1;
      return Action::pass;
    }
    if (qavg_ >= p.qth_max) {
      qcount_ = -1;
      return Action::mark;
    }
    if (++qcount_ == 0) {
      r_ = random.u32() / p.max_p_delta;
      return Action::pass;
    }
    if (((qavg_ - p.qth_min) >> p.Wlog) * static_cast<std::uint64_t>(qcount_) < r_)
      return Action::pass;
    qcount_ = 0;
    r_ = random.u32() / p.max_p_delta;
    return Action::mark_by_chance;
  }
  std::uint64_t average(const RedParms& p) const { return qavg_ >> p.Wlog; }

 private:
  std::uint64_t qavg_ = 0;
  std::int64_t qcount_ = -1;  // packets since the last mark; -1: below the lower threshold
  std::uint32_t r_ = 0;
  Nanos idle_since_ = -1;
};

}  // namespace txp
