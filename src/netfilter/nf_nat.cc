// SPDX-License-Identifier: Apache-2.0
// Network address translation: chooses a connection's translation and rewrites its packets.
// Kernel twins: net/netfilter/nf_nat_core.c, nf_nat_proto.c.
// Differs: UDP, TCP and ICMP errors about them only. A source port that the kernel would draw is
// drawn, and masked in a report.
#include "netfilter/nf_nat.h"

#include <fmt/format.h>

#include <algorithm>
#include <optional>

#include <linux/netfilter.h>
#include <linux/netfilter/nf_nat.h>

#include "base/byteorder.h"
#include "base/checksum.h"
#include "ip6/ip6.h"
#include "net.h"
#include "netfilter/nf_conntrack.h"
#include "netfilter/nf_hook.h"
#include "netfilter/nft_hash.h"
#include "observe/trace.h"
#include "wire/icmp.h"
#include "wire/ipv4.h"
#include "wire/ipv6.h"
#include "wire/udp.h"

namespace txp {
namespace {

constexpr std::uint32_t kMapIps = NF_NAT_RANGE_MAP_IPS;
constexpr std::uint32_t kPortsGiven = NF_NAT_RANGE_PROTO_SPECIFIED;
constexpr std::uint32_t kPortsRandom =
    NF_NAT_RANGE_PROTO_RANDOM | NF_NAT_RANGE_PROTO_RANDOM_FULLY;  // NF_NAT_RANGE_PROTO_RANDOM_ALL
constexpr std::uint8_t kTcpProto = 6;
constexpr std::uint8_t kUdpProto = 17;
constexpr unsigned kMostAttempts = 128;  // NF_NAT_MAX_ATTEMPTS

bool in_range(const NfTuple& t, const NfNatRange& r) {
  if ((r.flags & kMapIps) != 0 && (t.src < r.low || t.src > r.high)) return false;
  return (r.flags & kPortsGiven) == 0 || (t.sport >= r.port_low && t.sport <= r.port_high);
}

// The words of an address as they lie in memory; IPv4's has one, and the rest are zero.
std::array<std::uint32_t, 4> words_of(const Ip6& a, bool ipv6) {
  const auto word = [](std::uint64_t half, int shift) {
    return std::byteswap(static_cast<std::uint32_t>(half >> shift));
  };
  if (!ipv6) return {word(a.lo, 0), 0, 0, 0};
  return {word(a.hi, 32), word(a.hi, 0), word(a.lo, 32), word(a.lo, 0)};
}
Ip6 from_words(const std::array<std::uint32_t, 4>& w, bool ipv6) {
  const auto half = [&w](std::size_t i) {
    return std::uint64_t{std::byteswap(w[i])} << 32 | std::byteswap(w[i + 1]);
  };
  if (!ipv6) return Ip6::mapped(Ip4{std::byteswap(w[0])});
  return {half(0), half(2)};
}

// find_best_ips_proto().
void choose_address(NfTuple& t, const NfNatRange& r, NfManip manip) {
  if ((r.flags & kMapIps) == 0) return;
  Ip6& addr = manip == NfManip::src ? t.src : t.dst;
  if (r.low == r.high) {
    addr = r.low;
    return;
  }
  const std::size_t count = t.ipv6 ? 4 : 1;
  const bool persistent = (r.flags & NF_NAT_RANGE_PERSISTENT) != 0;
  const auto dst = words_of(t.dst, t.ipv6);
  const auto low = words_of(r.low, t.ipv6);
  const auto high = words_of(r.high, t.ipv6);
  const auto src = words_of(t.src, t.ipv6);
  std::uint32_t j = nft_jhash2(src, persistent ? 0 : dst[count - 1]);
  std::array<std::uint32_t, 4> chosen{};
  bool full_range = false;  // a word before this one is not the range's last
  for (std::size_t i = 0; i < count; ++i) {
    const std::uint32_t first = full_range ? 0 : std::byteswap(low[i]);
    const std::uint32_t distance = full_range ? ~0U : std::byteswap(high[i]) - first + 1;
    const auto step = static_cast<std::uint32_t>((std::uint64_t{j} * distance) >> 32);
    chosen[i] = std::byteswap(first + step);
    full_range |= chosen[i] != high[i];
    if (!persistent) j ^= dst[i];
  }
  addr = from_words(chosen, t.ipv6);
}

class PortChooser {
 public:
  PortChooser(NftPkt& pkt, const NfConn& ct) : pkt_(pkt), ct_(ct) {}
  bool used(const NfTuple& t) const {
    return pkt_.net.nf->conntrack.used(t.inverted(), &ct_, pkt_.net.clock.now());
  }

  // nf_nat_l4proto_unique_tuple().
  void unique(NfTuple& t, const NfNatRange& r, NfManip manip) const {
    std::uint16_t& port = manip == NfManip::src ? t.sport : t.dport;
    std::uint32_t low = 1024;
    std::uint32_t size = 65536 - 1024;
    if ((r.flags & kPortsGiven) != 0) {
      low = std::min(r.port_low, r.port_high);
      size = std::max(r.port_low, r.port_high) - low + 1;
    } else if (manip == NfManip::dst) {
      return;
    } else if (port < 512) {
      low = 1;
      size = 511;
    } else if (port < 1024) {
      low = 600;
      size = 424;
    }
    std::uint32_t offset = 0;
    if ((r.flags & kPortsRandom) != 0 || manip != NfManip::dst) {
      offset = pkt_.net.random.u32() & 0xffff;
      if (size > 1 && pkt_.skb.trace != nullptr)
        pkt_.skb.trace->masked(manip == NfManip::src ? "udp.sport" : "udp.dport");
    }
    for (unsigned i = 0; i < std::min(size, kMostAttempts); ++i, ++offset) {
      port = static_cast<std::uint16_t>(low + (offset & 0xffff) % size);
      if (!used(t)) return;
    }
  }

 private:
  NftPkt& pkt_;
  const NfConn& ct_;
};

// get_unique_tuple().
NfTuple unique_tuple(NftPkt& pkt, const NfConn& ct, const NfTuple& current, const NfNatRange& r,
                     NfManip manip) {
  const PortChooser ports(pkt, ct);
  const bool random = (r.flags & kPortsRandom) != 0;
  if (manip == NfManip::src && !random) {
    if (in_range(current, r)) {
      if (!ports.used(current)) return current;
    } else {
      NfTuple same = current;
      if (pkt.net.nf->conntrack.find_source(same, pkt.net.clock.now()) && in_range(same, r) &&
          !ports.used(same))
        return same;
    }
  }
  NfTuple t = current;
  choose_address(t, r, manip);
  if (!random) {
    const std::uint16_t port = manip == NfManip::src ? t.sport : t.dport;
    if ((r.flags & kPortsGiven) != 0) {
      const bool offset = (r.flags & NF_NAT_RANGE_PROTO_OFFSET) != 0;
      if (!offset && port >= r.port_low && port <= r.port_high &&
          (r.port_low == r.port_high || !ports.used(t)))
        return t;
    } else if (!ports.used(t)) {
      return t;
    }
  }
  ports.unique(t, r, manip);
  return t;
}

// What lies behind an IP header of either family that begins at `ip`.
struct Layer4 {
  std::uint8_t proto = 0;
  std::uint32_t at = 0;  // from skb.data
  bool whole = true;     // no later fragment
};
std::optional<Layer4> layer4(const Skb& skb, const std::uint8_t* ip, bool ipv6) {
  const auto offset = static_cast<std::uint32_t>(ip - skb.data);
  if (!ipv6) {
    const std::span<const std::uint8_t> packet(ip, skb.tail);
    const auto h = Ipv4Header::parse(packet);
    if (!h) return std::nullopt;
    return Layer4{h->protocol, offset + static_cast<std::uint32_t>(h->hlen()),
                  (h->frag_off & kIpOffset) == 0};
  }
  const auto h = Ipv6Header::parse({ip, skb.tail});
  if (!h) return std::nullopt;
  std::uint8_t nexthdr = h->nexthdr;
  const auto inner = ipv6_skip_exthdr({ip, skb.tail}, kIpv6Hlen, nexthdr);
  if (!inner) return std::nullopt;
  return Layer4{nexthdr, offset + static_cast<std::uint32_t>(inner->offset),
                (inner->frag_off & ~7) == 0};
}

// Writes an address and, of UDP and TCP, a port into the headers that begin at `ip`, the checksums
// with them (nf_nat_ipv4_manip_pkt(), nf_nat_ipv6_manip_pkt(), nf_csum_update(), udp_manip_pkt(),
// icmpv6_manip_pkt()).
bool rewrite(Skb& skb, std::uint8_t* ip, bool ipv6, NfManip manip, const Ip6& addr,
             std::uint16_t port) {
  const auto l4 = layer4(skb, ip, ipv6);
  if (!l4) return false;
  std::uint8_t* const at = ip + (ipv6 ? 8 : 12) + (manip == NfManip::src ? 0 : ipv6 ? 16 : 4);
  const std::size_t size = ipv6 ? 16 : 4;
  const auto replaced = [](std::uint16_t check, Csum from, Csum to) {
    return csum_fold(csum_add(csum_add(~Csum{check}, ~from), to));
  };
  const Csum from_addr = csum_partial({at, size}, 0);
  if (ipv6)
    addr.store(at);
  else
    store_be32(at, addr.v4().host);
  const Csum to_addr = csum_partial({at, size}, 0);
  if (!ipv6) store_be16(ip + 10, replaced(load_be16(ip + 10), from_addr, to_addr));
  if (!l4->whole) return true;
  const bool has_ports = l4->proto == kTcpProto || l4->proto == kUdpProto;
  const bool icmp6 = ipv6 && l4->proto == kNexthdrIcmpv6;  // its checksum covers the addresses
  if (!has_ports && !icmp6) return true;
  const std::uint32_t port_at = l4->at + (manip == NfManip::src ? 0U : 2U);
  const std::uint32_t check_at =
      l4->at + static_cast<std::uint32_t>(icmp6                    ? 2
                                          : l4->proto == kTcpProto ? 16
                                                                   : kUdpCheckOffset);
  std::array<std::uint8_t, 2> old_port{};
  std::array<std::uint8_t, 2> new_port{};
  std::array<std::uint8_t, 2> check{};
  if (has_ports) {
    store_be16(new_port.data(), port);
    if (!skb_copy_bits(skb, port_at, old_port) || !skb_store_bits(skb, port_at, new_port))
      return false;
  }
  if (!skb_copy_bits(skb, check_at, check)) return false;
  const std::uint16_t sum = load_be16(check.data());
  const bool partial = skb.ip_summed == IpSummed::partial;
  if (l4->proto == kUdpProto && sum == 0 && !partial) return true;
  std::uint16_t now = 0;
  if (partial) {
    now =
        static_cast<std::uint16_t>(~csum_fold(csum_add(csum_add(Csum{sum}, ~from_addr), to_addr)));
  } else {
    now = replaced(sum, from_addr, to_addr);
    now = replaced(now, csum_partial(old_port, 0), csum_partial(new_port, 0));
    if (l4->proto == kUdpProto && now == 0) now = kCsumMangled0;
  }
  store_be16(check.data(), now);
  return skb_store_bits(skb, check_at, check);
}

}  // namespace

NftCode nf_nat_setup_info(NftPkt& pkt, const NfNatRange& range, NfManip manip) {
  NfConn* ct = pkt.skb.nfct;
  if (ct == nullptr || (ct->status.load() & kIpsConfirmed) != 0) return NftCode::accept;
  const NfTuple current = ct->reply.inverted();
  const NfTuple chosen = unique_tuple(pkt, *ct, current, range, manip);
  std::uint32_t status = manip == NfManip::src ? kIpsSrcNatDone : kIpsDstNatDone;
  if (chosen != current) {
    ct->reply = chosen.inverted();
    status |= manip == NfManip::src ? kIpsSrcNat : kIpsDstNat;
  }
  ct->status.fetch_or(status);
  return NftCode::accept;
}

bool nf_nat_initialized(const Skb& skb, NfManip manip) {
  const std::uint32_t bit = manip == NfManip::src ? kIpsSrcNatDone : kIpsDstNatDone;
  return skb.nfct == nullptr || (skb.nfct->status.load() & bit) != 0;
}

// nf_nat_alloc_null_binding().
void nf_nat_null_binding(NftPkt& pkt, NfManip manip) {
  const NfTuple& reply = pkt.skb.nfct->reply;
  const Ip6 addr = manip == NfManip::src ? reply.dst : reply.src;
  nf_nat_setup_info(pkt, {.flags = kMapIps, .low = addr, .high = addr}, manip);
}

bool nf_nat_packet(NftPkt& pkt, NfManip manip) {
  const NfConn& ct = *pkt.skb.nfct;
  const bool reply = pkt.skb.ctinfo == CtInfo::established_reply;
  const bool by_source = (manip == NfManip::src) != reply;
  if ((ct.status.load() & (by_source ? kIpsSrcNat : kIpsDstNat)) == 0) return true;
  const NfTuple target = reply ? ct.original.inverted() : ct.reply.inverted();
  const Ip6 addr = manip == NfManip::src ? target.src : target.dst;
  const std::uint16_t port = manip == NfManip::src ? target.sport : target.dport;
  if (!rewrite(pkt.skb, pkt.skb.network(), target.ipv6, manip, addr, port)) return false;
  if (pkt.skb.trace != nullptr)
    pkt.skb.trace->out(
        pkt.hooknum == NF_INET_LOCAL_OUT ? Stage::nf_local_out : Stage::nf_post_routing,
        manip == NfManip::src ? "snat" : "dnat",
        fmt::format(fmt::runtime(target.ipv6 ? "[{}]:{}" : "{}:{}"), nf_addr(addr, target.ipv6),
                    port));
  return true;
}

bool nf_nat_icmp_reply_translation(NftPkt& pkt, NfManip manip) {
  Skb& skb = pkt.skb;
  const NfConn& ct = *skb.nfct;
  const bool reply = skb.ctinfo == CtInfo::related_reply;
  const bool by_source = (manip == NfManip::src) != reply;
  if ((ct.status.load() & (by_source ? kIpsSrcNat : kIpsDstNat)) == 0) return true;
  const bool ipv6 = ct.original.ipv6;
  const auto outer = layer4(skb, skb.network(), ipv6);
  if (!outer) return false;
  // nf_nat_ipv6_fn(): only of ICMPv6.
  if (ipv6 && outer->proto != kNexthdrIcmpv6) return true;
  std::uint8_t* const icmp = skb.data + outer->at;
  std::uint8_t* const quoted = icmp + kIcmpHlen;
  constexpr std::uint32_t kPorts = 8;  // of a UDP header all
  if (quoted > skb.tail) return false;
  const auto inner = layer4(skb, quoted, ipv6);
  if (!inner || skb.data + inner->at + kPorts > skb.tail) return false;
  // The quotation went the other way, and its source is this packet's destination.
  const NfTuple& other = reply ? ct.original : ct.reply;
  const bool inner_dst = manip == NfManip::src;
  if (!rewrite(skb, quoted, ipv6, inner_dst ? NfManip::dst : NfManip::src,
               inner_dst ? other.dst : other.src, inner_dst ? other.dport : other.sport))
    return false;
  if (skb.ip_summed != IpSummed::partial) {
    const std::span<const std::uint8_t> message(icmp, skb.tail);
    store_be16(icmp + 2, 0);
    Csum sum = csum_partial(message, 0);
    if (ipv6) {
      const Ipv6View ip(skb.network());
      sum = csum_ipv6_nofold(ip.saddr(), ip.daddr(), static_cast<std::uint32_t>(message.size()),
                             kNexthdrIcmpv6, sum);
    }
    store_be16(icmp + 2, csum_fold(sum));
  }
  return rewrite(skb, skb.network(), ipv6, manip, manip == NfManip::src ? other.dst : other.src, 0);
}

}  // namespace txp
