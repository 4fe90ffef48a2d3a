// SPDX-License-Identifier: Apache-2.0
// objref: a named counter, quota or limit, named by the rule or found in a map.
// Kernel twin: net/netfilter/nft_objref.c. Differs: other kinds of object are unknown.
#include <fmt/format.h>
#include <linux/netfilter/nf_tables.h>

#include "net.h"
#include "netfilter/nft_set.h"
#include "netfilter/registry.h"

namespace txp {
namespace {

class NftObjref final : public NfExpr {
 public:
  explicit NftObjref(const NftObject& object) : object_(object) {}
  void eval(NftRegs& regs, NftPkt& pkt) const override { object_.first->eval(regs, pkt); }
  NftDepends depends() const override { return object_.first->depends(); }
  std::string words(const NftRegs& regs) const override {
    return fmt::format("objref {}: {}", object_.spec.name, object_.first->words(regs));
  }

 private:
  const NftObject& object_;
};

class NftObjrefMap final : public NfExpr {
 public:
  NftObjrefMap(const NftSet& set, std::uint8_t sreg) : set_(set), sreg_(sreg) {}
  void eval(NftRegs& regs, NftPkt& pkt) const override {
    if (set_.unknown) return regs.unknown();
    const NftElem* elem = nullptr;
    NftSet::DynamicElem copy;
    const Nanos now = set_.has_elem_state ? pkt.net.clock.now() : 0;
    if (!set_.lookup(regs.bytes(sreg_), now, elem, copy)) return regs.no_match();
    if (elem == nullptr || elem->object == nullptr) return regs.unknown();
    elem->object->first->eval(regs, pkt);
  }
  NftDepends depends() const override { return NftDepends::state; }
  std::string words(const NftRegs& regs) const override {
    return fmt::format("objref {} in {}", nft_hex({regs.bytes(sreg_), set_.spec().key_len}),
                       set_.spec().name);
  }

 private:
  const NftSet& set_;
  std::uint8_t sreg_;
};

}  // namespace

Result<void> make_nft_objref(NftCompiler& c, Bytes data) {
  Attrs<NFTA_OBJREF_MAX> a(data, "objref");
  if (a.has(NFTA_OBJREF_SET_SREG)) {
    const NftSet* set = c.set(a.text(NFTA_OBJREF_SET_NAME).value_or(""));
    if (set == nullptr) return fail("objref: there is no such map");
    const auto sreg = nft_register(a.be32(NFTA_OBJREF_SET_SREG), set->spec().key_len);
    if (!sreg) return std::unexpected(sreg.error());
    c.emplace<NftObjrefMap>(*set, *sreg);
    return {};
  }
  const NftObject* object =
      c.object(a.text(NFTA_OBJREF_IMM_NAME).value_or(""), a.be32(NFTA_OBJREF_IMM_TYPE).value_or(0));
  if (object == nullptr) return fail("objref: there is no such object");
  c.emplace<NftObjref>(*object);
  return {};
}

}  // namespace txp
