// SPDX-License-Identifier: Apache-2.0
// lookup: a register's key in a set; a map's datum or verdict into a register.
// Kernel twin: net/netfilter/nft_lookup.c. Differs: nothing.
#include <fmt/format.h>
#include <linux/netfilter/nf_tables.h>

#include "net.h"
#include "netfilter/nft_set.h"
#include "netfilter/registry.h"

namespace txp {
namespace {

class NftLookup final : public NfExpr {
 public:
  NftLookup(const NftSet& set, std::uint8_t sreg, bool inverted, bool has_dreg, bool verdict,
            std::uint8_t dreg)
      : set_(set),
        sreg_(sreg),
        inverted_(inverted),
        has_dreg_(has_dreg),
        verdict_(verdict),
        dreg_(dreg) {
    compares = !has_dreg;
  }

  void eval(NftRegs& regs, NftPkt& pkt) const override {
    if (set_.unknown) return regs.unknown();
    const NftElem* elem = nullptr;
    NftSet::DynamicElem copy;
    // A clock costs more than a lookup.
    const Nanos now = set_.has_elem_state ? pkt.net.clock.now() : 0;
    const bool found = set_.lookup(regs.bytes(sreg_), now, elem, copy);
    if (found == inverted_) return regs.no_match();
    if (elem == nullptr) return;
    if (has_dreg_) {
      if (verdict_)
        regs.verdict = elem->verdict;
      else
        regs.store(dreg_, {elem->data.data(), set_.spec().data_len});
    }
    // nft_set_elem_update_expr(): the element's own counter, quota, limit.
    for (const NfExpr* e = elem->first; e != nullptr; e = e->next) {
      e->eval(regs, pkt);
      if (regs.verdict.code == NftCode::no_match || regs.verdict.code == NftCode::unknown) return;
    }
  }
  NftDepends depends() const override {
    return set_.is_dynamic() || set_.has_elem_state ? NftDepends::state : NftDepends::flow;
  }
  std::string words(const NftRegs& regs) const override {
    const NftSetSpec& s = set_.spec();
    std::string text = fmt::format("lookup {} in {}{}", nft_hex({regs.bytes(sreg_), s.key_len}),
                                   s.name, inverted_ ? " (not)" : "");
    if (has_dreg_ && !verdict_ && regs.verdict.code == NftCode::go_on)
      text += ": " + nft_hex({regs.bytes(dreg_), s.data_len});
    return text;
  }

 private:
  const NftSet& set_;
  std::uint8_t sreg_;
  bool inverted_;
  bool has_dreg_;
  bool verdict_;
  std::uint8_t dreg_;
};

}  // namespace

Result<void> make_nft_lookup(NftCompiler& c, Bytes data) {
  Attrs<NFTA_LOOKUP_MAX> a(data, "lookup");
  const NftSet* set = c.set(a.text(NFTA_LOOKUP_SET).value_or(""));
  if (set == nullptr) return fail("lookup: there is no such set");
  const NftSetSpec& spec = set->spec();
  const auto sreg = nft_register(a.be32(NFTA_LOOKUP_SREG), spec.key_len);
  if (!sreg) return std::unexpected(sreg.error());
  const bool inverted = (a.be32(NFTA_LOOKUP_FLAGS).value_or(0) & NFT_LOOKUP_F_INV) != 0;
  std::uint8_t dreg = 0;
  const bool has_dreg = a.has(NFTA_LOOKUP_DREG);
  if (has_dreg) {
    if (inverted || (spec.flags & NFT_SET_MAP) == 0) return fail("lookup: not a map");
    const auto number = a.be32(NFTA_LOOKUP_DREG);
    if (spec.verdicts != (number == NFT_REG_VERDICT)) return fail("lookup: a wrong register");
    if (!spec.verdicts) {
      const auto reg = nft_register(number, spec.data_len);
      if (!reg) return std::unexpected(reg.error());
      dreg = *reg;
    }
  }
  c.emplace<NftLookup>(*set, *sreg, inverted, has_dreg, spec.verdicts, dreg);
  return {};
}

}  // namespace txp
