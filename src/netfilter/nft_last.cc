// SPDX-License-Identifier: Apache-2.0
// last: remembers when a packet came here last. Nothing that a packet meets depends on it.
// Kernel twin: net/netfilter/nft_last.c. Differs: the time is not kept.
#include "netfilter/registry.h"

namespace txp {
namespace {

class NftLast final : public NfExpr {
 public:
  void eval(NftRegs&, NftPkt&) const override {}
  NftDepends depends() const override { return NftDepends::flow; }
  std::string words(const NftRegs&) const override { return "last"; }
};

}  // namespace

Result<void> make_nft_last(NftCompiler& c, Bytes) {
  c.emplace<NftLast>();
  return {};
}

}  // namespace txp
