// SPDX-License-Identifier: Apache-2.0
// match: the matches of iptables that have no native expression, as iptables-nft leaves them.
// Kernel twins: net/netfilter/nft_compat.c (nft_match_eval()), net/netfilter/xt_*.c.
// Differs: the matches in the table below; another, or another revision, is unknown.
#include <algorithm>
#include <array>

#include <fmt/format.h>
#include <linux/in.h>
#include <linux/netfilter.h>
#include <linux/netfilter/nf_tables_compat.h>
#include <linux/netfilter/xt_addrtype.h>
#include <linux/netfilter/xt_connmark.h>
#include <linux/netfilter/xt_conntrack.h>
#include <linux/netfilter/xt_dscp.h>
#include <linux/netfilter/xt_iprange.h>
#include <linux/netfilter/xt_length.h>
#include <linux/netfilter/xt_mark.h>
#include <linux/netfilter/xt_multiport.h>
#include <linux/netfilter/xt_owner.h>
#include <linux/netfilter/xt_pkttype.h>
#include <linux/netfilter/xt_state.h>
#include <linux/netfilter/xt_statistic.h>
#include <linux/netfilter/xt_tcpudp.h>

#include "base/byteorder.h"
#include "net.h"
#include "netfilter/nf_conntrack.h"
#include "netfilter/nf_hook.h"
#include "netfilter/registry.h"
#include "route/ip_route.h"
#include "socket/sock.h"
#include "wire/ipv4.h"
#include "wire/ipv6.h"

namespace txp {
namespace {

enum class XtAnswer : std::uint8_t { no, yes, unknown };
XtAnswer answer_of(bool yes) { return yes ? XtAnswer::yes : XtAnswer::no; }

using XtBytes = std::array<std::uint8_t, 256>;
template <typename T>
T xt_info(const XtBytes& bytes) {
  T info;
  std::memcpy(&info, bytes.data(), sizeof info);
  return info;
}

// Ports of the packet; nothing for a later fragment.
std::optional<std::pair<std::uint16_t, std::uint16_t>> xt_ports(const NftPkt& pkt) {
  std::array<std::uint8_t, 4> b{};
  if (!pkt.l4proto || pkt.fragoff != 0 || !skb_copy_bits(pkt.skb, pkt.thoff, b))
    return std::nullopt;
  return std::pair{load_be16(b.data()), load_be16(b.data() + 2)};
}

XtAnswer xt_comment(const XtBytes&, const NftPkt&) { return XtAnswer::yes; }

XtAnswer xt_multiport(const XtBytes& b, const NftPkt& pkt) {
  const auto i = xt_info<xt_multiport_v1>(b);
  const auto ports = xt_ports(pkt);
  if (!ports) return XtAnswer::no;
  bool match = false;
  for (unsigned n = 0; n < std::min<unsigned>(i.count, XT_MULTI_PORTS); ++n) {
    const std::uint16_t low = i.ports[n];
    std::uint16_t high = low;
    if (i.pflags[n] != 0 && n + 1 < XT_MULTI_PORTS) high = i.ports[++n];
    const bool src = ports->first >= low && ports->first <= high;
    const bool dst = ports->second >= low && ports->second <= high;
    match |=
        (i.flags != XT_MULTIPORT_DESTINATION && src) || (i.flags != XT_MULTIPORT_SOURCE && dst);
  }
  return answer_of(match != (i.invert != 0));
}

// The state's bit as xt_conntrack and xt_state number it.
std::uint32_t xt_state_bit(const Skb& skb, std::uint32_t untracked) {
  if (skb.nfct != nullptr) return 1U << (static_cast<unsigned>(skb.ctinfo) % 3 + 1);
  return skb.ctinfo == CtInfo::untracked ? untracked : std::uint32_t{XT_CONNTRACK_STATE_INVALID};
}
bool xt_ct_unknown(const NftPkt& pkt) {
  return pkt.net.nf->conntrack.mode.load() == CtMode::unknown;
}

XtAnswer xt_conntrack(const XtBytes& b, const NftPkt& pkt) {
  const auto i = xt_info<xt_conntrack_mtinfo3>(b);
  // STATE_ALIAS only tells iptables to print "-m state".
  constexpr std::uint16_t kKnown =
      XT_CONNTRACK_STATE | XT_CONNTRACK_PROTO | XT_CONNTRACK_DIRECTION | XT_CONNTRACK_STATE_ALIAS;
  if ((i.match_flags & ~kKnown) != 0 || xt_ct_unknown(pkt)) return XtAnswer::unknown;
  const Skb& skb = pkt.skb;
  if ((i.match_flags & XT_CONNTRACK_STATE) != 0) {
    std::uint32_t bits = xt_state_bit(skb, XT_CONNTRACK_STATE_UNTRACKED);
    if (skb.nfct != nullptr) {
      const std::uint32_t status = skb.nfct->status.load();
      if ((status & kIpsSrcNat) != 0) bits |= XT_CONNTRACK_STATE_SNAT;
      if ((status & kIpsDstNat) != 0) bits |= XT_CONNTRACK_STATE_DNAT;
    }
    const bool inverted = (i.invert_flags & XT_CONNTRACK_STATE) != 0;
    if (((bits & i.state_mask) != 0) == inverted) return XtAnswer::no;
  }
  const std::uint16_t rest = i.match_flags & (XT_CONNTRACK_PROTO | XT_CONNTRACK_DIRECTION);
  if (skb.nfct == nullptr) return answer_of(rest == 0);
  if ((rest & XT_CONNTRACK_DIRECTION) != 0) {
    const bool original =
        skb.ctinfo != CtInfo::established_reply && skb.ctinfo != CtInfo::related_reply;
    if (original == ((i.invert_flags & XT_CONNTRACK_DIRECTION) != 0)) return XtAnswer::no;
  }
  if ((rest & XT_CONNTRACK_PROTO) != 0) {
    const bool same = skb.nfct->original.proto == i.l4proto;
    if (same == ((i.invert_flags & XT_CONNTRACK_PROTO) != 0)) return XtAnswer::no;
  }
  return XtAnswer::yes;
}

XtAnswer xt_state(const XtBytes& b, const NftPkt& pkt) {
  constexpr std::uint32_t kUntracked = 1U << 6;  // XT_STATE_UNTRACKED
  if (xt_ct_unknown(pkt)) return XtAnswer::unknown;
  return answer_of((xt_info<xt_state_info>(b).statemask & xt_state_bit(pkt.skb, kUntracked)) != 0);
}

XtAnswer xt_connmark(const XtBytes& b, const NftPkt& pkt) {
  const auto i = xt_info<xt_connmark_mtinfo1>(b);
  if (xt_ct_unknown(pkt)) return XtAnswer::unknown;
  if (pkt.skb.nfct == nullptr) return XtAnswer::no;
  return answer_of(((pkt.skb.nfct->mark.load() & i.mask) == i.mark) != (i.invert != 0));
}

XtAnswer xt_addrtype(const XtBytes& b, const NftPkt& pkt) {
  const auto i = xt_info<xt_addrtype_info_v1>(b);
  if ((i.flags & XT_ADDRTYPE_LIMIT_IFACE_IN) != 0) return XtAnswer::unknown;
  const NetDevice* dev = (i.flags & XT_ADDRTYPE_LIMIT_IFACE_OUT) != 0 ? pkt.out : nullptr;
  const Ipv4View ip(pkt.skb.network());
  const auto is = [&](Ip4 addr, std::uint16_t mask, bool inverted) {
    const auto type = static_cast<unsigned>(inet_dev_addr_type(pkt.net, dev, addr));
    return ((mask & (1U << type)) != 0) != inverted;
  };
  if (i.source != 0 && !is(ip.saddr(), i.source, (i.flags & XT_ADDRTYPE_INVERT_SOURCE) != 0))
    return XtAnswer::no;
  return answer_of(i.dest == 0 || is(ip.daddr(), i.dest, (i.flags & XT_ADDRTYPE_INVERT_DEST) != 0));
}

XtAnswer xt_owner(const XtBytes& b, const NftPkt& pkt) {
  const auto i = xt_info<xt_owner_match_info>(b);
  constexpr std::uint8_t kSupplementary = 1U << 3;  // XT_OWNER_SUPPL_GROUPS
  const Sock* sk = pkt.skb.sk;
  if (sk == nullptr) return answer_of((i.match ^ i.invert) == 0);
  if ((i.match & kSupplementary) != 0) return XtAnswer::unknown;
  if ((i.match & i.invert & XT_OWNER_SOCKET) != 0) return XtAnswer::no;
  const auto within = [&](std::uint8_t flag, std::uint32_t id, std::uint32_t low,
                          std::uint32_t high) {
    return (i.match & flag) == 0 || (id >= low && id <= high) != ((i.invert & flag) != 0);
  };
  return answer_of(within(XT_OWNER_UID, sk->uid, i.uid_min, i.uid_max) &&
                   within(XT_OWNER_GID, sk->gid, i.gid_min, i.gid_max));
}

XtAnswer xt_mark(const XtBytes& b, const NftPkt& pkt) {
  const auto i = xt_info<xt_mark_mtinfo1>(b);
  return answer_of(((pkt.skb.mark & i.mask) == i.mark) != (i.invert != 0));
}

XtAnswer xt_udp_ports(const XtBytes& b, const NftPkt& pkt) {
  const auto i = xt_info<struct xt_udp>(b);
  const auto ports = xt_ports(pkt);
  if (!ports) return XtAnswer::no;
  const auto within = [](std::uint16_t p, const std::uint16_t* range, bool inverted) {
    return (p >= range[0] && p <= range[1]) != inverted;
  };
  return answer_of(within(ports->first, i.spts, (i.invflags & XT_UDP_INV_SRCPT) != 0) &&
                   within(ports->second, i.dpts, (i.invflags & XT_UDP_INV_DSTPT) != 0));
}

XtAnswer xt_length(const XtBytes& b, const NftPkt& pkt) {
  const auto i = xt_info<xt_length_info>(b);
  const std::uint32_t len = pkt.skb.len - pkt.network_offset();
  return answer_of((len >= i.min && len <= i.max) != (i.invert != 0));
}

XtAnswer xt_ttl(const XtBytes& b, const NftPkt& pkt) {
  enum : std::uint8_t { kEq, kNe, kLt, kGt };  // IPT_TTL_*, linux/netfilter_ipv4/ipt_ttl.h
  const std::uint8_t mode = b[0];
  const std::uint8_t wanted = b[1];
  const std::uint8_t ttl = Ipv4View(pkt.skb.network()).ttl();
  switch (mode) {
    case kEq: return answer_of(ttl == wanted);
    case kNe: return answer_of(ttl != wanted);
    case kLt: return answer_of(ttl < wanted);
    case kGt: return answer_of(ttl > wanted);
    default: return XtAnswer::no;
  }
}

// ipv4_get_dsfield(), ipv6_get_dsfield().
std::uint8_t dsfield(const NftPkt& pkt) {
  return pkt.pf == NFPROTO_IPV6 ? Ipv6View(pkt.skb.network()).tclass()
                                : Ipv4View(pkt.skb.network()).tos();
}

XtAnswer xt_dscp(const XtBytes& b, const NftPkt& pkt) {
  const auto i = xt_info<xt_dscp_info>(b);
  const auto dscp = static_cast<std::uint8_t>(dsfield(pkt) >> 2);
  return answer_of((dscp == i.dscp) != (i.invert != 0));
}

XtAnswer xt_tos(const XtBytes& b, const NftPkt& pkt) {
  const auto i = xt_info<xt_tos_match_info>(b);
  const std::uint8_t tos = dsfield(pkt);
  return answer_of(((tos & i.tos_mask) == i.tos_value) != (i.invert != 0));
}

XtAnswer xt_iprange(const XtBytes& b, const NftPkt& pkt) {
  const auto i = xt_info<xt_iprange_mtinfo>(b);
  const Ipv4View ip(pkt.skb.network());
  const auto within = [](Ip4 a, const nf_inet_addr& low, const nf_inet_addr& high, bool inverted) {
    const auto host = [](const nf_inet_addr& x) {
      std::array<std::uint8_t, 4> bytes{};
      std::memcpy(bytes.data(), &x, 4);
      return load_be32(bytes.data());
    };
    return (a.host >= host(low) && a.host <= host(high)) != inverted;
  };
  if ((i.flags & IPRANGE_SRC) != 0 &&
      !within(ip.saddr(), i.src_min, i.src_max, (i.flags & IPRANGE_SRC_INV) != 0))
    return XtAnswer::no;
  return answer_of((i.flags & IPRANGE_DST) == 0 ||
                   within(ip.daddr(), i.dst_min, i.dst_max, (i.flags & IPRANGE_DST_INV) != 0));
}

XtAnswer xt_pkttype(const XtBytes& b, const NftPkt& pkt) {
  const auto i = xt_info<xt_pkttype_info>(b);
  PacketType type = pkt.skb.pkt_type;
  if (type == PacketType::loopback)
    type = Ipv4View(pkt.skb.network()).daddr().is_multicast() ? PacketType::multicast
                                                              : PacketType::broadcast;
  return answer_of((static_cast<int>(type) == i.pkttype) != (i.invert != 0));
}

// At random only: where a count stands the kernel does not tell.
XtAnswer xt_statistic(const XtBytes& b, const NftPkt& pkt) {
  const auto i = xt_info<xt_statistic_info>(b);
  if (i.mode != XT_STATISTIC_MODE_RANDOM || !pkt.net.nf->chance) return XtAnswer::unknown;
  const bool hit = (pkt.net.random.u32() & 0x7fffffff) < i.u.random.probability;
  return answer_of(hit != ((i.flags & XT_STATISTIC_INVERT) != 0));
}

struct XtMatchKind {
  std::string_view name;
  std::uint32_t revision;
  std::size_t size;  // of its info
  XtAnswer (*match)(const XtBytes&, const NftPkt&);
  NftDepends depends;
  bool ipv6 = false;  // also in a table of family ip6, else unknown there
};
constexpr auto kXtMatches = std::to_array<XtMatchKind>({
    {"addrtype", 1, sizeof(xt_addrtype_info_v1), xt_addrtype, NftDepends::flow},
    {"comment", 0, 0, xt_comment, NftDepends::flow, true},
    {"connmark", 1, sizeof(xt_connmark_mtinfo1), xt_connmark, NftDepends::state, true},
    {"conntrack", 3, sizeof(xt_conntrack_mtinfo3), xt_conntrack, NftDepends::state, true},
    {"dscp", 0, sizeof(xt_dscp_info), xt_dscp, NftDepends::flow, true},
    {"iprange", 1, sizeof(xt_iprange_mtinfo), xt_iprange, NftDepends::flow},
    {"length", 0, sizeof(xt_length_info), xt_length, NftDepends::packet, true},
    {"mark", 1, sizeof(xt_mark_mtinfo1), xt_mark, NftDepends::flow, true},
    {"multiport", 1, sizeof(xt_multiport_v1), xt_multiport, NftDepends::flow, true},
    {"owner", 1, sizeof(xt_owner_match_info), xt_owner, NftDepends::flow, true},
    {"pkttype", 0, sizeof(xt_pkttype_info), xt_pkttype, NftDepends::flow},
    {"state", 0, sizeof(xt_state_info), xt_state, NftDepends::state, true},
    {"statistic", 0, sizeof(xt_statistic_info), xt_statistic, NftDepends::state, true},
    {"tos", 1, sizeof(xt_tos_match_info), xt_tos, NftDepends::flow, true},
    {"ttl", 0, 2, xt_ttl, NftDepends::flow},
    {"udp", 0, sizeof(struct xt_udp), xt_udp_ports, NftDepends::flow, true},
});

class XtMatch final : public NfExpr {
 public:
  XtMatch(const XtMatchKind& kind, Bytes info) : kind_(kind) {
    std::memcpy(info_.data(), info.data(), std::min(info.size(), info_.size()));
    compares = true;
  }
  void eval(NftRegs& regs, NftPkt& pkt) const override {
    switch (kind_.match(info_, pkt)) {
      case XtAnswer::yes: return;
      case XtAnswer::no: return regs.no_match();
      case XtAnswer::unknown: break;
    }
    if (pkt.note != nullptr)
      *pkt.note = fmt::format("the match {}: what it asks for is not known", kind_.name);
    regs.unknown();
  }
  NftDepends depends() const override { return kind_.depends; }
  std::string words(const NftRegs&) const override {
    return fmt::format("match {} rev {}", kind_.name, kind_.revision);
  }

 private:
  const XtMatchKind& kind_;
  XtBytes info_{};
};

}  // namespace

Result<void> make_nft_match(NftCompiler& c, Bytes data) {
  Attrs<NFTA_MATCH_MAX> a(data, "match");
  const std::string name = a.text(NFTA_MATCH_NAME, 31).value_or("");
  const std::uint32_t revision = a.be32(NFTA_MATCH_REV).value_or(0);
  const auto info = a.raw(NFTA_MATCH_INFO);
  if (name == "conntrack" || name == "state" || name == "connmark") c.needs_conntrack();
  for (const XtMatchKind& k : kXtMatches) {
    if (k.name != name || k.revision != revision) continue;
    if (!info || info->size() < k.size) return fail(fmt::format("the match {} is cut short", name));
    c.emplace<XtMatch>(k, *info).ipv4_only = !k.ipv6;
    return {};
  }
  return fail(fmt::format("the match {} rev {} is not implemented", name, revision));
}

}  // namespace txp
