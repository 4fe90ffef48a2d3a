// SPDX-License-Identifier: Apache-2.0
// One picture of `txpath top`: the path's stages with their rates, drops, queues, from two stat
// reports.
#pragma once

#include <cstddef>
#include <string>

#include "observe/stat.h"

namespace txp {

struct TopOptions {
  double seconds = 1;       // between the two reports
  std::size_t columns = 0;  // of the terminal: lines are cut there; 0: not at all
  std::size_t rows = 0;     // lines beyond are left out, stages without a packet first; 0: none are
  bool colour = false;
};

// Lines ending in '\n'. `before` may be null: there are no rates then.
std::string top_frame(const Json& before, const Json& now, const TopOptions& options);

}  // namespace txp
