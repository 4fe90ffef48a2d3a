// SPDX-License-Identifier: Apache-2.0
// hash: Jenkins' hash of registers, scaled.
// Kernel twins: net/netfilter/nft_hash.c, include/linux/jhash.h (the algorithm is Bob Jenkins'
// lookup3, public domain). Differs: a seed that the kernel chose itself, and the symmetric hash,
// whose key it keeps, are unknown.
#include "netfilter/nft_hash.h"

#include <bit>

#include <fmt/format.h>
#include <linux/netfilter/nf_tables.h>

#include "netfilter/registry.h"

namespace txp {
namespace {

struct Jenkins {
  std::uint32_t a;
  std::uint32_t b;
  std::uint32_t c;
  void mix() {
    a -= c, a ^= std::rotl(c, 4), c += b;
    b -= a, b ^= std::rotl(a, 6), a += c;
    c -= b, c ^= std::rotl(b, 8), b += a;
    a -= c, a ^= std::rotl(c, 16), c += b;
    b -= a, b ^= std::rotl(a, 19), a += c;
    c -= b, c ^= std::rotl(b, 4), b += a;
  }
  void last() {
    c ^= b, c -= std::rotl(b, 14);
    a ^= c, a -= std::rotl(c, 11);
    b ^= a, b -= std::rotl(a, 25);
    c ^= b, c -= std::rotl(b, 16);
    a ^= c, a -= std::rotl(c, 4);
    b ^= a, b -= std::rotl(a, 14);
    c ^= b, c -= std::rotl(b, 24);
  }
};

class NftJhash final : public NfExpr {
 public:
  NftJhash(std::uint8_t sreg, std::uint8_t dreg, std::uint32_t len, std::uint32_t modulus,
           std::uint32_t seed, std::uint32_t offset)
      : sreg_(sreg), dreg_(dreg), len_(len), modulus_(modulus), seed_(seed), offset_(offset) {}
  void eval(NftRegs& regs, NftPkt&) const override {
    const std::uint64_t h = nft_jhash(regs.bytes(sreg_), len_, seed_);
    regs.data[dreg_] = static_cast<std::uint32_t>((h * modulus_) >> 32) + offset_;
  }
  NftDepends depends() const override { return NftDepends::flow; }
  std::string words(const NftRegs& regs) const override {
    return fmt::format("jhash mod {} seed {:#x} offset {}: {}", modulus_, seed_, offset_,
                       regs.data[dreg_]);
  }

 private:
  std::uint8_t sreg_;
  std::uint8_t dreg_;
  std::uint32_t len_;
  std::uint32_t modulus_;
  std::uint32_t seed_;
  std::uint32_t offset_;
};

}  // namespace

std::uint32_t nft_jhash(const std::uint8_t* key, std::uint32_t length, std::uint32_t seed) {
  constexpr std::uint32_t kInitval = 0xdeadbeef;  // JHASH_INITVAL
  const std::uint32_t start = kInitval + length + seed;
  Jenkins j{start, start, start};
  const auto word = [](const std::uint8_t* p) {
    std::uint32_t v = 0;
    std::memcpy(&v, p, 4);
    return v;
  };
  for (; length > 12; length -= 12, key += 12) {
    j.a += word(key);
    j.b += word(key + 4);
    j.c += word(key + 8);
    j.mix();
  }
  if (length == 0) return j.c;
  std::array<std::uint8_t, 12> rest{};
  std::memcpy(rest.data(), key, length);
  j.a += word(rest.data());
  j.b += word(rest.data() + 4);
  j.c += word(rest.data() + 8);
  j.last();
  return j.c;
}

std::uint32_t nft_jhash2(std::span<const std::uint32_t> words, std::uint32_t seed) {
  const void* bytes = words.data();
  return nft_jhash(static_cast<const std::uint8_t*>(bytes),
                   static_cast<std::uint32_t>(words.size_bytes()), seed);
}

Result<void> make_nft_hash(NftCompiler& c, Bytes data) {
  Attrs<NFTA_HASH_MAX> a(data, "hash");
  if (a.be32(NFTA_HASH_TYPE).value_or(NFT_HASH_JENKINS) != NFT_HASH_JENKINS)
    return fail("symhash: the kernel keeps its key to itself");
  const auto seed = a.be32(NFTA_HASH_SEED);
  if (!seed) return fail("jhash: the kernel chose the seed and keeps it to itself");
  const std::uint32_t len = a.be32(NFTA_HASH_LEN).value_or(0);
  const std::uint32_t modulus = a.be32(NFTA_HASH_MODULUS).value_or(0);
  const auto sreg = nft_register(a.be32(NFTA_HASH_SREG), len);
  const auto dreg = nft_register(a.be32(NFTA_HASH_DREG), 4);
  if (!sreg) return std::unexpected(sreg.error());
  if (!dreg) return std::unexpected(dreg.error());
  if (modulus == 0) return fail("jhash: no modulus");
  c.emplace<NftJhash>(*sreg, *dreg, len, modulus, *seed, a.be32(NFTA_HASH_OFFSET).value_or(0));
  return {};
}

}  // namespace txp
