// SPDX-License-Identifier: Apache-2.0
// Whose counters `stat`, `top` and `serve` show.
#pragma once

#include <array>
#include <optional>
#include <string_view>

#include "observe/stat.h"

namespace txp::cli {

enum class StatSource : std::uint8_t {
  automatic,  // of the txpath processes in this namespace, else the kernel's
  txpath,
  kernel,
};
std::optional<StatSource> find_stat_source(std::string_view name);  // "auto", "txpath", "kernel"

// The report, of several processes added up with "pids". Errors: none runs; /proc cannot be read.
[[nodiscard]] Result<Json> read_stat(StatSource source);

}  // namespace txp::cli
