// SPDX-License-Identifier: Apache-2.0
// A constant verdict. Kernel twin: net/netfilter/nft_immediate.c.
#pragma once

#include "netfilter/nft_expr.h"

namespace txp {

class NftImmediateVerdict final : public NfExpr {
 public:
  explicit NftImmediateVerdict(NftVerdict verdict) : verdict_(verdict) { fast = NftFast::verdict; }
  void eval(NftRegs& regs, NftPkt&) const override { eval_verdict(regs); }
  void eval_verdict(NftRegs& regs) const { regs.verdict = verdict_; }
  NftDepends depends() const override {
    return verdict_.code == NftCode::queue ? NftDepends::state : NftDepends::flow;
  }
  std::string words(const NftRegs& regs) const override;
  const NftVerdict& verdict() const { return verdict_; }

 private:
  NftVerdict verdict_;
};

// "accept", "jump web".
std::string nft_verdict_words(const NftVerdict& verdict);

}  // namespace txp
