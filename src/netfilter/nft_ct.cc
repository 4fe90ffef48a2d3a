// SPDX-License-Identifier: Apache-2.0
// ct: what connection tracking knows of the packet; ct mark set; notrack.
// Kernel twin: net/netfilter/nft_ct.c.
// Differs: of a connection whose table the engine does not see (NfConntrack::mode) all is unknown;
// so are accounting, labels, helpers, ids and time to live.
#include <fmt/format.h>
#include <linux/netfilter.h>
#include <linux/netfilter/nf_tables.h>

#include "base/byteorder.h"
#include "net.h"
#include "netfilter/nf_conntrack.h"
#include "netfilter/nf_hook.h"
#include "netfilter/registry.h"

namespace txp {
namespace {

// NF_CT_STATE_BIT() and its two kin.
constexpr std::uint32_t kStateInvalid = 1;
constexpr std::uint32_t kStateUntracked = 1U << 6;
std::uint32_t state_bit(CtInfo info) {
  return 1U << (static_cast<unsigned>(info) % 3 + 1);  // IP_CT_IS_REPLY is 3
}

bool ct_unknown(NftRegs& regs, NftPkt& pkt) {
  if (pkt.net.nf->conntrack.mode.load() != CtMode::unknown) return false;
  if (pkt.note != nullptr)
    *pkt.note = "ct: the kernel's connection tracking does not see what the engine sends";
  regs.unknown();
  return true;
}

class NftCtGet final : public NfExpr {
 public:
  NftCtGet(std::uint32_t key, std::uint8_t dreg, std::uint8_t dir)
      : key_(key), dreg_(dreg), dir_(dir) {}

  void eval(NftRegs& regs, NftPkt& pkt) const override {
    if (ct_unknown(regs, pkt)) return;
    const NfConn* ct = pkt.skb.nfct;
    const CtInfo info = pkt.skb.ctinfo;
    if (key_ == NFT_CT_STATE) {
      regs.data[dreg_] = ct != nullptr               ? state_bit(info)
                         : info == CtInfo::untracked ? kStateUntracked
                                                     : kStateInvalid;
      return;
    }
    if (ct == nullptr) return regs.no_match();
    const NfTuple& t = dir_ == 0 ? ct->original : ct->reply;
    switch (key_) {
      case NFT_CT_DIRECTION:
        regs.store8(dreg_, info == CtInfo::established_reply || info == CtInfo::related_reply);
        return;
      case NFT_CT_STATUS: regs.data[dreg_] = ct->status.load(); return;
      case NFT_CT_MARK: regs.data[dreg_] = ct->mark.load(); return;
      case NFT_CT_L3PROTOCOL: regs.store8(dreg_, t.ipv6 ? NFPROTO_IPV6 : NFPROTO_IPV4); return;
      case NFT_CT_PROTOCOL: regs.store8(dreg_, ct->original.proto); return;
      case NFT_CT_ZONE: regs.store16(dreg_, 0); return;
      case NFT_CT_SRC: return address(regs, t.src, t.ipv6);
      case NFT_CT_DST: return address(regs, t.dst, t.ipv6);
      // Those of one family say nothing of the other.
      case NFT_CT_SRC_IP: return t.ipv6 ? regs.no_match() : address(regs, t.src, false);
      case NFT_CT_DST_IP: return t.ipv6 ? regs.no_match() : address(regs, t.dst, false);
      case NFT_CT_SRC_IP6: return t.ipv6 ? address(regs, t.src, true) : regs.no_match();
      case NFT_CT_DST_IP6: return t.ipv6 ? address(regs, t.dst, true) : regs.no_match();
      case NFT_CT_PROTO_SRC: return regs.store_be16(dreg_, t.sport);
      default: return regs.store_be16(dreg_, t.dport);
    }
  }
  NftDepends depends() const override { return NftDepends::state; }
  std::string words(const NftRegs& regs) const override {
    return fmt::format("ct load key {}: {:#010x}", key_, regs.data[dreg_]);
  }
  // Bytes that a key takes; 0: it is not implemented.
  static std::size_t length(std::uint32_t key, bool ipv6) {
    switch (key) {
      case NFT_CT_STATE:
      case NFT_CT_STATUS:
      case NFT_CT_MARK:
      case NFT_CT_SRC:
      case NFT_CT_DST: return ipv6 ? 16 : 4;
      case NFT_CT_SRC_IP6:
      case NFT_CT_DST_IP6: return 16;
      case NFT_CT_SRC_IP:
      case NFT_CT_DST_IP: return 4;
      case NFT_CT_DIRECTION:
      case NFT_CT_L3PROTOCOL:
      case NFT_CT_PROTOCOL: return 1;
      case NFT_CT_ZONE:
      case NFT_CT_PROTO_SRC:
      case NFT_CT_PROTO_DST: return 2;
      default: return 0;
    }
  }

 private:
  void address(NftRegs& regs, const Ip6& a, bool ipv6) const {
    std::array<std::uint8_t, 16> bytes{};
    a.store(bytes.data());  // of IPv4 the last word
    regs.store(dreg_, std::span(bytes).subspan(ipv6 ? 0 : 12));
  }
  std::uint32_t key_;
  std::uint8_t dreg_;
  std::uint8_t dir_;
};

class NftCtSetMark final : public NfExpr {
 public:
  explicit NftCtSetMark(std::uint8_t sreg) : sreg_(sreg) {}
  void eval(NftRegs& regs, NftPkt& pkt) const override {
    if (ct_unknown(regs, pkt)) return;
    if (pkt.skb.nfct != nullptr && !pkt.dry) pkt.skb.nfct->mark = regs.data[sreg_];
  }
  NftDepends depends() const override { return NftDepends::state; }
  std::string words(const NftRegs& regs) const override {
    return fmt::format("ct set mark with {:#010x}", regs.data[sreg_]);
  }

 private:
  std::uint8_t sreg_;
};

class NftNotrack final : public NfExpr {
 public:
  void eval(NftRegs&, NftPkt& pkt) const override {
    if (pkt.skb.nfct == nullptr) pkt.skb.ctinfo = CtInfo::untracked;
  }
  NftDepends depends() const override { return NftDepends::flow; }
  std::string words(const NftRegs&) const override { return "notrack"; }
};

}  // namespace

Result<void> make_nft_ct(NftCompiler& c, Bytes data) {
  c.needs_conntrack();
  Attrs<NFTA_CT_MAX> a(data, "ct");
  const std::uint32_t key = a.be32(NFTA_CT_KEY).value_or(999);
  if (a.has(NFTA_CT_SREG)) {
    const auto sreg = nft_register(a.be32(NFTA_CT_SREG), 4);
    if (!sreg) return std::unexpected(sreg.error());
    if (key != NFT_CT_MARK) return fail("ct: only the mark can be set");
    c.emplace<NftCtSetMark>(*sreg);
    return {};
  }
  const std::size_t len = NftCtGet::length(key, c.table().family == NFPROTO_IPV6);
  if (len == 0) return fail("ct: this key is not implemented");
  const auto dreg = nft_register(a.be32(NFTA_CT_DREG), len);
  if (!dreg) return std::unexpected(dreg.error());
  const std::uint8_t dir = a.u8(NFTA_CT_DIRECTION).value_or(0);
  if (dir > 1) return fail("ct: no such direction");
  c.emplace<NftCtGet>(key, *dreg, dir);
  return {};
}

Result<void> make_nft_notrack(NftCompiler& c, Bytes) {
  c.emplace<NftNotrack>();
  return {};
}

}  // namespace txp
