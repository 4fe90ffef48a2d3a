// SPDX-License-Identifier: Apache-2.0
// limit: goes on while a token bucket has tokens (or only once it has none).
// Kernel twin: net/netfilter/nft_limit.c. Differs: the kernel does not tell how full its bucket is;
// ours begins full, as a new rule's, on the Net's own clock.
#include <limits>
#include <mutex>

#include <fmt/format.h>
#include <linux/netfilter/nf_tables.h>

#include "net.h"
#include "netfilter/registry.h"

namespace txp {
namespace {

struct NftLimitState : NftState {
  NftLimitState(std::uint64_t full, Nanos now) : last(now), tokens(full) {}
  std::mutex mutex;
  Nanos last;
  std::uint64_t tokens;  // ns
};

class NftLimit final : public NfExpr {
 public:
  struct Spec {
    std::uint64_t rate = 0;
    std::uint64_t nsecs = 0;  // the unit of time
    std::uint64_t tokens_max = 0;
    bool bytes = false;
    bool inverted = false;
  };
  NftLimit(std::shared_ptr<NftLimitState> state, const Spec& s) : state_(std::move(state)), s_(s) {}

  void eval(NftRegs& regs, NftPkt& pkt) const override {
    const std::uint64_t cost = s_.bytes ? s_.nsecs * pkt.skb.len / s_.rate : s_.nsecs / s_.rate;
    const Nanos now = pkt.net.clock.now();
    const std::lock_guard guard(state_->mutex);
    const auto since = static_cast<std::uint64_t>(std::max<Nanos>(now - state_->last, 0));
    std::uint64_t tokens = std::min(state_->tokens + since, s_.tokens_max);
    const bool within = tokens >= cost;
    if (within) tokens -= cost;
    if (!pkt.dry) {
      state_->last = now;
      state_->tokens = tokens;
    }
    if (within == s_.inverted) regs.no_match();
  }
  NftDepends depends() const override { return NftDepends::state; }
  std::string words(const NftRegs&) const override {
    const std::lock_guard guard(state_->mutex);
    return fmt::format("limit {} {} {} in {} s, the bucket taken as full at first, now {} of {} ns",
                       s_.inverted ? "over" : "until", s_.rate, s_.bytes ? "bytes" : "packets",
                       s_.nsecs / 1'000'000'000, state_->tokens, s_.tokens_max);
  }

 private:
  std::shared_ptr<NftLimitState> state_;
  Spec s_;
};

}  // namespace

Result<void> make_nft_limit(NftCompiler& c, Bytes data) {
  constexpr std::uint64_t kMost = std::numeric_limits<std::uint64_t>::max();
  constexpr std::uint64_t kNsecs = 1'000'000'000;
  constexpr std::uint64_t kDefaultBurst = 5;  // NFT_LIMIT_PKT_BURST_DEFAULT
  Attrs<NFTA_LIMIT_MAX> a(data, "limit");
  const std::uint64_t rate = a.be64(NFTA_LIMIT_RATE).value_or(0);
  const std::uint64_t unit = a.be64(NFTA_LIMIT_UNIT).value_or(0);
  std::uint64_t burst = a.be32(NFTA_LIMIT_BURST).value_or(0);
  const std::uint32_t type = a.be32(NFTA_LIMIT_TYPE).value_or(NFT_LIMIT_PKTS);
  if (rate == 0 || unit == 0 || unit > kMost / kNsecs || type > NFT_LIMIT_PKT_BYTES)
    return fail("limit: no rate");
  NftLimit::Spec s{.rate = rate, .nsecs = unit * kNsecs, .bytes = type == NFT_LIMIT_PKT_BYTES};
  if (!s.bytes && burst == 0) burst = kDefaultBurst;
  if (rate > kMost - burst) return fail("limit: too large");
  const std::uint64_t factor = s.bytes ? rate + burst : burst;
  const std::uint64_t base = s.bytes ? s.nsecs : s.nsecs / rate;
  if (factor != 0 && base > kMost / factor) return fail("limit: too large");
  s.tokens_max = s.bytes ? base * factor / rate : base * factor;
  s.inverted = (a.be32(NFTA_LIMIT_FLAGS).value_or(0) & NFT_LIMIT_F_INV) != 0;
  c.emplace<NftLimit>(c.state<NftLimitState>(s.tokens_max, c.net().clock.now()), s);
  return {};
}

}  // namespace txp
