// SPDX-License-Identifier: Apache-2.0
// bitwise: register & mask ^ xor, or a shift.
// Kernel twin: net/netfilter/nft_bitwise.c. Differs: nothing.
#include <linux/netfilter/nf_tables.h>

#include <fmt/format.h>

#include "netfilter/nft_bitwise.h"
#include "netfilter/registry.h"

namespace txp {
namespace {

// Shifts over several registers, the first word the highest.
class NftShift final : public NfExpr {
 public:
  NftShift(std::uint8_t sreg, std::uint8_t dreg, std::uint8_t words, bool left, std::uint32_t by)
      : sreg_(sreg), dreg_(dreg), words_(words), left_(left), by_(by) {}
  void eval(NftRegs& regs, NftPkt&) const override {
    std::uint32_t carry = 0;
    for (unsigned n = 0; n < words_; ++n) {
      const unsigned i = left_ ? words_ - 1U - n : n;
      const std::uint32_t src = regs.data[sreg_ + i];
      if (left_) {
        regs.data[dreg_ + i] = (src << by_) | carry;
        carry = by_ == 0 ? 0 : src >> (32 - by_);
      } else {
        regs.data[dreg_ + i] = carry | (src >> by_);
        carry = by_ == 0 ? 0 : src << (32 - by_);
      }
    }
  }
  NftDepends depends() const override { return NftDepends::flow; }
  std::string words(const NftRegs& regs) const override {
    return fmt::format("bitwise {} {}: {}", left_ ? "<<" : ">>", by_,
                       nft_hex({regs.bytes(dreg_), words_ * 4U}));
  }

 private:
  std::uint8_t sreg_;
  std::uint8_t dreg_;
  std::uint8_t words_;
  bool left_;
  std::uint32_t by_;
};

// and, or, xor of two registers (or a register and a constant), since 6.13.
class NftBool final : public NfExpr {
 public:
  NftBool(std::uint8_t sreg, std::uint8_t sreg2, std::uint8_t dreg, std::uint8_t words,
          std::uint32_t op)
      : sreg_(sreg), sreg2_(sreg2), dreg_(dreg), words_(words), op_(op) {}
  void eval(NftRegs& regs, NftPkt&) const override {
    for (unsigned i = 0; i < words_; ++i) {
      const std::uint32_t a = regs.data[sreg_ + i];
      const std::uint32_t b = regs.data[sreg2_ + i];
      regs.data[dreg_ + i] = op_ == kAnd ? a & b : op_ == kOr ? a | b : a ^ b;
    }
  }
  NftDepends depends() const override { return NftDepends::flow; }
  std::string words(const NftRegs& regs) const override {
    return fmt::format("bitwise: {}", nft_hex({regs.bytes(dreg_), words_ * 4U}));
  }
  static constexpr std::uint32_t kAnd = 3;  // NFT_BITWISE_AND, OR, XOR
  static constexpr std::uint32_t kOr = 4;
  static constexpr std::uint32_t kXor = 5;

 private:
  std::uint8_t sreg_;
  std::uint8_t sreg2_;
  std::uint8_t dreg_;
  std::uint8_t words_;
  std::uint32_t op_;
};

constexpr unsigned kBitwiseSreg2 = 8;  // NFTA_BITWISE_SREG2, in the headers since 6.13

}  // namespace

NftBitwise::NftBitwise(std::uint8_t sreg, std::uint8_t dreg, std::span<const std::uint8_t> mask,
                       std::span<const std::uint8_t> xor_)
    : sreg_(sreg), dreg_(dreg), words_(static_cast<std::uint8_t>((mask.size() + 3) / 4)) {
  std::memcpy(mask32_.data(), mask.data(), mask.size());
  std::memcpy(xor32_.data(), xor_.data(), xor_.size());
  if (words_ == 1) fast = NftFast::bitwise32;
}

void NftBitwise::eval(NftRegs& regs, NftPkt&) const {
  for (unsigned i = 0; i < words_; ++i)
    regs.data[dreg_ + i] = (regs.data[sreg_ + i] & mask32_[i]) ^ xor32_[i];
}

std::string NftBitwise::words(const NftRegs& regs) const {
  const auto hex = [this](const std::array<std::uint32_t, 16>& a) {
    std::array<std::uint8_t, 64> bytes{};
    std::memcpy(bytes.data(), a.data(), bytes.size());
    return nft_hex({bytes.data(), words_ * 4U});
  };
  return fmt::format("bitwise & {} ^ {}: {}", hex(mask32_), hex(xor32_),
                     nft_hex({regs.bytes(dreg_), words_ * 4U}));
}

Result<void> make_nft_bitwise(NftCompiler& c, Bytes data) {
  Attrs<kBitwiseSreg2> a(data, "bitwise");
  const auto len = a.be32(NFTA_BITWISE_LEN);
  if (!len || *len == 0 || *len > 64) return fail("bitwise: a wrong length");
  const auto sreg = nft_register(a.be32(NFTA_BITWISE_SREG), *len);
  const auto dreg = nft_register(a.be32(NFTA_BITWISE_DREG), *len);
  if (!sreg) return std::unexpected(sreg.error());
  if (!dreg) return std::unexpected(dreg.error());
  const auto words = static_cast<std::uint8_t>((*len + 3) / 4);
  const std::uint32_t op = a.be32(NFTA_BITWISE_OP).value_or(NFT_BITWISE_BOOL);
  switch (op) {
    case NFT_BITWISE_BOOL: {
      const auto mask = nft_data_value(a.raw(NFTA_BITWISE_MASK));
      const auto flip = nft_data_value(a.raw(NFTA_BITWISE_XOR));
      if (!mask || !flip || mask->size() != *len || flip->size() != *len)
        return fail("bitwise: a wrong mask");
      c.emplace<NftBitwise>(*sreg, *dreg, *mask, *flip);
      return {};
    }
    case NFT_BITWISE_LSHIFT:
    case NFT_BITWISE_RSHIFT: {
      const auto by = nft_data_value(a.raw(NFTA_BITWISE_DATA));
      std::uint32_t bits = 0;
      if (!by || by->size() != sizeof bits) return fail("bitwise: a wrong shift");
      std::memcpy(&bits, by->data(), sizeof bits);
      if (bits >= 32) return fail("bitwise: a wrong shift");
      c.emplace<NftShift>(*sreg, *dreg, words, op == NFT_BITWISE_LSHIFT, bits);
      return {};
    }
    case NftBool::kAnd:
    case NftBool::kOr:
    case NftBool::kXor: {
      const auto sreg2 = nft_register(a.be32(kBitwiseSreg2), *len);
      if (!sreg2) return std::unexpected(sreg2.error());
      c.emplace<NftBool>(*sreg, *sreg2, *dreg, words, op);
      return {};
    }
    default: return fail("bitwise: no such operation");
  }
}

}  // namespace txp
