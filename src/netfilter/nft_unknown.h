// SPDX-License-Identifier: Apache-2.0
// In the place of an expression that the engine cannot run: a packet that comes here is unknown.
#pragma once

#include "netfilter/nft_expr.h"

namespace txp {

class NftUnknown final : public NfExpr {
 public:
  explicit NftUnknown(std::string why) : why_(std::move(why)) {}
  void eval(NftRegs& regs, NftPkt& pkt) const override {
    if (pkt.note != nullptr) *pkt.note = why_;
    regs.unknown();
  }
  NftDepends depends() const override { return NftDepends::state; }
  std::string words(const NftRegs&) const override { return why_; }
  const std::string& why() const { return why_; }

 private:
  std::string why_;
};

}  // namespace txp
