// SPDX-License-Identifier: Apache-2.0
#include "base/checksum.h"

#include <bit>
#include <cstring>

namespace txp {
namespace {

__extension__ using Wide = unsigned __int128;

template <typename Word>
Word word(const std::uint8_t* at) {
  Word v;
  std::memcpy(&v, at, sizeof v);
  return v;
}

// Sums native-order 64-bit words into 128 bits: one's-complement sums are independent of byte order
// up to a final swap (RFC 1071, 2(B)), and no packet is long enough to overflow that.
template <bool kCopy>
Csum sum(std::span<const std::uint8_t> bytes, std::uint8_t* to, Csum start) {
  const std::uint8_t* p = bytes.data();
  std::size_t n = bytes.size();
  Wide s = 0;
  const auto take = [&]<typename Word>(Word w) {
    s += w;
    if constexpr (kCopy) {
      std::memcpy(to, &w, sizeof w);
      to += sizeof w;
    }
    p += sizeof w;
    n -= sizeof w;
  };
  while (n >= 32) {
    take(word<std::uint64_t>(p));
    take(word<std::uint64_t>(p));
    take(word<std::uint64_t>(p));
    take(word<std::uint64_t>(p));
  }
  while (n >= 8) take(word<std::uint64_t>(p));
  if ((n & 4) != 0) take(word<std::uint32_t>(p));
  if ((n & 2) != 0) take(word<std::uint16_t>(p));
  if (n != 0) {
    std::uint8_t last[2] = {*p, 0};
    s += word<std::uint16_t>(last);
    if constexpr (kCopy) *to = *p;
  }
  auto low = static_cast<std::uint64_t>(s);
  const auto high = static_cast<std::uint64_t>(s >> 64);
  low += high;
  low += low < high;  // the carry comes round
  low = (low & 0xffffffff) + (low >> 32);
  low = (low & 0xffffffff) + (low >> 32);
  low = (low & 0xffff) + (low >> 16);
  low = (low & 0xffff) + (low >> 16);
  auto folded = static_cast<std::uint16_t>(low);
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
