// SPDX-License-Identifier: Apache-2.0
// dynset: the packet adds, renews or deletes an element of a set.
// Kernel twin: net/netfilter/nft_dynset.c, nft_set_hash.c (nft_rhash_update()).
// Differs: the kernel's own packets change the kernel's set, ours change ours; what the kernel had
// when the ruleset was read is in both.
#include <fmt/format.h>
#include <linux/netfilter/nf_tables.h>

#include "net.h"
#include "netfilter/nft_set.h"
#include "netfilter/registry.h"

namespace txp {
namespace {

class NftDynset final : public NfExpr {
 public:
  struct Spec {
    std::uint32_t op = 0;
    std::uint8_t sreg_key = 0;
    std::uint8_t sreg_data = 0;
    bool has_data = false;
    bool inverted = false;
    Nanos timeout = 0;                      // 0: none
    std::vector<std::uint8_t> expressions;  // of a new element
  };
  NftDynset(const NftSet& set, Spec s) : set_(set), s_(std::move(s)) {}

  void eval(NftRegs& regs, NftPkt& pkt) const override {
    NftSet::Dynamic& d = *set_.dynamic();
    const void* bytes = regs.bytes(s_.sreg_key);
    const std::string key(static_cast<const char*>(bytes), set_.spec().key_len);
    const Nanos now = pkt.net.clock.now();
    NftSet::DynamicElem elem;
    {
      const std::lock_guard guard(d.mutex);
      auto at = d.elems.find(key);
      if (at != d.elems.end() && at->second.elem.expires != 0 && at->second.elem.expires <= now)
        at = (d.elems.erase(at), d.elems.end());
      if (s_.op == NFT_DYNSET_OP_DELETE) {
        if (at != d.elems.end() && !pkt.dry) d.elems.erase(at);
        return;
      }
      if (at == d.elems.end()) {
        const bool full = set_.spec().size != 0 && d.elems.size() >= set_.spec().size;
        if (full || pkt.dry) return finish(regs, !full);
        at = d.elems.emplace(key, make(regs, pkt, now)).first;
      } else if (s_.op == NFT_DYNSET_OP_UPDATE && at->second.elem.expires != 0 && !pkt.dry) {
        at->second.elem.expires = now + s_.timeout;
        at->second.of_kernel = false;
      }
      elem = at->second;
    }
    for (const NfExpr* e = elem.elem.first; e != nullptr; e = e->next) {
      e->eval(regs, pkt);
      if (regs.verdict.code == NftCode::no_match || regs.verdict.code == NftCode::unknown) break;
    }
    if (s_.inverted) regs.no_match();
  }
  NftDepends depends() const override { return NftDepends::state; }
  std::string words(const NftRegs& regs) const override {
    static constexpr std::array kOps{"add", "update", "delete"};
    return fmt::format("dynset {} {} in {}", kOps[s_.op],
                       nft_hex({regs.bytes(s_.sreg_key), set_.spec().key_len}), set_.spec().name);
  }

 private:
  void finish(NftRegs& regs, bool found) const {
    if (found == s_.inverted) regs.no_match();
  }
  NftSet::DynamicElem make(const NftRegs& regs, NftPkt& pkt, Nanos now) const {
    NftSet::DynamicElem made;
    if (s_.has_data)
      std::memcpy(made.elem.data.data(), regs.bytes(s_.sreg_data), set_.spec().data_len);
    if (s_.timeout != 0) made.elem.expires = now + s_.timeout;
    made.code = NftCompiler::alone(pkt.net, s_.expressions, made.elem.first);
    return made;
  }
  const NftSet& set_;
  Spec s_;
};

// NFTA_DYNSET_EXPR, the older form with one expression, as a list of one.
std::vector<std::uint8_t> list_of_one(Bytes expression) {
  nlattr h{};
  if (expression.size() > 0xffff - sizeof h) return {};
  h.nla_len = static_cast<std::uint16_t>(sizeof h + expression.size());
  h.nla_type = NFTA_LIST_ELEM | NLA_F_NESTED;
  std::vector<std::uint8_t> list(sizeof h);
  std::memcpy(list.data(), &h, sizeof h);
  list.insert(list.end(), expression.begin(), expression.end());
  return list;
}

}  // namespace

Result<void> make_nft_dynset(NftCompiler& c, Bytes data) {
  Attrs<NFTA_DYNSET_MAX> a(data, "dynset");
  const NftSet* set = c.set(a.text(NFTA_DYNSET_SET_NAME).value_or(""));
  if (set == nullptr || !set->is_dynamic()) return fail("dynset: there is no such dynamic set");
  const NftSetSpec& spec = set->spec();
  NftDynset::Spec s;
  s.op = a.be32(NFTA_DYNSET_OP).value_or(99);
  if (s.op > NFT_DYNSET_OP_DELETE) return fail("dynset: no such operation");
  const auto key = nft_register(a.be32(NFTA_DYNSET_SREG_KEY), spec.key_len);
  if (!key) return std::unexpected(key.error());
  s.sreg_key = *key;
  if (a.has(NFTA_DYNSET_SREG_DATA)) {
    if (spec.data_len == 0) return fail("dynset: not a map");
    const auto reg = nft_register(a.be32(NFTA_DYNSET_SREG_DATA), spec.data_len);
    if (!reg) return std::unexpected(reg.error());
    s.sreg_data = *reg;
    s.has_data = true;
  }
  s.inverted = (a.be32(NFTA_DYNSET_FLAGS).value_or(0) & NFT_DYNSET_F_INV) != 0;
  constexpr std::uint64_t kMostMs = 1000ULL * 3600 * 24 * 36500;
  const std::uint64_t timeout = a.be64(NFTA_DYNSET_TIMEOUT).value_or(0);
  s.timeout =
      static_cast<Nanos>(std::min(timeout != 0 ? timeout : spec.timeout, kMostMs)) * kMillisecond;
  if (const auto list = a.raw(NFTA_DYNSET_EXPRESSIONS))
    s.expressions.assign(list->begin(), list->end());
  else if (const auto one = a.raw(NFTA_DYNSET_EXPR))
    s.expressions = list_of_one(*one);
  else
    s.expressions = spec.expressions;
  c.emplace<NftDynset>(*set, std::move(s));
  return {};
}

}  // namespace txp
