// SPDX-License-Identifier: Apache-2.0
// The UDP header (RFC 768).
#pragma once

#include <cstdint>
#include <optional>
#include <span>

#include "base/byteorder.h"

namespace txp {

inline constexpr std::size_t kUdpHlen = 8;
inline constexpr std::size_t kUdpCheckOffset = 6;
inline constexpr std::uint16_t kCsumMangled0 = 0xffff;  // CSUM_MANGLED_0: a computed zero

struct UdpHeader {
  std::uint16_t source = 0;
  std::uint16_t dest = 0;
  std::uint16_t len = 0;  // bytes, header included
  std::uint16_t check = 0;

  static std::optional<UdpHeader> parse(std::span<const std::uint8_t> b) {
    if (b.size() < kUdpHlen) return std::nullopt;
    return UdpHeader{load_be16(&b[0]), load_be16(&b[2]), load_be16(&b[4]), load_be16(&b[6])};
  }
  void emit(std::uint8_t* to) const {
    store_be32(to, std::uint32_t{source} << 16 | dest);
    store_be32(to + 4, std::uint32_t{len} << 16 | check);
  }
};

// A checked view for changing single fields in place, as Ipv4View.
class UdpView {
 public:
  explicit UdpView(std::uint8_t* p) : p_(p) {}
  std::uint16_t source() const { return load_be16(p_); }
  std::uint16_t dest() const { return load_be16(p_ + 2); }
  void set_len(std::uint16_t v) { store_be16(p_ + 4, v); }
  void set_check(std::uint16_t v) { store_be16(p_ + kUdpCheckOffset, v); }

 private:
  std::uint8_t* p_;
};

}  // namespace txp
