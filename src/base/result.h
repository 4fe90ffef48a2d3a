// SPDX-License-Identifier: Apache-2.0
// The three kinds of result. They are never mixed:
//   Result<T>     configuration and input: a value or a sentence for people
//   SockResult<T> the socket edge: a value or a kernel errno
//   TxResult      inside the path: the kernel's NET_XMIT_* or a negative errno, in one int as there
#pragma once

#include <expected>
#include <string>
#include <utility>

#include "base/errno.h"

namespace txp {

// Why a configuration or an input was refused, as one sentence without a full stop.
struct Error {
  std::string what;
};

template <typename T>
using Result = std::expected<T, Error>;
inline std::unexpected<Error> fail(std::string what) {
  return std::unexpected(Error{std::move(what)});
}

template <typename T>
using SockResult = std::expected<T, Errno>;
inline std::unexpected<Errno> err(int code) { return std::unexpected(Errno{code}); }

// What a stage below the socket answers (include/linux/netdevice.h, NET_XMIT_*).
class [[nodiscard]] TxResult {
 public:
  static constexpr TxResult success() { return TxResult(0); }
  static constexpr TxResult drop() { return TxResult(1); }  // NET_XMIT_DROP
  static constexpr TxResult cn() { return TxResult(2); }    // NET_XMIT_CN: congestion notification
  // Inside a discipline: its filter's action took the packet, or dropped it (__NET_XMIT_STOLEN,
  // __NET_XMIT_BYPASS). The root's caller sees success().
  static constexpr TxResult stolen() { return TxResult(kStolen); }
  static constexpr TxResult bypass() { return TxResult(kBypass); }
  // A negative errno, as the kernel's int carries it.
  static constexpr TxResult error(int code) { return TxResult(-code); }

  constexpr bool ok() const { return value_ == 0; }
  constexpr bool is_error() const { return value_ < 0; }
  constexpr int value() const { return value_; }
  // net_xmit_errno(): NET_XMIT_CN is success, NET_XMIT_DROP is ENOBUFS, 0 when there is no error.
  constexpr int errno_code() const {
    if (value_ < 0) return -value_;
    return value_ == 1 ? ENOBUFS : 0;
  }
  // net_xmit_drop_count(), for a result that is not ok().
  constexpr bool counts_as_drop() const { return value_ < 0 || (value_ & kStolen) == 0; }
  // What leaves a root discipline (NET_XMIT_MASK).
  constexpr TxResult masked() const { return TxResult(value_ < 0 ? value_ : value_ & 0xffff); }
  friend constexpr bool operator==(TxResult, TxResult) = default;

 private:
  static constexpr int kStolen = 0x10000;
  static constexpr int kBypass = 0x20000;
  explicit constexpr TxResult(int value) : value_(value) {}
  int value_;
};

}  // namespace txp
