// SPDX-License-Identifier: Apache-2.0
// Bytes of the packet into a register. Kernel twin: net/netfilter/nft_payload.c.
#pragma once

#include "netfilter/nft_expr.h"

namespace txp {

class NftPayload final : public NfExpr {
 public:
  NftPayload(std::uint8_t base, std::uint16_t offset, std::uint8_t len, std::uint8_t dreg);
  void eval(NftRegs& regs, NftPkt& pkt) const override;
  NftDepends depends() const override;
  std::string words(const NftRegs& regs) const override;

  // nft_payload_fast_eval(): 1, 2 or 4 bytes of the linear part; false: eval() must do it. As in
  // the kernel it takes a later fragment's first bytes for the transport header.
  bool eval_fast(NftRegs& regs, const NftPkt& pkt) const {
    const std::uint8_t* p = nullptr;
    if (base_ == 1) {  // NFT_PAYLOAD_NETWORK_HEADER
      p = pkt.skb.network();
    } else {
      if (!pkt.l4proto) return false;
      p = pkt.skb.data + pkt.thoff;
    }
    if (p + offset_ + len_ > pkt.skb.tail) return false;
    p += offset_;
    std::uint32_t v = 0;
    switch (len_) {
      case 2: {
        std::uint16_t half = 0;
        std::memcpy(&half, p, 2);
        v = half;
        break;
      }
      case 4: std::memcpy(&v, p, 4); break;
      default: v = *p; break;
    }
    regs.data[dreg_] = v;
    return true;
  }

 private:
  std::uint16_t offset_;
  std::uint8_t base_;
  std::uint8_t len_;
  std::uint8_t dreg_;
};

// Where the kernel leaves a UDP checksum to the device, ours may have been done while copying (a
// driver without offload). Puts the packet where the kernel has it: the pseudo header's sum in the
// checksum's place, and the rest for whoever completes it.
void nft_leave_checksum(const NftPkt& pkt);

}  // namespace txp
