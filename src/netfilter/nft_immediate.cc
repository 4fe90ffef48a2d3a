// SPDX-License-Identifier: Apache-2.0
// immediate: a constant into a register, or a verdict.
// Kernel twin: net/netfilter/nft_immediate.c. Differs: nothing.
#include "netfilter/nft_immediate.h"

#include <fmt/format.h>
#include <linux/netfilter/nf_tables.h>

#include "netfilter/registry.h"

namespace txp {
namespace {

class NftImmediate final : public NfExpr {
 public:
  NftImmediate(std::uint8_t dreg, Bytes value)
      : dreg_(dreg), len_(static_cast<std::uint8_t>(value.size())) {
    std::memcpy(value_.data(), value.data(), value.size());
  }
  void eval(NftRegs& regs, NftPkt&) const override { regs.store(dreg_, {value_.data(), len_}); }
  NftDepends depends() const override { return NftDepends::flow; }
  std::string words(const NftRegs&) const override {
    return "immediate " + nft_hex({value_.data(), len_});
  }

 private:
  std::uint8_t dreg_;
  std::uint8_t len_;
  std::array<std::uint8_t, 64> value_{};
};

}  // namespace

std::string nft_verdict_words(const NftVerdict& v) {
  switch (v.code) {
    case NftCode::drop: return "drop";
    case NftCode::accept: return "accept";
    case NftCode::stolen: return "stolen";
    case NftCode::queue: return "queue";
    case NftCode::go_on: return "continue";
    case NftCode::no_match: return "break";
    case NftCode::jump: return "jump " + (v.chain != nullptr ? v.chain->name : "");
    case NftCode::goto_: return "goto " + (v.chain != nullptr ? v.chain->name : "");
    case NftCode::return_: return "return";
    case NftCode::unknown: break;
  }
  return "unknown";
}

std::string NftImmediateVerdict::words(const NftRegs&) const {
  return "immediate " + nft_verdict_words(verdict_);
}

Result<void> make_nft_immediate(NftCompiler& c, Bytes data) {
  Attrs<NFTA_IMMEDIATE_MAX> a(data, "immediate");
  const auto dreg = a.be32(NFTA_IMMEDIATE_DREG);
  const auto nested = a.raw(NFTA_IMMEDIATE_DATA);
  if (!dreg || !nested) return fail("immediate: cut short");
  if (*dreg == NFT_REG_VERDICT) {
    const auto verdict = c.verdict(*nested);
    if (!verdict) return std::unexpected(verdict.error());
    c.emplace<NftImmediateVerdict>(*verdict);
    return {};
  }
  const auto value = nft_data_value(nested);
  if (!value) return std::unexpected(value.error());
  const auto reg = nft_register(dreg, value->size());
  if (!reg) return std::unexpected(reg.error());
  c.emplace<NftImmediate>(*reg, *value);
  return {};
}

}  // namespace txp
