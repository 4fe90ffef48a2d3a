// SPDX-License-Identifier: Apache-2.0
// Extension headers (RFC 8200, 4) before a datagram. Kernel twin: net/ipv6/exthdrs.c,
// ipv6_push_*_opts(), fl6_update_dst(); net/ipv6/output_core.c, ip6_find_1stfragopt();
// net/ipv6/exthdrs_core.c, ipv6_skip_exthdr().
// Differs: segment routing headers of a socket (type 4) are refused where they are set.
#include <algorithm>
#include <cstring>

#include "ip6/ip6.h"
#include "wire/ipv6.h"

namespace txp {
namespace {

constexpr std::size_t kRt0HdrLen = 8;  // before the addresses

std::uint8_t push_exthdr(Skb& skb, std::uint8_t proto, std::uint8_t type,
                         std::span<const std::uint8_t> header) {
  std::uint8_t* to = skb.push(header.size());
  std::ranges::copy(header, to);
  to[0] = proto;
  return type;
}

}  // namespace

std::uint8_t ipv6_push_frag_opts(Skb& skb, const Ipv6TxOptions& opt, std::uint8_t proto) {
  return opt.dst1opt.empty() ? proto : push_exthdr(skb, proto, kNexthdrDest, opt.dst1opt);
}

std::uint8_t ipv6_push_nfrag_opts(Skb& skb, const Ipv6TxOptions& opt, std::uint8_t proto,
                                  Ip6& daddr) {
  if (!opt.srcrt.empty()) {
    // ipv6_push_rthdr0(): the last address is the destination, the first one goes into the header.
    proto = push_exthdr(skb, proto, kNexthdrRouting, opt.srcrt);
    const std::size_t hops = opt.srcrt[1] / 2U;
    std::uint8_t* addrs = skb.data + kRt0HdrLen;
    if (hops > 1) std::memmove(addrs, &opt.srcrt[kRt0HdrLen + 16], (hops - 1) * 16);
    daddr.store(addrs + (hops - 1) * 16);
    daddr = Ip6::load(&opt.srcrt[kRt0HdrLen]);
    if (!opt.dst0opt.empty()) proto = push_exthdr(skb, proto, kNexthdrDest, opt.dst0opt);
  }
  if (!opt.hopopt.empty()) proto = push_exthdr(skb, proto, kNexthdrHop, opt.hopopt);
  return proto;
}

bool fl6_update_dst(Flow6& fl6, const Ipv6TxOptions* opt, Ip6& original) {
  if (opt == nullptr || opt->srcrt.empty()) return false;
  original = fl6.daddr;
  fl6.daddr = Ip6::load(&opt->srcrt[kRt0HdrLen]);
  return true;
}

std::uint32_t ip6_find_1stfragopt(const Skb& skb, std::uint32_t& nexthdr_at) {
  const std::uint8_t* base = skb.network();
  const auto linear = static_cast<std::uint32_t>(skb.tail - base);
  std::uint32_t offset = kIpv6Hlen;
  nexthdr_at = 6;
  bool found_rhdr = false;
  while (offset <= linear) {
    const std::uint8_t next = base[nexthdr_at];
    if (next == kNexthdrRouting)
      found_rhdr = true;
    else if (next != kNexthdrHop && (next != kNexthdrDest || found_rhdr))
      return offset;
    if (offset + 2 > linear) return 0;
    nexthdr_at = offset;
    offset += (base[offset + 1] + 1U) * 8U;
  }
  return 0;
}

std::optional<Ipv6Inner> ipv6_skip_exthdr(std::span<const std::uint8_t> packet, std::size_t start,
                                          std::uint8_t& nexthdr) {
  Ipv6Inner at{start, 0};
  for (;;) {
    std::size_t len = 8;
    const bool length_inside = nexthdr == kNexthdrHop || nexthdr == kNexthdrRouting ||
                               nexthdr == kNexthdrDest || nexthdr == kNexthdrAuth;
    if (!length_inside && nexthdr != kNexthdrFragment) break;
    if (at.offset + 2 > packet.size()) return std::nullopt;
    const auto header = packet.subspan(at.offset);
    if (nexthdr == kNexthdrFragment) {
      if (header.size() < 4) return std::nullopt;
      at.frag_off = load_be16(&header[2]);
      if ((at.frag_off & ~7) != 0) return at;
    } else {
      len = nexthdr == kNexthdrAuth ? (header[1] + 2U) * 4U : (header[1] + 1U) * 8U;
    }
    nexthdr = header[0];
    at.offset += len;
  }
  if (nexthdr == kNexthdrNone) return std::nullopt;
  return at;
}

}  // namespace txp
