// SPDX-License-Identifier: Apache-2.0
// Holds two worlds against each other and says, for people, what differs.
#pragma once

#include <string>

#include "kernel_diff/record.h"
#include "kernel_diff/scenario.h"

namespace txp::kdiff {

// Empty when the worlds are equal; else everything that differs, calls first, then frames with
// their fields and dumps, then counters.
std::string differences(const Scenario& scenario, const WorldRecord& kernel,
                        const WorldRecord& engine);

// One world as a story: calls with their answers and frames, then counters.
std::string story(const Scenario& scenario, const WorldRecord& world);

// The commands that make the sending namespace and the peer of a scenario in a shell.
std::string by_hand(const Scenario& scenario);

}  // namespace txp::kdiff
