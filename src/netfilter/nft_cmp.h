// SPDX-License-Identifier: Apache-2.0
// Compares a register with a constant. Kernel twin: net/netfilter/nft_cmp.c.
#pragma once

#include "netfilter/nft_expr.h"

namespace txp {

class NftCmp final : public NfExpr {
 public:
  NftCmp(std::uint8_t sreg, std::uint32_t op, std::span<const std::uint8_t> value);
  void eval(NftRegs& regs, NftPkt& pkt) const override;
  NftDepends depends() const override { return NftDepends::flow; }
  std::string words(const NftRegs& regs) const override;

  // nft_cmp_fast_eval(), for what fits into one register.
  void eval32(NftRegs& regs) const {
    if (((regs.data[sreg_] & mask_) == data_) == inverted_) regs.no_match();
  }

 private:
  std::uint8_t sreg_;
  std::uint8_t len_;
  bool inverted_;
  std::uint8_t op_;  // NFT_CMP_*
  std::uint32_t mask_ = 0;
  std::uint32_t data_ = 0;
  std::array<std::uint8_t, 64> value_{};
};

}  // namespace txp
