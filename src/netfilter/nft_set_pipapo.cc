// SPDX-License-Identifier: Apache-2.0
// Concatenations of intervals. Kernel twin: net/netfilter/nft_set_pipapo.c (only what it answers).
// Differs: classes of values by binary search instead of lookup tables of bits (Gupta, McKeown:
// "Packet classification on multiple fields", 1999); of elements that overlap the first wins.
#include <algorithm>
#include <bit>
#include <cstring>
#include <map>

#include "netfilter/nft_set.h"

namespace txp {
namespace {

constexpr std::size_t kNumberLen = 8;  // fields up to this many bytes are compared as numbers

NftKey field_key(const std::uint8_t* key, std::size_t offset, std::size_t len) {
  NftKey k{};
  std::memcpy(k.data(), key + offset, len);
  return k;
}

std::uint64_t field_number(const std::uint8_t* key, std::size_t len) {
  std::uint64_t v = 0;
  for (std::size_t i = 0; i < len; ++i) v = (v << 8) | key[i];
  return v;
}

// The key after `k`; false when there is none.
bool next_key(NftKey& k, std::size_t len) {
  for (std::size_t i = len; i-- > 0;)
    if (++k[i] != 0) return true;
  return false;
}

}  // namespace

void NftSetPipapo::build(std::span<const std::uint32_t> fields, std::span<const NftElemKey> keys) {
  words_ = (keys.size() + 63) / 64;
  std::size_t offset = 0;
  for (const std::uint32_t len : fields) {
    Field& f = fields_.emplace_back();
    f.offset = offset;
    f.len = len;
    offset += (len + 3) & ~std::size_t{3};
    // Every bound, and what begins or ends there.
    std::map<NftKey, std::vector<std::int64_t>> at;  // element n begins: n; ends before: ~n
    at[NftKey{}];
    for (std::size_t n = 0; n < keys.size(); ++n) {
      const auto number = static_cast<std::int64_t>(n);
      at[field_key(keys[n].key.data(), f.offset, len)].push_back(number);
      const std::vector<std::uint8_t>& end = keys[n].end.empty() ? keys[n].key : keys[n].end;
      NftKey after = field_key(end.data(), f.offset, len);
      if (next_key(after, len)) at[after].push_back(~number);
    }
    std::vector<std::uint64_t> row(words_);
    std::map<std::vector<std::uint64_t>, std::uint32_t> known;
    for (const auto& [bound, changes] : at) {
      for (const std::int64_t c : changes) {
        const auto n = static_cast<std::size_t>(c < 0 ? ~c : c);
        const std::uint64_t bit = std::uint64_t{1} << (n % 64);
        row[n / 64] = c < 0 ? row[n / 64] & ~bit : row[n / 64] | bit;
      }
      const auto [found, fresh] = known.try_emplace(row, static_cast<std::uint32_t>(known.size()));
      if (fresh) f.rows.insert(f.rows.end(), row.begin(), row.end());
      f.bitmap.push_back(found->second);
      if (len <= kNumberLen)
        f.bound64.push_back(field_number(bound.data(), len));
      else
        f.bound.push_back(bound);
    }
  }
}

std::int32_t NftSetPipapo::lookup(const std::uint8_t* key) const {
  constexpr std::size_t kMostFields = 16;  // NFT_REG32_COUNT
  std::array<const std::uint64_t*, kMostFields> row{};
  std::size_t n = 0;
  for (const Field& f : fields_) {
    std::size_t cls = 0;
    if (f.len <= kNumberLen) {
      const std::uint64_t v = field_number(key + f.offset, f.len);
      cls = static_cast<std::size_t>(std::ranges::upper_bound(f.bound64, v) - f.bound64.begin());
    } else {
      const NftKey v = field_key(key, f.offset, f.len);
      cls = static_cast<std::size_t>(std::ranges::upper_bound(f.bound, v) - f.bound.begin());
    }
    row[n++] = &f.rows[f.bitmap[cls - 1] * words_];
  }
  for (std::size_t w = 0; w < words_; ++w) {
    std::uint64_t all = row[0][w];
    for (std::size_t i = 1; i < n; ++i) all &= row[i][w];
    if (all != 0)
      return static_cast<std::int32_t>(w * 64 + static_cast<unsigned>(std::countr_zero(all)));
  }
  return -1;
}

}  // namespace txp
