// SPDX-License-Identifier: Apache-2.0
// target: the targets of iptables that have no native expression, as iptables-nft leaves them.
// Kernel twins: net/netfilter/nft_compat.c (nft_target_eval_xt()), net/netfilter/xt_*.c,
// net/ipv4/netfilter/ipt_REJECT.c, net/ipv6/netfilter/ip6t_REJECT.c.
// Differs: the targets in the table below; another, or another revision, is unknown.
#include <algorithm>
#include <array>

#include <fmt/format.h>
#include <linux/in.h>
#include <linux/netfilter.h>
#include <linux/netfilter/nf_nat.h>
#include <linux/netfilter/nf_tables_compat.h>
#include <linux/netfilter/xt_CLASSIFY.h>
#include <linux/netfilter/xt_CONNMARK.h>
#include <linux/netfilter/xt_CT.h>
#include <linux/netfilter/xt_DSCP.h>
#include <linux/netfilter/xt_MARK.h>

#include "base/byteorder.h"
#include "ip/ip.h"
#include "net.h"
#include "netfilter/nf_conntrack.h"
#include "netfilter/nf_hook.h"
#include "netfilter/nf_nat.h"
#include "netfilter/nf_reject_ipv4.h"
#include "netfilter/nf_reject_ipv6.h"
#include "netfilter/nft_payload.h"
#include "netfilter/registry.h"
#include "route/ip6_route.h"
#include "route/ip_route.h"
#include "wire/ipv4.h"
#include "wire/ipv6.h"

namespace txp {
namespace {

// XT_CONTINUE is go_on.
using XtTargetBytes = std::array<std::uint8_t, 64>;
template <typename T>
T xt_target_info(const XtTargetBytes& bytes) {
  T info;
  static_assert(sizeof info <= sizeof bytes);
  std::memcpy(&info, bytes.data(), sizeof info);
  return info;
}

NftCode xt_nothing(const XtTargetBytes&, NftPkt&) { return NftCode::go_on; }

NftCode xt_set_mark(const XtTargetBytes& b, NftPkt& pkt) {
  const auto i = xt_target_info<xt_mark_tginfo2>(b);
  pkt.skb.mark = (pkt.skb.mark & ~i.mask) ^ i.mark;
  return NftCode::go_on;
}

NftCode xt_connmark_target(const XtTargetBytes& b, NftPkt& pkt) {
  const auto i = xt_target_info<xt_connmark_tginfo2>(b);
  if (pkt.net.nf->conntrack.mode.load() == CtMode::unknown) return NftCode::unknown;
  NfConn* ct = pkt.skb.nfct;
  if (ct == nullptr) return NftCode::go_on;
  const auto shifted = [&](std::uint32_t v) {
    if (i.shift_bits >= 32) return v;
    return i.shift_dir == D_SHIFT_RIGHT ? v >> i.shift_bits : v << i.shift_bits;
  };
  const std::uint32_t old = ct->mark.load();
  switch (i.mode) {
    case XT_CONNMARK_SET:
      if (!pkt.dry) ct->mark = shifted((old & ~i.ctmask) ^ i.ctmark);
      break;
    case XT_CONNMARK_SAVE:
      if (!pkt.dry) ct->mark = (old & ~i.ctmask) ^ shifted(pkt.skb.mark & i.nfmask);
      break;
    default: pkt.skb.mark = (pkt.skb.mark & ~i.nfmask) ^ shifted(old & i.ctmask); break;
  }
  return NftCode::go_on;
}

NftCode xt_classify(const XtTargetBytes& b, NftPkt& pkt) {
  pkt.skb.priority = xt_target_info<xt_classify_target_info>(b).priority;
  return NftCode::go_on;
}

NftCode xt_notrack(const XtTargetBytes& b, NftPkt& pkt) {
  if ((xt_target_info<std::uint16_t>(b) & XT_CT_NOTRACK) == 0) return NftCode::unknown;
  if (pkt.skb.nfct == nullptr) pkt.skb.ctinfo = CtInfo::untracked;
  return NftCode::go_on;
}

NftCode write_tos(NftPkt& pkt, std::uint8_t tos) {
  Ipv4View ip(pkt.skb.network());
  if (ip.tos() == tos) return NftCode::go_on;
  ip.set_tos(tos);
  ip.send_check();
  return NftCode::go_on;
}
NftCode xt_set_dscp(const XtTargetBytes& b, NftPkt& pkt) {
  const std::uint8_t ecn = Ipv4View(pkt.skb.network()).tos() & 3;
  return write_tos(pkt, static_cast<std::uint8_t>(
                            (xt_target_info<xt_DSCP_info>(b).dscp << XT_DSCP_SHIFT) | ecn));
}
NftCode xt_set_tos(const XtTargetBytes& b, NftPkt& pkt) {
  const auto i = xt_target_info<xt_tos_target_info>(b);
  const std::uint8_t old = Ipv4View(pkt.skb.network()).tos();
  return write_tos(pkt, static_cast<std::uint8_t>((old & ~i.tos_mask) ^ i.tos_value));
}

NftCode xt_set_ttl(const XtTargetBytes& b, NftPkt& pkt) {
  enum : std::uint8_t { kSet, kInc, kDec };  // IPT_TTL_*, linux/netfilter_ipv4/ipt_TTL.h
  std::uint8_t* ip = pkt.skb.network();
  const int old = ip[8];
  int ttl = b[1];
  if (b[0] == kInc) ttl = std::min(old + b[1], 255);
  if (b[0] == kDec) ttl = std::max(old - b[1], 0);
  if (b[0] > kDec || ttl == old) return NftCode::go_on;
  ip[8] = static_cast<std::uint8_t>(ttl);
  Ipv4View(ip).send_check();
  return NftCode::go_on;
}

NftCode xt_reject(const XtTargetBytes& b, NftPkt& pkt) {
  // enum ipt_reject_with: net, host, protocol, port; (echo reply), net and host prohibited, (TCP
  // reset), administratively prohibited.
  constexpr int kNone = -1;
  static constexpr std::array<int, 9> kCodes{0, 1, 2, 3, kNone, 9, 10, kNone, 13};
  constexpr std::uint32_t kTcpReset = 7;
  const auto with = xt_target_info<std::uint32_t>(b);
  if (with >= kCodes.size()) return NftCode::unknown;
  if (with == kTcpReset && pkt.tprot == IPPROTO_TCP) return NftCode::unknown;
  if (pkt.dry || kCodes[with] == kNone) return NftCode::drop;
  nf_send_unreach(pkt, static_cast<std::uint8_t>(kCodes[with]));
  return NftCode::drop;
}

NftCode xt_reject6(const XtTargetBytes& b, NftPkt& pkt) {
  // enum ip6t_reject_with: no route, prohibited, beyond scope, address, port; (echo reply), (TCP
  // reset), failed policy, reject route.
  constexpr int kNone = -1;
  static constexpr std::array<int, 9> kCodes{0, 1, 2, 3, 4, kNone, kNone, 5, 6};
  constexpr std::uint32_t kTcpReset = 6;
  const auto with = xt_target_info<std::uint32_t>(b);
  if (with >= kCodes.size()) return NftCode::unknown;
  if (with == kTcpReset && pkt.tprot == IPPROTO_TCP) return NftCode::unknown;
  if (pkt.dry || kCodes[with] == kNone) return NftCode::drop;
  nf_send_unreach6(pkt, static_cast<std::uint8_t>(kCodes[with]));
  return NftCode::drop;
}

// nf_nat_ipv4_multi_range_compat of one range: count, flags, addresses, ports.
NfNatRange compat_range(const XtTargetBytes& b) {
  NfNatRange r;
  std::memcpy(&r.flags, &b[4], 4);
  r.low = Ip6::mapped(Ip4{load_be32(&b[8])});
  r.high = Ip6::mapped(Ip4{load_be32(&b[12])});
  r.port_low = load_be16(&b[16]);
  r.port_high = load_be16(&b[18]);
  return r;
}
// nf_nat_range and nf_nat_range2: flags, two addresses of 16 bytes, ports.
NfNatRange range2(const XtTargetBytes& b, bool ipv6) {
  const auto address = [&](std::size_t at) {
    return ipv6 ? Ip6::load(&b[at]) : Ip6::mapped(Ip4{load_be32(&b[at])});
  };
  NfNatRange r;
  std::memcpy(&r.flags, b.data(), 4);
  r.low = address(4);
  r.high = address(20);
  r.port_low = load_be16(&b[36]);
  r.port_high = load_be16(&b[38]);
  return r;
}

NftCode translate(NftPkt& pkt, NfNatRange r, NfManip manip) {
  constexpr std::uint32_t kFlags = (1U << 7) - 1;  // NF_NAT_RANGE_MASK
  if (pkt.net.nf->conntrack.mode.load() == CtMode::unknown || (r.flags & ~kFlags) != 0)
    return NftCode::unknown;
  if (pkt.dry || pkt.skb.nfct == nullptr) return NftCode::accept;
  return nf_nat_setup_info(pkt, r, manip);
}
NftCode xt_snat0(const XtTargetBytes& b, NftPkt& pkt) {
  return translate(pkt, compat_range(b), NfManip::src);
}
NftCode xt_dnat0(const XtTargetBytes& b, NftPkt& pkt) {
  return translate(pkt, compat_range(b), NfManip::dst);
}
NftCode xt_snat2(const XtTargetBytes& b, NftPkt& pkt) {
  return translate(pkt, range2(b, pkt.pf == NFPROTO_IPV6), NfManip::src);
}
NftCode xt_dnat2(const XtTargetBytes& b, NftPkt& pkt) {
  return translate(pkt, range2(b, pkt.pf == NFPROTO_IPV6), NfManip::dst);
}
NftCode xt_masquerade(const XtTargetBytes& b, NftPkt& pkt) {
  NfNatRange r = compat_range(b);
  const Ip4 to = Ipv4View(pkt.skb.network()).daddr();
  const Ip4 hop = pkt.skb.rt.gateway.is_zero() ? to : pkt.skb.rt.gateway;
  const Ip4 source = inet_select_addr(pkt.net, pkt.out, hop, kScopeUniverse);
  if (source.is_zero()) return NftCode::drop;
  r.low = r.high = Ip6::mapped(source);
  r.flags |= NF_NAT_RANGE_MAP_IPS;
  return translate(pkt, r, NfManip::src);
}
NftCode xt_redirect(const XtTargetBytes& b, NftPkt& pkt) {
  NfNatRange r = compat_range(b);
  r.low = r.high = Ip6::mapped(Ip4{0x7f000001});  // of what this host sends
  r.flags |= NF_NAT_RANGE_MAP_IPS;
  return translate(pkt, r, NfManip::dst);
}

NftCode xt_masquerade6(const XtTargetBytes& b, NftPkt& pkt) {
  NfNatRange r = range2(b, true);
  const Ip6 to = Ipv6View(pkt.skb.network()).daddr();
  const auto source = ipv6_dev_get_saddr(pkt.net, pkt.out, to, 0);
  if (!source) return NftCode::drop;
  r.low = r.high = *source;
  r.flags |= NF_NAT_RANGE_MAP_IPS;
  return translate(pkt, r, NfManip::src);
}
NftCode xt_redirect6(const XtTargetBytes& b, NftPkt& pkt) {
  NfNatRange r = range2(b, true);
  r.low = r.high = Ip6::loopback();
  r.flags |= NF_NAT_RANGE_MAP_IPS;
  return translate(pkt, r, NfManip::dst);
}

using XtTargetFunction = NftCode (*)(const XtTargetBytes&, NftPkt&);
struct XtTargetKind {
  std::string_view name;
  std::uint32_t revision;
  std::size_t size;          // of its info
  XtTargetFunction target;   // in a table of family ip
  XtTargetFunction target6;  // in one of family ip6; null: unknown there
  NftDepends depends;
};
constexpr auto kXtTargets = std::to_array<XtTargetKind>({
    {"CHECKSUM", 0, 0, xt_nothing, xt_nothing, NftDepends::flow},
    {"CLASSIFY", 0, sizeof(xt_classify_target_info), xt_classify, xt_classify, NftDepends::flow},
    {"CONNMARK", 2, sizeof(xt_connmark_tginfo2), xt_connmark_target, xt_connmark_target,
     NftDepends::state},
    {"CT", 0, sizeof(std::uint16_t), xt_notrack, xt_notrack, NftDepends::flow},
    {"CT", 1, sizeof(std::uint16_t), xt_notrack, xt_notrack, NftDepends::flow},
    {"CT", 2, sizeof(std::uint16_t), xt_notrack, xt_notrack, NftDepends::flow},
    {"DNAT", 0, 20, xt_dnat0, nullptr, NftDepends::state},
    {"DNAT", 1, 40, xt_dnat2, xt_dnat2, NftDepends::state},
    {"DNAT", 2, 40, xt_dnat2, xt_dnat2, NftDepends::state},
    {"DSCP", 0, sizeof(xt_DSCP_info), xt_set_dscp, nullptr, NftDepends::flow},
    {"LOG", 0, 0, xt_nothing, xt_nothing, NftDepends::flow},
    {"MARK", 2, sizeof(xt_mark_tginfo2), xt_set_mark, xt_set_mark, NftDepends::flow},
    {"MASQUERADE", 0, 20, xt_masquerade, xt_masquerade6, NftDepends::state},
    {"NFLOG", 0, 0, xt_nothing, xt_nothing, NftDepends::flow},
    {"REDIRECT", 0, 20, xt_redirect, xt_redirect6, NftDepends::state},
    {"REJECT", 0, 4, xt_reject, xt_reject6, NftDepends::state},
    {"SNAT", 0, 20, xt_snat0, nullptr, NftDepends::state},
    {"SNAT", 1, 40, xt_snat2, xt_snat2, NftDepends::state},
    {"SNAT", 2, 40, xt_snat2, xt_snat2, NftDepends::state},
    {"TOS", 1, sizeof(xt_tos_target_info), xt_set_tos, nullptr, NftDepends::flow},
    {"TTL", 0, 2, xt_set_ttl, nullptr, NftDepends::flow},
});

class XtTarget final : public NfExpr {
 public:
  XtTarget(const XtTargetKind& kind, Bytes info) : kind_(kind) {
    std::memcpy(info_.data(), info.data(), std::min(info.size(), info_.size()));
  }
  void eval(NftRegs& regs, NftPkt& pkt) const override {
    const auto target = pkt.pf == NFPROTO_IPV6 ? kind_.target6 : kind_.target;
    regs.verdict.code = target(info_, pkt);
    if (regs.verdict.code == NftCode::unknown && pkt.note != nullptr)
      *pkt.note = fmt::format("the target {}: what it does here is not known", kind_.name);
  }
  NftDepends depends() const override { return kind_.depends; }
  std::string words(const NftRegs&) const override {
    return fmt::format("target {} rev {}", kind_.name, kind_.revision);
  }

 private:
  const XtTargetKind& kind_;
  XtTargetBytes info_{};
};

}  // namespace

Result<void> make_nft_target(NftCompiler& c, Bytes data) {
  Attrs<NFTA_TARGET_MAX> a(data, "target");
  const std::string name = a.text(NFTA_TARGET_NAME, 31).value_or("");
  const std::uint32_t revision = a.be32(NFTA_TARGET_REV).value_or(0);
  const auto info = a.raw(NFTA_TARGET_INFO);
  for (const XtTargetKind& k : kXtTargets) {
    if (k.name != name || k.revision != revision) continue;
    if (!info || info->size() < k.size)
      return fail(fmt::format("the target {} is cut short", name));
    if (k.depends == NftDepends::state && name != "REJECT") c.needs_conntrack();
    c.emplace<XtTarget>(k, *info).ipv4_only = k.target6 == nullptr;
    return {};
  }
  return fail(fmt::format("the target {} rev {} is not implemented", name, revision));
}

}  // namespace txp
