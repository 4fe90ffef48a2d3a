// SPDX-License-Identifier: Apache-2.0
// cmp: goes on when a register equals (or is below, above ...) a constant, else ends the rule.
// Kernel twin: net/netfilter/nft_cmp.c. Differs: nothing.
#include "netfilter/nft_cmp.h"

#include <bit>
#include <limits>

#include <fmt/format.h>
#include <linux/netfilter/nf_tables.h>

#include "netfilter/registry.h"

namespace txp {

NftCmp::NftCmp(std::uint8_t sreg, std::uint32_t op, std::span<const std::uint8_t> value)
    : sreg_(sreg),
      len_(static_cast<std::uint8_t>(value.size())),
      inverted_(op == NFT_CMP_NEQ),
      op_(static_cast<std::uint8_t>(op)) {
  compares = true;
  std::memcpy(value_.data(), value.data(), value.size());
  if (op > NFT_CMP_NEQ || value.size() > 4) return;
  std::array<std::uint8_t, 4> mask{};
  for (std::size_t i = 0; i < value.size(); ++i) mask[i] = 0xff;
  mask_ = std::bit_cast<std::uint32_t>(mask);
  std::memcpy(&data_, value_.data(), sizeof data_);
  fast = NftFast::cmp32;
}

void NftCmp::eval(NftRegs& regs, NftPkt&) const {
  const int d = std::memcmp(regs.bytes(sreg_), value_.data(), len_);
  bool match = false;
  switch (op_) {
    case NFT_CMP_EQ: match = d == 0; break;
    case NFT_CMP_NEQ: match = d != 0; break;
    case NFT_CMP_LT: match = d < 0; break;
    case NFT_CMP_LTE: match = d <= 0; break;
    case NFT_CMP_GT: match = d > 0; break;
    default: match = d >= 0; break;
  }
  if (!match) regs.no_match();
}

std::string NftCmp::words(const NftRegs& regs) const {
  static constexpr std::array kOps{"eq", "neq", "lt", "lte", "gt", "gte"};
  return fmt::format("cmp {} {} with {}", nft_hex({regs.bytes(sreg_), len_}), kOps[op_],
                     nft_hex({value_.data(), len_}));
}

Result<void> make_nft_cmp(NftCompiler& c, Bytes data) {
  Attrs<NFTA_CMP_MAX> a(data, "cmp");
  const auto op = a.be32(NFTA_CMP_OP);
  const auto value = nft_data_value(a.raw(NFTA_CMP_DATA));
  if (!value) return std::unexpected(value.error());
  const auto sreg = nft_register(a.be32(NFTA_CMP_SREG), value->size());
  if (!sreg) return std::unexpected(sreg.error());
  if (!op || *op > NFT_CMP_GTE) return fail("cmp: no such comparison");
  c.emplace<NftCmp>(*sreg, *op, *value);
  return {};
}

}  // namespace txp
