// SPDX-License-Identifier: Apache-2.0
// register & mask ^ xor. Kernel twin: net/netfilter/nft_bitwise.c.
#pragma once

#include "netfilter/nft_expr.h"

namespace txp {

class NftBitwise final : public NfExpr {
 public:
  NftBitwise(std::uint8_t sreg, std::uint8_t dreg, std::span<const std::uint8_t> mask,
             std::span<const std::uint8_t> xor_);
  void eval(NftRegs& regs, NftPkt& pkt) const override;
  NftDepends depends() const override { return NftDepends::flow; }
  std::string words(const NftRegs& regs) const override;

  void eval32(NftRegs& regs) const {
    regs.data[dreg_] = (regs.data[sreg_] & mask32_[0]) ^ xor32_[0];
  }

 private:
  std::uint8_t sreg_;
  std::uint8_t dreg_;
  std::uint8_t words_;
  std::array<std::uint32_t, 16> mask32_{};
  std::array<std::uint32_t, 16> xor32_{};
};

}  // namespace txp
