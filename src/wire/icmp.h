// SPDX-License-Identifier: Apache-2.0
// The ICMP header and the errors that concern a sender (RFC 792, RFC 1191).
#pragma once

#include <cstdint>
#include <optional>
#include <span>

#include "base/byteorder.h"

namespace txp {

inline constexpr std::size_t kIcmpHlen = 8;

struct IcmpHeader {
  std::uint8_t type = 0;
  std::uint8_t code = 0;
  std::uint16_t check = 0;
  std::uint32_t rest = 0;  // the second word: unused, gateway, or unused and next-hop MTU

  std::uint16_t next_hop_mtu() const { return static_cast<std::uint16_t>(rest); }

  static std::optional<IcmpHeader> parse(std::span<const std::uint8_t> b) {
    if (b.size() < kIcmpHlen) return std::nullopt;
    return IcmpHeader{b[0], b[1], load_be16(&b[2]), load_be32(&b[4])};
  }
  void emit(std::uint8_t* to) const {
    to[0] = type;
    to[1] = code;
    store_be16(to + 2, check);
    store_be32(to + 4, rest);
  }
};

}  // namespace txp
