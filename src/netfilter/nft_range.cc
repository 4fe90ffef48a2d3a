// SPDX-License-Identifier: Apache-2.0
// range: goes on when a register lies between two constants (or outside).
// Kernel twin: net/netfilter/nft_range.c. Differs: nothing.
#include <fmt/format.h>
#include <linux/netfilter/nf_tables.h>

#include "netfilter/registry.h"

namespace txp {
namespace {

class NftRange final : public NfExpr {
 public:
  NftRange(std::uint8_t sreg, bool outside, Bytes from, Bytes to)
      : sreg_(sreg), len_(static_cast<std::uint8_t>(from.size())), outside_(outside) {
    compares = true;
    std::memcpy(from_.data(), from.data(), from.size());
    std::memcpy(to_.data(), to.data(), to.size());
  }
  void eval(NftRegs& regs, NftPkt&) const override {
    const std::uint8_t* v = regs.bytes(sreg_);
    const bool inside =
        std::memcmp(v, from_.data(), len_) >= 0 && std::memcmp(v, to_.data(), len_) <= 0;
    if (inside == outside_) regs.no_match();
  }
  NftDepends depends() const override { return NftDepends::flow; }
  std::string words(const NftRegs& regs) const override {
    return fmt::format("range {} {} {}-{}", nft_hex({regs.bytes(sreg_), len_}),
                       outside_ ? "neq" : "eq", nft_hex({from_.data(), len_}),
                       nft_hex({to_.data(), len_}));
  }

 private:
  std::uint8_t sreg_;
  std::uint8_t len_;
  bool outside_;
  std::array<std::uint8_t, 64> from_{};
  std::array<std::uint8_t, 64> to_{};
};

}  // namespace

Result<void> make_nft_range(NftCompiler& c, Bytes data) {
  Attrs<NFTA_RANGE_MAX> a(data, "range");
  const auto from = nft_data_value(a.raw(NFTA_RANGE_FROM_DATA));
  const auto to = nft_data_value(a.raw(NFTA_RANGE_TO_DATA));
  const std::uint32_t op = a.be32(NFTA_RANGE_OP).value_or(99);
  if (!from || !to || from->size() != to->size()) return fail("range: wrong ends");
  if (op > NFT_RANGE_NEQ) return fail("range: no such comparison");
  const auto sreg = nft_register(a.be32(NFTA_RANGE_SREG), from->size());
  if (!sreg) return std::unexpected(sreg.error());
  c.emplace<NftRange>(*sreg, op == NFT_RANGE_NEQ, *from, *to);
  return {};
}

}  // namespace txp
