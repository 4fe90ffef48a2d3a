// SPDX-License-Identifier: Apache-2.0
// A question to a store, and the words it is asked in:
//   [drop|failure|trace] [stage S] [reason R] [errno E] [dev D] [host H] [command C] [pid N]
//   [netns N] [source txpath|kernel] [from ADDR[:PORT]] [to ADDR[:PORT]] [since T] [until T]
//   [by COLUMN[,COLUMN]...] [limit N] [id N]
// T is a time ago (90s, 10m, 2h, 3d) or a local time (2026-11-25, 2026-11-25T10:30, ...T10:30:15;
// with Z: UTC).
#pragma once

#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <utility>
#include <variant>
#include <vector>

#include "base/clock.h"
#include "base/result.h"

namespace txp {

struct RecordQuery {
  using Value = std::variant<std::int64_t, std::string>;
  std::vector<std::pair<std::string, Value>> equal;  // column, value
  std::vector<std::string> kinds;                    // any of; empty: every kind
  std::optional<std::int64_t> since, until;          // ns since the epoch
  std::vector<std::string> by;                       // columns to count by; empty: list records
  std::optional<std::int64_t> id;
  std::int64_t limit = 100;  // the last ones; of groups, the largest; 0: all
};

// `now`: ns since the epoch. Errors are sentences: "since x: ...".
[[nodiscard]] Result<RecordQuery> parse_record_query(std::span<const std::string> words, Nanos now);

// "10m" before `now`, or a moment. ns since the epoch.
std::optional<std::int64_t> parse_moment(const std::string& text, Nanos now);

}  // namespace txp
