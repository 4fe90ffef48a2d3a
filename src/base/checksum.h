// SPDX-License-Identifier: Apache-2.0
// The Internet checksum (RFC 1071) under the kernel's names (lib/checksum.c).
// A Csum is an unfolded one's-complement sum of 16-bit big-endian words, in host order.
#pragma once

#include <bit>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <span>

#include "base/byteorder.h"

namespace txp {

using Csum = std::uint32_t;

// How long blocks are summed. The best that the processor has is taken by itself; csum_use() is for
// tests and measurements, with nothing that the processor lacks.
enum class CsumVariant : std::uint8_t { plain, avx2, avx512 };
CsumVariant csum_best();
void csum_use(CsumVariant variant);

inline Csum csum_add(Csum a, Csum b) {
  a += b;
  return a + (a < b);
}
// Adds the sum of a block that starts `offset` bytes into the summed data.
inline Csum csum_block_add(Csum sum, Csum block, std::size_t offset) {
  if (offset & 1) block = ((block & 0x00ff00ffU) << 8) | ((block >> 8) & 0x00ff00ffU);
  return csum_add(sum, block);
}
// Folds to 16 bits and complements: the value that goes into a header (host order).
inline std::uint16_t csum_fold(Csum sum) {
  sum = (sum & 0xffff) + (sum >> 16);
  sum = (sum & 0xffff) + (sum >> 16);
  return static_cast<std::uint16_t>(~sum);
}
// The IPv4 pseudo-header's sum (RFC 768), addresses and length in host order.
inline Csum csum_tcpudp_nofold(std::uint32_t saddr, std::uint32_t daddr, std::uint32_t len,
                               std::uint8_t proto, Csum sum) {
  std::uint64_t s = std::uint64_t{sum} + (saddr >> 16) + (saddr & 0xffff) + (daddr >> 16) +
                    (daddr & 0xffff) + len + proto;
  s = (s & 0xffffffff) + (s >> 32);
  return static_cast<Csum>((s & 0xffffffff) + (s >> 32));
}
// The byte order of the numbers that are summed may be swapped once, in the sum (RFC 1071, 2(B)).
inline Csum csum_from_native(Csum sum) {
  if constexpr (std::endian::native == std::endian::big) return sum;
  return std::rotl(std::byteswap(sum), 16);  // in both halves
}

namespace csum_detail {

// A block that is summed in place: a call to anything wider would cost more than the sum.
inline constexpr std::size_t kShort = 128;
Csum long_partial(std::span<const std::uint8_t> bytes, Csum start);
Csum long_partial_copy(std::span<const std::uint8_t> bytes, std::uint8_t* to, Csum start);

template <typename Word>
inline Word word(const std::uint8_t* at) {
  Word v;
  std::memcpy(&v, at, sizeof v);
  return v;
}

// A sum of native words and the carries out of it, as a Csum.
inline Csum finish(std::uint64_t sum, std::uint64_t carries, Csum start) {
  sum += carries;
  sum += sum < carries;
  return csum_add(start,
                  csum_from_native(csum_add(static_cast<Csum>(sum), static_cast<Csum>(sum >> 32))));
}

// Fewer than 8 bytes.
template <bool kCopy>
inline std::uint64_t sum_last(const std::uint8_t* p, std::uint8_t* to, std::size_t n) {
  std::uint64_t s = 0;
  if constexpr (kCopy)
    for (std::size_t i = 0; i < n; ++i) to[i] = p[i];
  if ((n & 4) != 0) {
    s += word<std::uint32_t>(p);
    p += 4;
  }
  if ((n & 2) != 0) {
    s += word<std::uint16_t>(p);
    p += 2;
  }
  if ((n & 1) != 0) {
    const std::uint8_t last[2] = {*p, 0};
    s += word<std::uint16_t>(last);
  }
  return s;
}

// By 64-bit words, their carries counted apart.
template <bool kCopy>
inline Csum sum_plain(std::span<const std::uint8_t> bytes, std::uint8_t* to, Csum start) {
  const std::uint8_t* p = bytes.data();
  std::size_t n = bytes.size();
  std::uint64_t s = 0;
  std::uint64_t carries = 0;
  const auto add = [&s, &carries](std::uint64_t v) {
    s += v;
    carries += s < v;
  };
  for (; n >= 32; n -= 32, p += 32) {
    add(word<std::uint64_t>(p));
    add(word<std::uint64_t>(p + 8));
    add(word<std::uint64_t>(p + 16));
    add(word<std::uint64_t>(p + 24));
    if constexpr (kCopy) {
      std::memcpy(to, p, 32);
      to += 32;
    }
  }
  for (; n >= 8; n -= 8, p += 8) {
    const auto v = word<std::uint64_t>(p);
    add(v);
    if constexpr (kCopy) {
      std::memcpy(to, &v, 8);
      to += 8;
    }
  }
  if (n != 0) add(sum_last<kCopy>(p, to, n));
  return finish(s, carries, start);
}

}  // namespace csum_detail

// The sum of `bytes`, added to `start`. An odd last byte counts as a high byte, so only the last of
// several blocks may be odd; csum_block_add() joins at any offset.
inline Csum csum_partial(std::span<const std::uint8_t> bytes, Csum start) {
  if (bytes.size() <= csum_detail::kShort)
    return csum_detail::sum_plain<false>(bytes, nullptr, start);
  return csum_detail::long_partial(bytes, start);
}
// Copies `bytes` to `to` and sums them in one pass; equals csum_partial(bytes, start).
inline Csum csum_partial_copy(std::span<const std::uint8_t> bytes, std::uint8_t* to, Csum start) {
  if (bytes.size() <= csum_detail::kShort) return csum_detail::sum_plain<true>(bytes, to, start);
  return csum_detail::long_partial_copy(bytes, to, start);
}

// An IPv4 header, which is whole 32-bit words. By halves: one of them was just written.
inline std::uint16_t ip_fast_csum(std::span<const std::uint8_t> header) {
  constexpr std::size_t kWithoutOptions = 20;
  const auto half = [p = header.data()](std::size_t i) {
    std::uint16_t v;
    std::memcpy(&v, p + i, sizeof v);
    return Csum{v};
  };
  Csum sum = half(0) + half(2) + half(4) + half(6) + half(8) + half(10) + half(12) + half(14) +
             half(16) + half(18);
  for (std::size_t i = kWithoutOptions; i + 2 <= header.size(); i += 2) sum += half(i);
  return csum_fold(csum_from_native(sum));
}

}  // namespace txp
