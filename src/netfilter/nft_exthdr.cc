// SPDX-License-Identifier: Apache-2.0
// exthdr: options of IP and TCP, chunks of SCTP, extension headers of IPv6.
// Kernel twin: net/netfilter/nft_exthdr.c. Differs: TCP and SCTP packets are unknown.
#include <fmt/format.h>
#include <linux/in.h>
#include <linux/netfilter/nf_tables.h>

#include "netfilter/registry.h"
#include "wire/ethernet.h"
#include "wire/ipv4.h"
#include "wire/ipv6.h"

namespace txp {
namespace {

class NftExthdr final : public NfExpr {
 public:
  struct Spec {
    std::uint32_t op = 0;
    std::uint8_t type = 0;
    std::uint32_t offset = 0;
    std::uint32_t len = 0;
    std::uint8_t dreg = 0;
    bool present = false;
    bool writes = false;
  };
  explicit NftExthdr(const Spec& s) : s_(s) {}

  void eval(NftRegs& regs, NftPkt& pkt) const override {
    const bool ipv6 = pkt.skb.protocol == kEthPIpv6;
    if (s_.op == NFT_EXTHDR_OP_IPV6) return ipv6 ? header6(regs, pkt) : regs.no_match();
    if (s_.op == NFT_EXTHDR_OP_IPV4 && !s_.writes)
      return ipv6 ? regs.no_match() : ip_option(regs, pkt);
    const bool other = pkt.tprot == IPPROTO_TCP || pkt.tprot == IPPROTO_SCTP;
    if (other) return regs.unknown();
    if (s_.present && !s_.writes)
      regs.store8(s_.dreg, 0);
    else
      regs.no_match();
  }
  NftDepends depends() const override { return NftDepends::flow; }
  std::string words(const NftRegs& regs) const override {
    return fmt::format("exthdr {} type {}: {:#x}", s_.op, s_.type, regs.data[s_.dreg]);
  }

 private:
  // ipv6_find_hdr(): the first header of that type.
  void header6(NftRegs& regs, const NftPkt& pkt) const {
    const std::span<const std::uint8_t> packet(pkt.skb.network(), pkt.skb.tail);
    std::uint8_t next = packet[6];
    std::size_t at = kIpv6Hlen;
    const auto is_exthdr = [](std::uint8_t h) {
      return h == kNexthdrHop || h == kNexthdrRouting || h == kNexthdrFragment ||
             h == kNexthdrAuth || h == kNexthdrDest;
    };
    bool found = next == s_.type;
    while (!found && is_exthdr(next) && at + 8 <= packet.size()) {
      const std::uint8_t* h = &packet[at];
      if (next == kNexthdrFragment && (load_be16(h + 2) & ~7) != 0) break;
      at += next == kNexthdrFragment ? kFragHdrLen
            : next == kNexthdrAuth   ? (h[1] + 2U) * 4U
                                     : (h[1] + 1U) * 8U;
      next = h[0];
      found = next == s_.type;
    }
    if (s_.present) return regs.store8(s_.dreg, found ? 1 : 0);
    std::array<std::uint8_t, 64> bytes{};
    const auto part = std::span(bytes).first(s_.len);
    const auto offset = pkt.network_offset() + static_cast<std::uint32_t>(at) + s_.offset;
    if (!found || !skb_copy_bits(pkt.skb, offset, part)) return regs.no_match();
    regs.store(s_.dreg, part);
  }
  // ipv4_find_option(): record route, source route and router alert.
  void ip_option(NftRegs& regs, const NftPkt& pkt) const {
    const Ipv4View ip(pkt.skb.network());
    std::span<const std::uint8_t> rest{pkt.skb.network() + kIpHlen, ip.hlen() - kIpHlen};
    constexpr std::uint8_t kEnd = 0;
    constexpr std::uint8_t kNoop = 1;
    std::span<const std::uint8_t> found;
    while (!rest.empty() && rest[0] != kEnd && found.empty()) {
      if (rest[0] == kNoop) {
        rest = rest.subspan(1);
        continue;
      }
      if (rest.size() < 2 || rest[1] < 2 || rest[1] > rest.size()) break;
      if (rest[0] == s_.type) found = rest.first(rest[1]);
      rest = rest.subspan(rest[1]);
    }
    if (s_.present) return regs.store8(s_.dreg, found.empty() ? 0 : 1);
    if (found.empty() || s_.offset + s_.len > found.size()) return regs.no_match();
    regs.store(s_.dreg, found.subspan(s_.offset, s_.len));
  }
  Spec s_;
};

}  // namespace

Result<void> make_nft_exthdr(NftCompiler& c, Bytes data) {
  Attrs<NFTA_EXTHDR_MAX> a(data, "exthdr");
  NftExthdr::Spec s;
  s.op = a.be32(NFTA_EXTHDR_OP).value_or(NFT_EXTHDR_OP_IPV6);
  s.type = a.u8(NFTA_EXTHDR_TYPE).value_or(0);
  s.offset = a.be32(NFTA_EXTHDR_OFFSET).value_or(0);
  s.len = a.be32(NFTA_EXTHDR_LEN).value_or(1);
  s.present = (a.be32(NFTA_EXTHDR_FLAGS).value_or(0) & NFT_EXTHDR_F_PRESENT) != 0;
  s.writes = !a.has(NFTA_EXTHDR_DREG);
  if (s.offset > 255 || s.len == 0 || s.len > 64) return fail("exthdr: a wrong place");
  if (!s.writes) {
    const auto dreg = nft_register(a.be32(NFTA_EXTHDR_DREG), s.len);
    if (!dreg) return std::unexpected(dreg.error());
    s.dreg = *dreg;
  }
  c.emplace<NftExthdr>(s);
  return {};
}

}  // namespace txp
