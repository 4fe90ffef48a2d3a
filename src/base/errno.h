// SPDX-License-Identifier: Apache-2.0
// The error of a call at the socket edge: a kernel errno under its kernel name.
#pragma once

#include <cerrno>
#include <string_view>

namespace txp {

// Not a kernel errno: the walk met an object that the engine does not implement. The trace names
// it. `explain` reports *unknown*; `run` sends through the kernel; the library answers EOPNOTSUPP.
inline constexpr int kUnknown = 4095;

// What a call at the socket edge failed with. `code` is positive, as in <errno.h>.
struct Errno {
  int code = 0;
  friend bool operator==(Errno, Errno) = default;

  // "ENETUNREACH"; "UNKNOWN" for kUnknown. Static storage.
  std::string_view name() const;
  bool is_unknown() const { return code == kUnknown; }
};

}  // namespace txp
