// SPDX-License-Identifier: Apache-2.0
// The GRE header (RFC 2784, RFC 2890).
#pragma once

#include <cstdint>

#include "base/byteorder.h"

namespace txp {

inline constexpr std::size_t kGreHlen = 4;  // without checksum, key and sequence number
inline constexpr std::uint8_t kIpProtoIpip = 4;
inline constexpr std::uint8_t kIpProtoGre = 47;
inline constexpr std::uint16_t kEthPTeb = 0x6558;  // a whole Ethernet frame
inline constexpr std::uint16_t kGreCsum = 0x8000;
inline constexpr std::uint16_t kGreKey = 0x2000;
inline constexpr std::uint16_t kGreSeq = 0x1000;

// gre_calc_hlen().
constexpr std::size_t gre_hlen(std::uint16_t flags) {
  return kGreHlen + ((flags & kGreCsum) != 0 ? 4U : 0U) + ((flags & kGreKey) != 0 ? 4U : 0U) +
         ((flags & kGreSeq) != 0 ? 4U : 0U);
}

struct GreHeader {
  std::uint16_t flags = 0;  // kGre*
  std::uint16_t proto = 0;
  std::uint32_t key = 0;
  std::uint32_t seq = 0;

  // gre_hlen(flags) bytes; the checksum is zero.
  void emit(std::uint8_t* to) const {
    store_be16(to, flags);
    store_be16(to + 2, proto);
    to += kGreHlen;
    const auto word = [&](std::uint16_t flag, std::uint32_t value) {
      if ((flags & flag) == 0) return;
      store_be32(to, value);
      to += 4;
    };
    word(kGreCsum, 0);
    word(kGreKey, key);
    word(kGreSeq, seq);
  }
};

}  // namespace txp
