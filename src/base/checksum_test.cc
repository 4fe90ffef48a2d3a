// SPDX-License-Identifier: Apache-2.0
#include "base/checksum.h"

#include <gtest/gtest.h>

#include <vector>

namespace txp {
namespace {

// RFC 1071 as it reads: 16-bit big-endian words, an odd last byte as a high one.
std::uint16_t plain(std::span<const std::uint8_t> bytes) {
  std::uint64_t sum = 0;
  for (std::size_t i = 0; i < bytes.size(); ++i)
    sum += i % 2 == 0 ? std::uint64_t{bytes[i]} << 8 : bytes[i];
  while (sum >> 16 != 0) sum = (sum & 0xffff) + (sum >> 16);
  return static_cast<std::uint16_t>(~sum);
}

class Checksum : public ::testing::TestWithParam<CsumVariant> {
 protected:
  void SetUp() override {
    if (GetParam() > csum_best()) GTEST_SKIP() << "not on this processor";
    csum_use(GetParam());
  }
  void TearDown() override { csum_use(csum_best()); }
};
INSTANTIATE_TEST_SUITE_P(Variant, Checksum,
                         ::testing::Values(CsumVariant::plain, CsumVariant::avx2,
                                           CsumVariant::avx512));

TEST_P(Checksum, IsThePlainSumForEveryLengthAndAlignment) {
  std::vector<std::uint8_t> bytes(9000 + 64);
  for (const std::uint32_t seed : {1U, 0xffffU, 77U}) {
    std::uint32_t x = seed;
    for (std::uint8_t& b : bytes) {
      x = x * 1664525 + 1013904223;
      b = seed == 0xffff ? 0xff : static_cast<std::uint8_t>(x >> 24);
    }
    for (const std::size_t n : {0UL, 1UL, 2UL, 3UL, 7UL, 8UL, 15UL, 31UL, 32UL, 33UL, 63UL, 64UL,
                                65UL, 127UL, 128UL, 1400UL, 1473UL, 8999UL}) {
      for (std::size_t at = 0; at < 9; ++at) {
        const auto from = std::span(bytes).subspan(at, n);
        EXPECT_EQ(csum_fold(csum_partial(from, 0)), plain(from)) << n << " at " << at;
        std::vector<std::uint8_t> to(n + 2, 0xa5);
        EXPECT_EQ(csum_partial_copy(from, to.data() + 1, 0), csum_partial(from, 0));
        EXPECT_TRUE(std::equal(from.begin(), from.end(), to.begin() + 1));
        EXPECT_EQ(to.front(), 0xa5);
        EXPECT_EQ(to.back(), 0xa5);
      }
    }
  }
}

TEST_P(Checksum, OfZeroesAloneIsZero) {
  const std::vector<std::uint8_t> zeroes(100);
  EXPECT_EQ(csum_partial(zeroes, 0), 0U);
  EXPECT_NE(csum_partial(std::vector<std::uint8_t>(100, 0xff), 0), 0U);
}

}  // namespace
}  // namespace txp
