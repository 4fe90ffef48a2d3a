// SPDX-License-Identifier: Apache-2.0
// Exact keys. Kernel twins: net/netfilter/nft_set_hash.c, nft_set_bitmap.c.
// Differs: one kind of table for all; open addressing, at most half full.
#include <bit>
#include <cstring>

#include "netfilter/nft_set.h"

namespace txp {

std::uint64_t NftSetHash::hash(const std::uint8_t* key) const {
  constexpr std::uint64_t kMul = 0x9e3779b97f4a7c15ULL;
  std::uint64_t h = klen_ * kMul;
  std::size_t i = 0;
  for (; i + 4 <= klen_; i += 4) {
    std::uint32_t w = 0;
    std::memcpy(&w, key + i, 4);
    h = (h ^ w) * kMul;
    h ^= h >> 29;
  }
  for (; i < klen_; ++i) h = (h ^ key[i]) * kMul;
  return h ^ (h >> 32);
}

void NftSetHash::build(std::size_t klen, std::span<const NftElemKey> keys) {
  klen_ = klen;
  const std::size_t size = std::bit_ceil(std::max<std::size_t>(keys.size() * 2, 4));
  mask_ = size - 1;
  slots_.assign(size, {});
  keys_.assign(keys.size() * klen, 0);
  for (std::size_t i = 0; i < keys.size(); ++i) {
    std::memcpy(&keys_[i * klen], keys[i].key.data(), klen);
    const std::uint64_t h = hash(keys[i].key.data());
    const auto tag = static_cast<std::uint32_t>(h >> 32);
    std::size_t at = h & mask_;
    while (slots_[at].elem >= 0) at = (at + 1) & mask_;
    slots_[at] = {tag, static_cast<std::int32_t>(i)};
  }
}

std::int32_t NftSetHash::lookup(const std::uint8_t* key) const {
  if (slots_.empty()) return -1;
  const std::uint64_t h = hash(key);
  const auto tag = static_cast<std::uint32_t>(h >> 32);
  for (std::size_t at = h & mask_;; at = (at + 1) & mask_) {
    const Slot& s = slots_[at];
    if (s.elem < 0) return -1;
    if (s.tag == tag &&
        std::memcmp(&keys_[static_cast<std::size_t>(s.elem) * klen_], key, klen_) == 0)
      return s.elem;
  }
}

}  // namespace txp
