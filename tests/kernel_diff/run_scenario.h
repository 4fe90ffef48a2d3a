// SPDX-License-Identifier: Apache-2.0
// Runs a scenario in one world, inside the calling process.
#pragma once

#include <atomic>
#include <optional>

#include "kernel_diff/record.h"
#include "kernel_diff/scenario.h"
#include "support/lab.h"

namespace txp::kdiff {

enum class WorldKind { kernel, engine };

struct RunOptions {
  // Where the runner is, for the parent when this process dies: the step that runs.
  std::atomic<int>* step = nullptr;
  // How long everything must have been quiet at the end, and how long what is queued may take to
  // leave. Short times are for those who look at a difference a second time.
  int quiet_ms = 5;
  int patience_ms = 100;
};

// The process must be root in its user namespace and have one thread; it is left inside the
// laboratory. `lab` is made, or cleaned when there is one, and still as the scenario left it
// afterwards.
WorldRecord run_scenario(const Scenario& scenario, WorldKind kind, const RunOptions& options,
                         std::optional<test::Lab>& lab);

}  // namespace txp::kdiff
