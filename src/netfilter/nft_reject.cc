// SPDX-License-Identifier: Apache-2.0
// reject: drops the packet, and answers its sender with an ICMP error.
// Kernel twin: net/netfilter/nft_reject_inet.c.
// Differs: no TCP reset (the engine sends no TCP: UDP gets none from the kernel either).
#include <fmt/format.h>
#include <linux/in.h>
#include <linux/netfilter.h>
#include <linux/netfilter/nf_tables.h>

#include "ip/icmp.h"
#include "ip6/icmpv6.h"
#include "netfilter/nf_reject_ipv4.h"
#include "netfilter/nf_reject_ipv6.h"
#include "netfilter/registry.h"
#include "observe/trace.h"

namespace txp {
namespace {

// nft_reject_icmp_code(), nft_reject_icmpv6_code(): no route, port, host, prohibited.
constexpr std::array<std::uint8_t, NFT_REJECT_ICMPX_MAX + 1> kIcmpx{0, 3, 1, 13};
constexpr std::array<std::uint8_t, NFT_REJECT_ICMPX_MAX + 1> kIcmpx6{0, 4, 3, 1};

class NftReject final : public NfExpr {
 public:
  NftReject(std::uint32_t type, std::uint8_t code, std::uint8_t family)
      : type_(type), code_(code), family_(family) {}
  void eval(NftRegs& regs, NftPkt& pkt) const override {
    if (type_ == NFT_REJECT_TCP_RST && pkt.tprot == IPPROTO_TCP) return regs.unknown();
    regs.verdict.code = NftCode::drop;
    if (type_ == NFT_REJECT_TCP_RST || pkt.dry) return;
    const bool ipv6 = pkt.pf == NFPROTO_IPV6;
    std::uint8_t code = code_;
    if (type_ == NFT_REJECT_ICMPX_UNREACH) code = (ipv6 ? kIcmpx6 : kIcmpx)[code];
    if (ipv6)
      nf_send_unreach6(pkt, code);
    else
      nf_send_unreach(pkt, code);
  }
  NftDepends depends() const override { return NftDepends::state; }
  std::string words(const NftRegs&) const override {
    if (type_ == NFT_REJECT_TCP_RST) return "reject with tcp reset";
    if (type_ == NFT_REJECT_ICMPX_UNREACH) return fmt::format("reject with icmpx code {}", code_);
    return fmt::format("reject with icmp type {} code {}",
                       family_ == NFPROTO_IPV6 ? kIcmpv6DestUnreach : kIcmpDestUnreach, code_);
  }

 private:
  std::uint32_t type_;
  std::uint8_t code_;
  std::uint8_t family_;  // of the rule
};

}  // namespace

Result<void> make_nft_reject(NftCompiler& c, Bytes data) {
  Attrs<NFTA_REJECT_MAX> a(data, "reject");
  const std::uint32_t type = a.be32(NFTA_REJECT_TYPE).value_or(99);
  const std::uint8_t code = a.u8(NFTA_REJECT_ICMP_CODE).value_or(0);
  if (type > NFT_REJECT_ICMPX_UNREACH) return fail("reject: no such type");
  if (type == NFT_REJECT_ICMPX_UNREACH && code >= kIcmpx.size())
    return fail("reject: no such code");
  c.emplace<NftReject>(type, code, c.table().family);
  return {};
}

}  // namespace txp
