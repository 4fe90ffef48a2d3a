// SPDX-License-Identifier: Apache-2.0
// How the library answers: a value, or a sentence (configuration and input), or a kernel errno
// (socket calls). No exceptions cross this interface.
#pragma once

#include <expected>
#include <string>
#include <string_view>

namespace txpath {

// Why a configuration or an input was refused, as one sentence without a full stop.
struct Error {
  std::string what;
};

// What a socket call failed with: the value of <errno.h>, positive. EOPNOTSUPP also stands for an
// object on the path that the engine does not implement; Net::last_unknown() names it.
struct Errno {
  int code = 0;
  std::string_view name() const;  // "ENETUNREACH"
  friend bool operator==(Errno, Errno) = default;
};

template <typename T>
using Result = std::expected<T, Error>;
template <typename T>
using SockResult = std::expected<T, Errno>;

}  // namespace txpath
