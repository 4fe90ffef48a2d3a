// SPDX-License-Identifier: Apache-2.0
// Small whole files of /proc and /sys.
#pragma once

#include <optional>
#include <string>

namespace txp {

// Nothing when it cannot be read.
std::optional<std::string> read_file(const std::string& path);
std::optional<std::string> read_file_at(int dir, const std::string& path);

}  // namespace txp
