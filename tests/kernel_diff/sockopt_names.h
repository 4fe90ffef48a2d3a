// SPDX-License-Identifier: Apache-2.0
// Socket options, control messages, flags and constants by the names of <sys/socket.h>.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"
#include "kernel_diff/scenario.h"

namespace txp::kdiff {

struct OptionName {
  std::string_view name;
  int level;
  int option;
};

std::optional<OptionName> find_option(std::string_view name);
std::optional<int> find_flag(std::string_view name);  // "MSG_MORE"

// A value in words, from words[at] on; moves `at` behind it. `size` is the bytes of a plain number.
//   NUMBER, 0xHEX, NAME of a constant   the number, native
//   u8 NUMBER, u16 NUMBER, be32 NUMBER  the same in another shape
//   dev NAME                            the interface's number
//   be32 dev NAME                       the same, big-endian
//   ADDR                                four bytes
//   hex BYTES                           these bytes
//   none                                no bytes
//   mreqn GROUP LOCAL NAME|-            struct ip_mreqn
//   pktinfo NAME|- SPEC_DST             struct in_pktinfo
//   name TEXT                           a string without its zero
Result<Value> parse_value(const std::vector<std::string>& words, std::size_t& at, std::size_t size);

std::optional<std::int64_t> parse_number(std::string_view text);  // also names of constants

}  // namespace txp::kdiff
