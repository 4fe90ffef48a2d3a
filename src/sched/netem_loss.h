// SPDX-License-Identifier: Apache-2.0
// netem's loss models. Kernel twin: net/sched/sch_netem.c (loss_4state(), loss_gilb_ell()).
#pragma once

#include <cstdint>

#include "sched/netem_random.h"

namespace txp {

struct NetemLoss {
  enum class Model : std::uint8_t { random, four_states, gilbert_elliott } model = Model::random;
  std::uint32_t loss = 0;  // of 2^32
  CorrelatedRandom correlation;
  // p13 p31 p32 p14 p23 of the four states; p r h 1-k of Gilbert-Elliott.
  std::uint32_t a1 = 0, a2 = 0, a3 = 0, a4 = 0, a5 = 0;

  bool possible() const { return model != Model::random || loss != 0; }

  // Whether the next packet is lost.
  bool draw(Prandom& random) {
    switch (model) {
      case Model::random: return loss != 0 && loss >= correlation.next(random);
      case Model::four_states: return four_states(random.u32());
      case Model::gilbert_elliott: return gilbert_elliott(random);
    }
    return false;
  }

 private:
  enum class State : std::uint8_t { tx_in_gap, tx_in_burst, lost_in_gap, lost_in_burst };

  bool four_states(std::uint32_t rnd) {
    switch (state_) {
      case State::tx_in_gap:
        if (rnd < a4)
          state_ = State::lost_in_gap;
        else if (rnd < a1 + a4)
          state_ = State::lost_in_burst;
        else
          return false;
        return true;
      case State::tx_in_burst:
        if (rnd >= a5) return false;
        state_ = State::lost_in_burst;
        return true;
      case State::lost_in_burst:
        if (rnd < a3)
          state_ = State::tx_in_burst;
        else if (rnd < a2 + a3)
          state_ = State::tx_in_gap;
        else
          return true;
        return false;
      case State::lost_in_gap: state_ = State::tx_in_gap; return false;
    }
    return false;
  }

  bool gilbert_elliott(Prandom& random) {
    if (good_) {
      if (random.u32() < a1) good_ = false;
      return random.u32() < a4;
    }
    if (random.u32() < a2) good_ = true;
    return random.u32() > a3;
  }

  State state_ = State::tx_in_gap;
  bool good_ = true;
};

}  // namespace txp
