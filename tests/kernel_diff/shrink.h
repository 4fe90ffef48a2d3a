// SPDX-License-Identifier: Apache-2.0
// Makes a scenario that shows something as small as it gets while it still shows it.
#pragma once

#include <functional>
#include <string>

namespace txp::kdiff {

// Leaves out lines, then words, then makes numbers smaller, as long as `shows` holds and at most
// `tries` calls of it were made. The first line, the idea, stays.
std::string shrink(std::string text, const std::function<bool(const std::string&)>& shows,
                   int tries);

}  // namespace txp::kdiff
