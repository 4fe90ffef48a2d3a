// SPDX-License-Identifier: Apache-2.0
// Concatenations of intervals. Kernel twin: net/netfilter/nft_set_pipapo.c (only what it answers).
// Differs: classes of values by binary search instead of lookup tables of bits (Gupta, McKeown:
// "Packet classification on multiple fields", 1999); of elements that overlap the first wins.
#include <algorithm>
#include <bit>
#include <cstring>
#include <map>
#include <set>

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

void add_bound(std::vector<std::uint64_t>& numbers, std::vector<NftKey>& keys, const NftKey& bound,
               std::size_t len) {
  if (len <= kNumberLen)
    numbers.push_back(field_number(bound.data(), len));
  else
    keys.push_back(bound);
}

}  // namespace

void NftSetPipapo::build(std::span<const std::uint32_t> lens, std::span<const NftElemKey> keys) {
  constexpr std::size_t kBitmaps = 1024;  // elements; more take too much memory as bitmaps
  std::size_t offset = 0;
  for (const std::uint32_t len : lens) {
    Field& f = fields_.emplace_back();
    f.offset = offset;
    f.len = len;
    offset += (len + 3) & ~std::size_t{3};
  }
  key_len_ = offset;
  if (keys.size() > kBitmaps) return build_lists(lens, keys);
  words_ = (keys.size() + 63) / 64;
  for (Field& f : fields_) {
    // Every bound, and what begins or ends there.
    std::map<NftKey, std::vector<std::int64_t>> at;  // element n begins: n; ends before: ~n
    at[NftKey{}];
    for (std::size_t n = 0; n < keys.size(); ++n) {
      const auto number = static_cast<std::int64_t>(n);
      at[field_key(keys[n].key.data(), f.offset, f.len)].push_back(number);
      const std::vector<std::uint8_t>& end = keys[n].end.empty() ? keys[n].key : keys[n].end;
      NftKey after = field_key(end.data(), f.offset, f.len);
      if (next_key(after, f.len)) at[after].push_back(~number);
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
      add_bound(f.bound64, f.bound, bound, f.len);
    }
  }
}

void NftSetPipapo::build_lists(std::span<const std::uint32_t> lens,
                               std::span<const NftElemKey> keys) {
  constexpr std::size_t kMostListed = std::size_t{1} << 24;
  for (const NftElemKey& k : keys) {
    const std::vector<std::uint8_t>& end = k.end.empty() ? k.key : k.end;
    from_.insert(from_.end(), k.key.begin(), k.key.end());
    to_.insert(to_.end(), end.begin(), end.end());
  }
  std::size_t best = 0;
  std::set<NftKey> best_bounds;
  for (std::size_t i = 0; i < lens.size(); ++i) {
    std::set<NftKey> bounds{NftKey{}};
    const Field& f = fields_[i];
    for (std::size_t n = 0; n < keys.size(); ++n) {
      bounds.insert(field_key(&from_[n * key_len_], f.offset, f.len));
      NftKey after = field_key(&to_[n * key_len_], f.offset, f.len);
      if (next_key(after, f.len)) bounds.insert(after);
    }
    if (bounds.size() <= best_bounds.size()) continue;
    best = i;
    best_bounds = std::move(bounds);
  }
  Field& f = fields_[list_field_ = best];
  for (const NftKey& bound : best_bounds) add_bound(f.bound64, f.bound, bound, f.len);
  std::vector<std::vector<std::int32_t>> lists(best_bounds.size());
  std::size_t listed = 0;
  for (std::size_t n = 0; n < keys.size(); ++n) {
    const std::size_t last = class_of(f, &to_[n * key_len_]);
    for (std::size_t c = class_of(f, &from_[n * key_len_]); c <= last; ++c) {
      lists[c].push_back(static_cast<std::int32_t>(n));
      if (++listed > kMostListed) break;
    }
  }
  if (listed > kMostListed) {  // absurdly nested: one list of all
    f.bound64.clear();
    f.bound.clear();
    add_bound(f.bound64, f.bound, NftKey{}, f.len);
    lists.assign(1, {});
    for (std::size_t n = 0; n < keys.size(); ++n) lists[0].push_back(static_cast<std::int32_t>(n));
  }
  for (const std::vector<std::int32_t>& l : lists) {
    list_begin_.push_back(static_cast<std::uint32_t>(lists_.size()));
    lists_.insert(lists_.end(), l.begin(), l.end());
  }
  list_begin_.push_back(static_cast<std::uint32_t>(lists_.size()));
}

std::size_t NftSetPipapo::class_of(const Field& f, const std::uint8_t* key) const {
  if (f.len <= kNumberLen) {
    const std::uint64_t v = field_number(key + f.offset, f.len);
    return static_cast<std::size_t>(std::ranges::upper_bound(f.bound64, v) - f.bound64.begin()) - 1;
  }
  const NftKey v = field_key(key, f.offset, f.len);
  return static_cast<std::size_t>(std::ranges::upper_bound(f.bound, v) - f.bound.begin()) - 1;
}

bool NftSetPipapo::inside(std::size_t elem, const std::uint8_t* key) const {
  const std::uint8_t* from = &from_[elem * key_len_];
  const std::uint8_t* to = &to_[elem * key_len_];
  return std::ranges::all_of(fields_, [&](const Field& f) {
    return std::memcmp(key + f.offset, from + f.offset, f.len) >= 0 &&
           std::memcmp(key + f.offset, to + f.offset, f.len) <= 0;
  });
}

std::int32_t NftSetPipapo::lookup(const std::uint8_t* key) const {
  if (!list_begin_.empty()) {
    const std::size_t c = class_of(fields_[list_field_], key);
    for (std::uint32_t i = list_begin_[c]; i < list_begin_[c + 1]; ++i)
      if (inside(static_cast<std::size_t>(lists_[i]), key)) return lists_[i];
    return -1;
  }
  constexpr std::size_t kMostFields = 16;  // NFT_REG32_COUNT
  std::array<const std::uint64_t*, kMostFields> row{};
  std::size_t n = 0;
  for (const Field& f : fields_) row[n++] = &f.rows[f.bitmap[class_of(f, key)] * words_];
  for (std::size_t w = 0; w < words_; ++w) {
    std::uint64_t all = row[0][w];
    for (std::size_t i = 1; i < n; ++i) all &= row[i][w];
    if (all != 0)
      return static_cast<std::int32_t>(w * 64 + static_cast<unsigned>(std::countr_zero(all)));
  }
  return -1;
}

}  // namespace txp
