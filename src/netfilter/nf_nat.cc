// SPDX-License-Identifier: Apache-2.0
// Network address translation: chooses a connection's translation and rewrites its packets.
// Kernel twins: net/netfilter/nf_nat_core.c, nf_nat_proto.c.
// Differs: UDP, TCP and ICMP errors about them only. A source port that the kernel would draw is
// drawn, and masked in a report.
#include "netfilter/nf_nat.h"

#include <algorithm>

#include <linux/netfilter.h>
#include <linux/netfilter/nf_nat.h>

#include "base/byteorder.h"
#include "base/checksum.h"
#include "net.h"
#include "netfilter/nf_conntrack.h"
#include "netfilter/nf_hook.h"
#include "netfilter/nft_hash.h"
#include "observe/trace.h"
#include "wire/icmp.h"
#include "wire/ipv4.h"
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

// find_best_ips_proto().
void choose_address(NfTuple& t, const NfNatRange& r, NfManip manip) {
  if ((r.flags & kMapIps) == 0) return;
  Ip4& addr = manip == NfManip::src ? t.src : t.dst;
  if (r.low == r.high) {
    addr = r.low;
    return;
  }
  const std::uint32_t seed =
      (r.flags & NF_NAT_RANGE_PERSISTENT) != 0 ? 0 : std::byteswap(t.dst.host);
  std::array<std::uint32_t, 4> key{std::byteswap(t.src.host), 0, 0, 0};
  const std::uint64_t j = nft_jhash2(key, seed);
  const std::uint64_t distance = std::uint64_t{r.high.host} - r.low.host + 1;
  addr = Ip4{r.low.host + static_cast<std::uint32_t>((j * distance) >> 32)};
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

// Writes an address and, of UDP and TCP, a port into the headers that begin at `ip`, the checksums
// with them (nf_nat_ipv4_manip_pkt(), nf_csum_update(), udp_manip_pkt()).
bool rewrite(Skb& skb, std::uint8_t* ip, NfManip manip, Ip4 addr, std::uint16_t port) {
  const std::uint8_t proto = Ipv4View(ip).protocol();
  const auto thoff =
      static_cast<std::uint32_t>(static_cast<std::size_t>(ip - skb.data) + Ipv4View(ip).hlen());
  std::uint8_t* at = ip + (manip == NfManip::src ? 12 : 16);
  std::array<std::uint8_t, 4> old_addr{};
  std::memcpy(old_addr.data(), at, 4);
  store_be32(at, addr.host);
  const auto replaced = [](std::uint16_t check, Csum from, Csum to) {
    return csum_fold(csum_add(csum_add(~Csum{check}, ~from), to));
  };
  const Csum from_addr = csum_partial(old_addr, 0);
  const Csum to_addr = csum_partial({at, 4}, 0);
  store_be16(ip + 10, replaced(load_be16(ip + 10), from_addr, to_addr));
  if ((Ipv4View(ip).frag_off() & kIpOffset) != 0) return true;
  if (proto != kTcpProto && proto != kUdpProto) return true;  // an ICMP error has no id
  const std::uint32_t port_at = thoff + (manip == NfManip::src ? 0U : 2U);
  const std::uint32_t check_at =
      thoff + static_cast<std::uint32_t>(proto == kTcpProto ? 16 : kUdpCheckOffset);
  std::array<std::uint8_t, 2> old_port{};
  std::array<std::uint8_t, 2> new_port{};
  std::array<std::uint8_t, 2> check{};
  store_be16(new_port.data(), port);
  if (!skb_copy_bits(skb, port_at, old_port) || !skb_store_bits(skb, port_at, new_port) ||
      !skb_copy_bits(skb, check_at, check))
    return false;
  const std::uint16_t sum = load_be16(check.data());
  const bool partial = skb.ip_summed == IpSummed::partial;
  if (proto == kUdpProto && sum == 0 && !partial) return true;
  std::uint16_t now = 0;
  if (partial) {
    now =
        static_cast<std::uint16_t>(~csum_fold(csum_add(csum_add(Csum{sum}, ~from_addr), to_addr)));
  } else {
    now = replaced(sum, from_addr, to_addr);
    now = replaced(now, csum_partial(old_port, 0), csum_partial(new_port, 0));
    if (proto == kUdpProto && now == 0) now = kCsumMangled0;
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
  const Ip4 addr = manip == NfManip::src ? reply.dst : reply.src;
  nf_nat_setup_info(pkt, {.flags = kMapIps, .low = addr, .high = addr}, manip);
}

bool nf_nat_packet(NftPkt& pkt, NfManip manip) {
  const NfConn& ct = *pkt.skb.nfct;
  const bool reply = pkt.skb.ctinfo == CtInfo::established_reply;
  const bool by_source = (manip == NfManip::src) != reply;
  if ((ct.status.load() & (by_source ? kIpsSrcNat : kIpsDstNat)) == 0) return true;
  const NfTuple target = reply ? ct.original.inverted() : ct.reply.inverted();
  const Ip4 addr = manip == NfManip::src ? target.src : target.dst;
  const std::uint16_t port = manip == NfManip::src ? target.sport : target.dport;
  if (!rewrite(pkt.skb, pkt.skb.network(), manip, addr, port)) return false;
  if (pkt.skb.trace != nullptr)
    pkt.skb.trace->out(
        pkt.hooknum == NF_INET_LOCAL_OUT ? Stage::nf_local_out : Stage::nf_post_routing,
        manip == NfManip::src ? "snat" : "dnat", addr.str() + ":" + std::to_string(port));
  return true;
}

bool nf_nat_icmp_reply_translation(NftPkt& pkt, NfManip manip) {
  Skb& skb = pkt.skb;
  const NfConn& ct = *skb.nfct;
  const bool reply = skb.ctinfo == CtInfo::related_reply;
  const bool by_source = (manip == NfManip::src) != reply;
  if ((ct.status.load() & (by_source ? kIpsSrcNat : kIpsDstNat)) == 0) return true;
  std::uint8_t* const icmp = skb.network() + Ipv4View(skb.network()).hlen();
  std::uint8_t* const quoted = icmp + kIcmpHlen;
  constexpr std::size_t kPorts = 8;  // of a UDP header all
  if (quoted + kIpHlen > skb.tail || quoted + Ipv4View(quoted).hlen() + kPorts > skb.tail)
    return false;
  // The quotation went the other way, and its source is this packet's destination.
  const NfTuple& other = reply ? ct.original : ct.reply;
  const bool inner_dst = manip == NfManip::src;
  if (!rewrite(skb, quoted, inner_dst ? NfManip::dst : NfManip::src,
               inner_dst ? other.dst : other.src, inner_dst ? other.dport : other.sport))
    return false;
  if (skb.ip_summed != IpSummed::partial) {
    store_be16(icmp + 2, 0);
    store_be16(icmp + 2, csum_fold(csum_partial({icmp, skb.tail}, 0)));
  }
  return rewrite(skb, skb.network(), manip, manip == NfManip::src ? other.dst : other.src, 0);
}

}  // namespace txp
