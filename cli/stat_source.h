// SPDX-License-Identifier: Apache-2.0
// Whose counters `stat`, `top` and `serve` show.
#pragma once

#include <cstdint>
#include <memory>
#include <mutex>
#include <optional>
#include <string_view>

#include "observe/stat.h"

namespace txp {
class Watch;
}

namespace txp::cli {

enum class StatSource : std::uint8_t {
  automatic,  // of the txpath processes in this namespace, else the kernel's
  txpath,
  kernel,
};
std::optional<StatSource> find_stat_source(std::string_view name);  // "auto", "txpath", "kernel"

// The report, of several processes added up with "pids". Errors: none runs; /proc cannot be read.
[[nodiscard]] Result<Json> read_stat(StatSource source);

// The same, again and again; with the kernel's counters come its stages, where they are watched.
// Thread safety: any.
class StatReader {
 public:
  // `watch`: hangs on the kernel's tracepoints, until this is gone. Errors: Watch::open()'s.
  [[nodiscard]] static Result<std::unique_ptr<StatReader>> open(bool watch);
  ~StatReader();
  StatReader(const StatReader&) = delete;
  StatReader& operator=(const StatReader&) = delete;

  [[nodiscard]] Result<Json> read(StatSource source);

 private:
  StatReader();
  std::mutex mutex_;
  std::unique_ptr<Watch> watch_;
};

}  // namespace txp::cli
