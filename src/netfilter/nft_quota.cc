// SPDX-License-Identifier: Apache-2.0
// quota: goes on while fewer bytes than allowed have passed (or only once more have).
// Kernel twin: net/netfilter/nft_quota.c. Differs: what the kernel let pass until the ruleset was
// read, and what the engine does since.
#include <atomic>

#include <fmt/format.h>
#include <linux/netfilter/nf_tables.h>

#include "netfilter/registry.h"

namespace txp {
namespace {

struct NftQuotaState : NftState {
  std::atomic<std::uint64_t> ours{0};  // bytes
};

class NftQuota final : public NfExpr {
 public:
  NftQuota(std::shared_ptr<NftQuotaState> state, std::uint64_t quota, std::uint64_t consumed,
           bool inverted)
      : state_(std::move(state)), quota_(quota), consumed_(consumed), inverted_(inverted) {}
  void eval(NftRegs& regs, NftPkt& pkt) const override {
    const std::uint64_t len = pkt.skb.len;
    const std::uint64_t ours = (pkt.dry ? state_->ours.load() : state_->ours.fetch_add(len)) + len;
    if ((consumed_ + ours > quota_) != inverted_) regs.no_match();
  }
  NftDepends depends() const override { return NftDepends::state; }
  std::string words(const NftRegs&) const override {
    return fmt::format("quota {} {} bytes, consumed {}", inverted_ ? "over" : "until", quota_,
                       consumed_ + state_->ours.load());
  }

 private:
  std::shared_ptr<NftQuotaState> state_;
  std::uint64_t quota_;
  std::uint64_t consumed_;  // by the kernel's packets
  bool inverted_;
};

}  // namespace

Result<void> make_nft_quota(NftCompiler& c, Bytes data) {
  Attrs<NFTA_QUOTA_MAX> a(data, "quota");
  const auto quota = a.be64(NFTA_QUOTA_BYTES);
  if (!quota) return fail("quota: no bytes");
  c.emplace<NftQuota>(c.state<NftQuotaState>(), *quota, a.be64(NFTA_QUOTA_CONSUMED).value_or(0),
                      (a.be32(NFTA_QUOTA_FLAGS).value_or(0) & NFT_QUOTA_F_INV) != 0);
  return {};
}

}  // namespace txp
