// SPDX-License-Identifier: Apache-2.0
// The Internet checksum (RFC 1071) under the kernel's names (lib/checksum.c).
// A Csum is an unfolded one's-complement sum of 16-bit big-endian words, in host order.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>

#include "base/byteorder.h"

namespace txp {

using Csum = std::uint32_t;

// The sum of `bytes`, added to `start`. An odd last byte counts as a high byte, so only the last of
// several blocks may be odd; csum_block_add() joins at any offset.
Csum csum_partial(std::span<const std::uint8_t> bytes, Csum start);

// Copies `bytes` to `to` and sums them in one pass; equals csum_partial(bytes, start).
Csum csum_partial_copy(std::span<const std::uint8_t> bytes, std::uint8_t* to, Csum start);

// How the two are computed. The best that the processor has is taken by itself; csum_use() is for
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
// An IPv4 header, which is whole 32-bit words.
inline std::uint16_t ip_fast_csum(std::span<const std::uint8_t> header) {
  std::uint64_t sum = 0;
  for (std::size_t i = 0; i + 4 <= header.size(); i += 4) sum += load_be32(&header[i]);
  return csum_fold(csum_add(static_cast<Csum>(sum), static_cast<Csum>(sum >> 32)));
}

}  // namespace txp
