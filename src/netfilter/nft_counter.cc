// SPDX-License-Identifier: Apache-2.0
// counter: counts packets and bytes.
// Kernel twin: net/netfilter/nft_counter.c. Differs: only what the engine sent is counted; the
// kernel's count, as it was read, is kept beside it. A GSO packet counts once, as there.
#include "netfilter/nft_counter.h"

#include <fmt/format.h>
#include <linux/netfilter/nf_tables.h>

#include "netfilter/registry.h"
#include "plan/plan_recorder.h"

namespace txp {

void NftCounterExpr::record(PlanRecorder& recorder, std::uint32_t len) const {
  recorder.counter(*counter_, len);
}

std::string NftCounterExpr::words(const NftRegs&) const {
  return fmt::format("counter packets {} bytes {} (the kernel's: packets {} bytes {})",
                     counter_->packets(), counter_->bytes(), kernel_packets_, kernel_bytes_);
}

Result<void> make_nft_counter(NftCompiler& c, Bytes data) {
  Attrs<NFTA_COUNTER_MAX> a(data, "counter");
  const std::uint64_t packets = a.be64(NFTA_COUNTER_PACKETS).value_or(0);
  const std::uint64_t bytes = a.be64(NFTA_COUNTER_BYTES).value_or(0);
  const auto counter = c.state<NftCounter>();
  c.emplace<NftCounterExpr>(counter, packets, bytes);
  c.tell_counter(*counter);
  return {};
}

}  // namespace txp
