// SPDX-License-Identifier: Apache-2.0
#include "base/checksum.h"

#include <bit>
#include <cstring>

namespace txp {
namespace {

// Sums native-order 32-bit words into 64 bits: one's-complement sums are independent of byte order
// up to a final swap (RFC 1071, 2(B)), and 64 bits never overflow for any packet.
template <bool kCopy>
Csum sum(std::span<const std::uint8_t> bytes, std::uint8_t* to, Csum start) {
  const std::uint8_t* p = bytes.data();
  std::size_t n = bytes.size();
  std::uint64_t a = 0;
  std::uint64_t b = 0;
  std::uint64_t c = 0;
  std::uint64_t d = 0;
  auto word = [](const std::uint8_t* at) {
    std::uint32_t v;
    std::memcpy(&v, at, sizeof v);
    return v;
  };
  while (n >= 16) {
    const std::uint32_t w0 = word(p);
    const std::uint32_t w1 = word(p + 4);
    const std::uint32_t w2 = word(p + 8);
    const std::uint32_t w3 = word(p + 12);
    if constexpr (kCopy) {
      std::memcpy(to, p, 16);
      to += 16;
    }
    a += w0;
    b += w1;
    c += w2;
    d += w3;
    p += 16;
    n -= 16;
  }
  std::uint64_t s = a + b + c + d;
  if constexpr (kCopy) std::memcpy(to, p, n);
  while (n >= 4) {
    s += word(p);
    p += 4;
    n -= 4;
  }
  if (n > 0) {
    std::uint8_t tail[4] = {};
    std::memcpy(tail, p, n);
    s += word(tail);
  }
  s = (s & 0xffffffff) + (s >> 32);
  s = (s & 0xffffffff) + (s >> 32);
  s = (s & 0xffff) + (s >> 16);
  s = (s & 0xffff) + (s >> 16);
  auto folded = static_cast<std::uint16_t>(s);
  if constexpr (std::endian::native == std::endian::little) folded = std::byteswap(folded);
  return csum_add(start, folded);
}

}  // namespace

Csum csum_partial(std::span<const std::uint8_t> bytes, Csum start) {
  return sum<false>(bytes, nullptr, start);
}

Csum csum_partial_copy(std::span<const std::uint8_t> bytes, std::uint8_t* to, Csum start) {
  return sum<true>(bytes, to, start);
}

}  // namespace txp
