// SPDX-License-Identifier: Apache-2.0
// Runs a scenario in one world, inside the calling process.
#pragma once

#include <atomic>
#include <functional>

#include "kernel_diff/record.h"
#include "kernel_diff/scenario.h"
#include "support/lab.h"

namespace txp::kdiff {

enum class WorldKind { kernel, engine };

struct RunOptions {
  // Where the runner is, for the parent when this process dies: the step that runs.
  std::atomic<int>* step = nullptr;
  // Called at the end, while the namespaces still stand. May be empty.
  std::function<void(const WorldRecord&, const test::Lab*)> done;
};

// Hands the record to options.done. The process must be root in its user namespace, have one
// thread, and end afterwards: it is left inside the laboratory.
void run_scenario(const Scenario& scenario, WorldKind kind, const RunOptions& options);

}  // namespace txp::kdiff
