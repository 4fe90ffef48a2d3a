// SPDX-License-Identifier: Apache-2.0
// log: nothing that a packet feels. The engine writes no kernel log; a report shows the rule.
// Kernel twin: net/netfilter/nft_log.c.
#include <fmt/format.h>
#include <linux/netfilter/nf_tables.h>

#include "netfilter/registry.h"

namespace txp {
namespace {

class NftLog final : public NfExpr {
 public:
  explicit NftLog(std::string prefix) : prefix_(std::move(prefix)) {}
  void eval(NftRegs&, NftPkt&) const override {}
  NftDepends depends() const override { return NftDepends::flow; }
  std::string words(const NftRegs&) const override {
    return fmt::format("log prefix \"{}\"", prefix_);
  }

 private:
  std::string prefix_;
};

}  // namespace

Result<void> make_nft_log(NftCompiler& c, Bytes data) {
  Attrs<NFTA_LOG_MAX> a(data, "log");
  c.emplace<NftLog>(a.text(NFTA_LOG_PREFIX).value_or(""));
  return {};
}

}  // namespace txp
