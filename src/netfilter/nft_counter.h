// SPDX-License-Identifier: Apache-2.0
// Packets and bytes. Kernel twin: net/netfilter/nft_counter.c.
#pragma once

#include <atomic>
#include <memory>

#include "net.h"
#include "netfilter/nft_program.h"

namespace txp {

// What our packets added; the kernel's own count at the time it was read stands beside it.
// Thread safety: any thread.
class NftCounter : public NftState {
 public:
  void add(std::uint64_t bytes) {
    packets_.fetch_add(1, std::memory_order_relaxed);
    bytes_.fetch_add(bytes, std::memory_order_relaxed);
  }
  std::uint64_t packets() const { return packets_.load(std::memory_order_relaxed); }
  std::uint64_t bytes() const { return bytes_.load(std::memory_order_relaxed); }

 private:
  std::atomic<std::uint64_t> packets_{0};
  std::atomic<std::uint64_t> bytes_{0};
};

class NftCounterExpr final : public NfExpr {
 public:
  NftCounterExpr(std::shared_ptr<NftCounter> counter, std::uint64_t kernel_packets,
                 std::uint64_t kernel_bytes)
      : counter_(std::move(counter)), kernel_packets_(kernel_packets), kernel_bytes_(kernel_bytes) {
    fast = NftFast::counter;
  }
  void eval(NftRegs&, NftPkt& pkt) const override { count(pkt); }
  void count(const NftPkt& pkt) const {
    if (pkt.dry) return;
    counter_->add(pkt.skb.len);
    if (PlanRecorder* r = pkt.net.this_cpu().recorder; r != nullptr) [[unlikely]]
      record(*r, pkt.skb.len);
  }
  NftDepends depends() const override { return NftDepends::flow; }
  std::string words(const NftRegs& regs) const override;
  NftCounter& counter() const { return *counter_; }

 private:
  void record(PlanRecorder& recorder, std::uint32_t len) const;
  std::shared_ptr<NftCounter> counter_;
  std::uint64_t kernel_packets_;
  std::uint64_t kernel_bytes_;
};

}  // namespace txp
