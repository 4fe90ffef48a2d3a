// SPDX-License-Identifier: Apache-2.0
// The sets' tables against a plain search.
#include "netfilter/nft_set.h"

#include <gtest/gtest.h>
#include <linux/netfilter/nf_tables.h>

#include <algorithm>

#include "base/random.h"

namespace txp {
namespace {

using Key = std::vector<std::uint8_t>;

NftSetSpec spec_of(std::uint32_t key_len, std::uint32_t flags = 0,
                   std::vector<std::uint32_t> fields = {}) {
  NftSetSpec s;
  s.name = "s";
  s.flags = flags;
  s.key_len = key_len;
  s.fields = std::move(fields);
  return s;
}

Key key_of(std::uint32_t v, std::size_t len) {
  Key k(len);
  for (std::size_t i = 0; i < len; ++i)
    k[len - 1 - i] = static_cast<std::uint8_t>(v >> (8 * std::min<std::size_t>(i, 3)));
  return k;
}

bool holds(const NftSet& set, const Key& key, Nanos now = 0) {
  std::array<std::uint8_t, 64> padded{};
  std::copy(key.begin(), key.end(), padded.begin());
  const NftElem* elem = nullptr;
  NftSet::DynamicElem copy;
  return set.lookup(padded.data(), now, elem, copy);
}

TEST(NftSet, AnExactKeyIsFoundAndNoOther) {
  for (const std::size_t len : {1U, 2U, 4U, 6U, 8U, 16U}) {
    NftSet set(spec_of(static_cast<std::uint32_t>(len), 0));
    std::vector<NftElemKey> keys;
    const std::uint32_t most = len == 1 ? 256 : 3000;
    for (std::uint32_t v = 0; v < most; v += 3) keys.push_back({key_of(v, len), {}});
    set.build(keys, std::vector<NftElem>(keys.size()));
    for (std::uint32_t v = 0; v < most; ++v)
      ASSERT_EQ(holds(set, key_of(v, len)), v % 3 == 0) << v << " of " << len << " bytes";
  }
}

TEST(NftSet, AnEmptySetHoldsNothing) {
  for (const std::uint32_t flags : {0U, std::uint32_t{NFT_SET_INTERVAL}}) {
    NftSet set(spec_of(4, flags));
    set.build({}, {});
    EXPECT_FALSE(holds(set, key_of(0, 4)));
  }
  NftSet set(spec_of(8, NFT_SET_INTERVAL, {4, 2}));
  set.build({}, {});
  EXPECT_FALSE(holds(set, Key(8, 0)));
}

TEST(NftSet, AnIntervalHoldsWhatLiesInside) {
  for (const std::size_t len : {2U, 4U, 8U}) {
    NftSet set(spec_of(static_cast<std::uint32_t>(len), NFT_SET_INTERVAL));
    std::vector<NftElemKey> keys;
    for (std::uint32_t v = 40; v < 4000; v += 20)
      keys.push_back({key_of(v, len), key_of(v + v % 13, len)});
    std::ranges::reverse(keys);
    set.build(keys, std::vector<NftElem>(keys.size()));
    for (std::uint32_t v = 0; v < 4100; ++v) {
      const bool inside = std::ranges::any_of(keys, [&](const NftElemKey& k) {
        return k.key <= key_of(v, len) && key_of(v, len) <= k.end;
      });
      ASSERT_EQ(holds(set, key_of(v, len)), inside) << v << " of " << len << " bytes";
    }
  }
}

// With few elements as bitmaps, with many as lists.
class NftConcatenation : public ::testing::TestWithParam<int> {};
INSTANTIATE_TEST_SUITE_P(NftSet, NftConcatenation, ::testing::Values(150, 2000));

TEST_P(NftConcatenation, MatchesInEveryField) {
  Random random(7);
  NftSet set(spec_of(12, NFT_SET_INTERVAL, {4, 2, 1}));
  const auto field = [&](std::uint32_t most) { return random.u32() % most; };
  std::vector<NftElemKey> keys;
  for (int i = 0; i < GetParam(); ++i) {
    Key low;
    Key high;
    for (const auto& [len, most] : {std::pair{4U, 300U}, {2U, 200U}, {1U, 100U}}) {
      const std::uint32_t a = field(most);
      const std::uint32_t b = a + field(GetParam() > 1000 ? most / 16 : most / 4);
      Key l = key_of(a, len);
      Key h = key_of(b, len);
      l.resize(4);
      h.resize(4);
      low.insert(low.end(), l.begin(), l.end());
      high.insert(high.end(), h.begin(), h.end());
    }
    keys.push_back({low, high});
  }
  set.build(keys, std::vector<NftElem>(keys.size()));
  int found = 0;
  for (int i = 0; i < 5000; ++i) {
    Key k;
    for (const auto& [len, most] : {std::pair{4U, 320U}, {2U, 220U}, {1U, 120U}}) {
      Key part = key_of(field(most), len);
      part.resize(4);
      k.insert(k.end(), part.begin(), part.end());
    }
    const bool inside = std::ranges::any_of(keys, [&](const NftElemKey& e) {
      for (std::size_t f = 0; f < 12; f += 4)
        if (std::memcmp(&k[f], &e.key[f], 4) < 0 || std::memcmp(&k[f], &e.end[f], 4) > 0)
          return false;
      return true;
    });
    found += inside ? 1 : 0;
    ASSERT_EQ(holds(set, k), inside) << nft_hex(k);
  }
  EXPECT_GT(found, 100) << "the test must also hit";
}

TEST(NftSet, AnElementPastItsTimeIsGone) {
  NftSet set(spec_of(2, 0));
  NftElem e;
  e.expires = 5 * kSecond;
  set.build({{key_of(53, 2), {}}}, {e});
  EXPECT_TRUE(holds(set, key_of(53, 2), 5 * kSecond - 1));
  EXPECT_FALSE(holds(set, key_of(53, 2), 5 * kSecond));
}

TEST(NftSet, TheCatchAllElementTakesTheRest) {
  NftSet set(spec_of(2, 0));
  set.build({{key_of(53, 2), {}}}, {NftElem{}});
  EXPECT_FALSE(holds(set, key_of(54, 2)));
  set.set_catch_all(NftElem{});
  EXPECT_TRUE(holds(set, key_of(54, 2)));
}

}  // namespace
}  // namespace txp
