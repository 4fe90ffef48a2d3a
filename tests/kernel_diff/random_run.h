// SPDX-License-Identifier: Apache-2.0
// kernel_diff --random: many random scenarios, in few processes.
#pragma once

#include <cstdint>
#include <string>

#include "kernel_diff/random_scenario.h"

namespace txp::kdiff {

struct RandomOptions {
  std::uint64_t count = 0;  // scenarios
  std::uint64_t seed = 0;   // the first one's; the others count up from it
  unsigned seconds = 0;     // 0: until `count` are done
  Dice dice = Dice::ipv4;
  bool fly = false;                       // every send twice
  unsigned jobs = 1;                      // pairs of worlds at once
  unsigned a_lab_for = 100;               // scenarios that one pair of laboratories serves
  std::string folder = "build/diverged";  // where a divergence is written
};

// Prints each divergence, shrunk, and one line at the end. Answers the exit code.
int run_random(const RandomOptions& options);

}  // namespace txp::kdiff
