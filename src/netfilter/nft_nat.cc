// SPDX-License-Identifier: Apache-2.0
// nat, masq and redir: the connection's translation, chosen by its first packet.
// Kernel twins: net/netfilter/nft_nat.c, nft_masq.c, nft_redir.c, nf_nat_masquerade.c,
// nf_nat_redirect.c. Differs: nothing beyond nf_nat.cc.
#include <fmt/format.h>
#include <linux/netfilter.h>
#include <linux/netfilter/nf_nat.h>
#include <linux/netfilter/nf_tables.h>

#include "base/byteorder.h"
#include "net.h"
#include "netfilter/nf_conntrack.h"
#include "netfilter/nf_hook.h"
#include "netfilter/nf_nat.h"
#include "netfilter/registry.h"
#include "route/ip6_route.h"
#include "route/ip_route.h"
#include "wire/ipv4.h"
#include "wire/ipv6.h"

namespace txp {
namespace {

enum class NatKind : std::uint8_t { snat, dnat, masquerade, redirect };

class NftNat final : public NfExpr {
 public:
  struct Spec {
    NatKind kind = NatKind::snat;
    std::uint32_t flags = 0;
    std::uint8_t family = 0;    // NFPROTO_*, of `nat`; 0: either
    std::uint8_t addr_min = 0;  // registers; 0: not given
    std::uint8_t addr_max = 0;
    std::uint8_t port_min = 0;
    std::uint8_t port_max = 0;
  };
  explicit NftNat(const Spec& s) : s_(s) {}

  void eval(NftRegs& regs, NftPkt& pkt) const override {
    if (pkt.net.nf->conntrack.mode.load() == CtMode::unknown) {
      if (pkt.note != nullptr)
        *pkt.note = "nat: the kernel's connection tracking does not see what the engine sends";
      return regs.unknown();
    }
    regs.verdict.code = NftCode::accept;
    if (pkt.dry || pkt.skb.nfct == nullptr) return;
    const bool ipv6 = pkt.pf == NFPROTO_IPV6;
    // nft_nat_inet_eval(): the rule is for the other family.
    if (s_.family != 0 && s_.family != pkt.pf) {
      regs.verdict.code = NftCode::go_on;
      return;
    }
    NfNatRange r;
    r.flags = s_.flags;
    if (s_.addr_min != 0) {
      r.flags |= NF_NAT_RANGE_MAP_IPS;
      r.low = address(regs, s_.addr_min);
      r.high = address(regs, s_.addr_max);
      if ((s_.flags & NF_NAT_RANGE_NETMAP) != 0) netmap(pkt, r);
    }
    if (s_.port_min != 0) {
      r.flags |= NF_NAT_RANGE_PROTO_SPECIFIED;
      r.port_low = load_be16(regs.bytes(s_.port_min));
      r.port_high = load_be16(regs.bytes(s_.port_max));
    }
    if (s_.kind == NatKind::masquerade) {
      if (!ipv6 && pkt.skb.nfct->original.src.v4().is_zero()) return;
      const auto source = ipv6 ? masquerade6(pkt) : masquerade4(pkt);
      if (!source) {
        regs.verdict.code = NftCode::drop;
        return;
      }
      r.flags |= NF_NAT_RANGE_MAP_IPS;
      r.low = r.high = *source;
    } else if (s_.kind == NatKind::redirect) {  // of what this host sends
      r.flags |= NF_NAT_RANGE_MAP_IPS;
      r.low = r.high = ipv6 ? Ip6::loopback() : Ip6::mapped(Ip4{0x7f000001});
    }
    const bool source = s_.kind == NatKind::snat || s_.kind == NatKind::masquerade;
    regs.verdict.code = nf_nat_setup_info(pkt, r, source ? NfManip::src : NfManip::dst);
  }
  NftDepends depends() const override { return NftDepends::state; }
  std::string words(const NftRegs& regs) const override {
    static constexpr std::array kNames{"snat", "dnat", "masquerade", "redirect"};
    std::string text = kNames[static_cast<std::size_t>(s_.kind)];
    if (s_.addr_min != 0)
      text += " to " + nf_addr(address(regs, s_.addr_min), s_.family == NFPROTO_IPV6);
    if (s_.port_min != 0) text += fmt::format(" port {}", load_be16(regs.bytes(s_.port_min)));
    return text;
  }

 private:
  Ip6 address(const NftRegs& regs, std::uint8_t reg) const {
    if (s_.family == NFPROTO_IPV6) return Ip6::load(regs.bytes(reg));
    return Ip6::mapped(Ip4{load_be32(regs.bytes(reg))});
  }
  // nf_nat_masquerade_ipv4(), nf_nat_masquerade_ipv6(); empty: the device has no address for it.
  static std::optional<Ip6> masquerade4(const NftPkt& pkt) {
    const Rtable& rt = pkt.skb.rt;
    const Ip4 hop = rt.gateway.is_zero() ? Ipv4View(pkt.skb.network()).daddr() : rt.gateway;
    const Ip4 source = inet_select_addr(pkt.net, pkt.out, hop, kScopeUniverse);
    return source.is_zero() ? std::nullopt : std::optional(Ip6::mapped(source));
  }
  static std::optional<Ip6> masquerade6(const NftPkt& pkt) {
    return ipv6_dev_get_saddr(pkt.net, pkt.out, Ipv6View(pkt.skb.network()).daddr(), 0);
  }
  // nft_nat_setup_netmap(): the prefix changes, the host's bits stay.
  void netmap(const NftPkt& pkt, NfNatRange& r) const {
    const bool source = s_.kind == NatKind::snat;
    const Ip6 mask{~(r.low.hi ^ r.high.hi), ~(r.low.lo ^ r.high.lo)};
    Ip6 old;
    if (s_.family == NFPROTO_IPV6) {
      const Ipv6View ip(pkt.skb.network());
      old = source ? ip.saddr() : ip.daddr();
    } else {
      const Ipv4View ip(pkt.skb.network());
      old = Ip6::mapped(source ? ip.saddr() : ip.daddr());
    }
    r.low = r.high =
        Ip6{(old.hi & ~mask.hi) | (r.low.hi & mask.hi), (old.lo & ~mask.lo) | (r.low.lo & mask.lo)};
  }
  Spec s_;
};

// Registers of ports: the second is the first when it is not given.
Result<void> ports_of(NftNat::Spec& s, std::optional<std::uint32_t> min,
                      std::optional<std::uint32_t> max) {
  if (!min) return {};
  const auto low = nft_register(min, 2);
  if (!low) return std::unexpected(low.error());
  const auto high = nft_register(max ? max : min, 2);
  if (!high) return std::unexpected(high.error());
  s.port_min = *low;
  s.port_max = *high;
  return {};
}

constexpr std::uint32_t kNatFlags = (1U << 7) - 1;  // NF_NAT_RANGE_MASK

}  // namespace

Result<void> make_nft_nat(NftCompiler& c, Bytes data) {
  c.needs_conntrack();
  Attrs<NFTA_NAT_MAX> a(data, "nat");
  NftNat::Spec s;
  const std::uint32_t type = a.be32(NFTA_NAT_TYPE).value_or(99);
  if (type > NFT_NAT_DNAT) return fail("nat: no such type");
  s.kind = type == NFT_NAT_SNAT ? NatKind::snat : NatKind::dnat;
  s.family = static_cast<std::uint8_t>(a.be32(NFTA_NAT_FAMILY).value_or(NFPROTO_IPV4));
  const std::size_t size = s.family == NFPROTO_IPV6 ? 16 : 4;
  s.flags = a.be32(NFTA_NAT_FLAGS).value_or(0);
  if ((s.flags & ~kNatFlags) != 0) return fail("nat: flags of another kind");
  if (const auto min = a.be32(NFTA_NAT_REG_ADDR_MIN)) {
    const auto low = nft_register(min, size);
    const auto high =
        nft_register(a.has(NFTA_NAT_REG_ADDR_MAX) ? a.be32(NFTA_NAT_REG_ADDR_MAX) : min, size);
    if (!low || !high) return fail("nat: a wrong register");
    s.addr_min = *low;
    s.addr_max = *high;
  }
  if (auto ports = ports_of(s, a.be32(NFTA_NAT_REG_PROTO_MIN), a.be32(NFTA_NAT_REG_PROTO_MAX));
      !ports)
    return ports;
  c.emplace<NftNat>(s);
  return {};
}

Result<void> make_nft_masq(NftCompiler& c, Bytes data) {
  c.needs_conntrack();
  Attrs<NFTA_MASQ_MAX> a(data, "masq");
  NftNat::Spec s{.kind = NatKind::masquerade, .flags = a.be32(NFTA_MASQ_FLAGS).value_or(0)};
  if ((s.flags & ~kNatFlags) != 0) return fail("masq: flags of another kind");
  if (auto ports = ports_of(s, a.be32(NFTA_MASQ_REG_PROTO_MIN), a.be32(NFTA_MASQ_REG_PROTO_MAX));
      !ports)
    return ports;
  c.emplace<NftNat>(s);
  return {};
}

Result<void> make_nft_redir(NftCompiler& c, Bytes data) {
  c.needs_conntrack();
  Attrs<NFTA_REDIR_MAX> a(data, "redir");
  NftNat::Spec s{.kind = NatKind::redirect, .flags = a.be32(NFTA_REDIR_FLAGS).value_or(0)};
  if ((s.flags & ~kNatFlags) != 0) return fail("redir: flags of another kind");
  if (auto ports = ports_of(s, a.be32(NFTA_REDIR_REG_PROTO_MIN), a.be32(NFTA_REDIR_REG_PROTO_MAX));
      !ports)
    return ports;
  c.emplace<NftNat>(s);
  return {};
}

}  // namespace txp
