// SPDX-License-Identifier: Apache-2.0
// payload: bytes of the packet into a register, or a register into the packet, its checksums kept
// right.
// Kernel twin: net/netfilter/nft_payload.c. Differs: no VLAN tag beside the packet, no SCTP
// checksum (a rule that asks for one is unknown), the inner header only of UDP, TCP and IPIP.
#include "netfilter/nft_payload.h"

#include <fmt/format.h>
#include <linux/in.h>
#include <linux/netfilter.h>
#include <linux/netfilter/nf_tables.h>
#include <algorithm>
#include <bit>

#include "base/byteorder.h"
#include "base/checksum.h"
#include "dev/netdevice.h"
#include "netfilter/registry.h"
#include "wire/ethernet.h"
#include "wire/ipv4.h"
#include "wire/ipv6.h"
#include "wire/udp.h"

namespace txp {
namespace {

constexpr std::uint32_t kInnerHeader = 3;  // NFT_PAYLOAD_INNER_HEADER

// Where a header begins, from skb.data. Nothing: the packet has none.
std::optional<std::uint32_t> payload_base(const NftPkt& pkt, std::uint8_t base) {
  switch (base) {
    case NFT_PAYLOAD_LL_HEADER: {
      const Skb& skb = pkt.skb;
      // Set, and not empty: only once the link header is there.
      const bool set = skb.mac_header != 0 || pkt.pf == NFPROTO_NETDEV;
      if (!set || skb.network_header <= skb.mac_header || skb.mac() < skb.data) return std::nullopt;
      return static_cast<std::uint32_t>(skb.mac() - skb.data);
    }
    case NFT_PAYLOAD_NETWORK_HEADER: return pkt.network_offset();
    case NFT_PAYLOAD_TRANSPORT_HEADER:
      if (!pkt.l4proto || pkt.fragoff != 0) return std::nullopt;
      return pkt.thoff;
    case kInnerHeader: {
      if (!pkt.l4proto || pkt.fragoff != 0) return std::nullopt;
      if (pkt.tprot == IPPROTO_UDP) return pkt.thoff + static_cast<std::uint32_t>(kUdpHlen);
      if (pkt.tprot == IPPROTO_IPIP) return pkt.thoff;
      if (pkt.tprot != IPPROTO_TCP) return std::nullopt;
      std::array<std::uint8_t, 20> th{};
      if (!skb_copy_bits(pkt.skb, pkt.thoff, th)) return std::nullopt;
      return pkt.thoff + (th[12] >> 4) * 4U;
    }
    default: return std::nullopt;
  }
}

std::string_view base_name(std::uint8_t base) {
  switch (base) {
    case NFT_PAYLOAD_LL_HEADER: return "link";
    case NFT_PAYLOAD_NETWORK_HEADER: return "network";
    case NFT_PAYLOAD_TRANSPORT_HEADER: return "transport";
    default: return "inner";
  }
}

class NftPayloadSet final : public NfExpr {
 public:
  struct Spec {
    std::uint16_t offset = 0;
    std::uint8_t base = 0;
    std::uint8_t len = 0;
    std::uint8_t sreg = 0;
    bool inet_csum = false;
    std::uint8_t csum_offset = 0;
    bool pseudo_header = false;
  };
  explicit NftPayloadSet(const Spec& s) : s_(s) {}

  void eval(NftRegs& regs, NftPkt& pkt) const override {
    if (!write({regs.bytes(s_.sreg), s_.len}, pkt)) regs.no_match();
  }
  // What is written beyond the flow's own fields is this packet's.
  NftDepends depends() const override {
    return NftPayload(s_.base, s_.offset, s_.len, s_.sreg).depends();
  }
  std::string words(const NftRegs& regs) const override {
    return fmt::format("payload write {} => {} header + {}", nft_hex({regs.bytes(s_.sreg), s_.len}),
                       base_name(s_.base), s_.offset);
  }

 private:
  bool write(Bytes value, NftPkt& pkt) const {
    Skb& skb = pkt.skb;
    const auto base = payload_base(pkt, s_.base);
    if (!base) return false;
    if (s_.base == NFT_PAYLOAD_TRANSPORT_HEADER || s_.base == kInnerHeader) nft_leave_checksum(pkt);
    const std::uint32_t at = *base + s_.offset;
    const bool above_ip = s_.base == NFT_PAYLOAD_TRANSPORT_HEADER || s_.base == kInnerHeader;
    if ((s_.inet_csum || s_.pseudo_header) && (!above_ip || skb.ip_summed != IpSummed::partial)) {
      std::array<std::uint8_t, 64> old{};
      if (at + s_.len > skb.len || !skb_copy_bits(skb, at, {old.data(), s_.len})) return false;
      const Csum from = csum_partial({old.data(), s_.len}, 0);
      const Csum to = csum_partial(value, 0);
      if (s_.inet_csum && !update(skb, *base + s_.csum_offset, from, to)) return false;
      if (s_.pseudo_header && !update_l4(pkt, from, to)) return false;
    }
    return skb_store_bits(skb, at, value);
  }

  // nft_csum_replace()
  static std::uint16_t replaced(std::uint16_t sum, Csum from, Csum to) {
    const std::uint16_t v = csum_fold(csum_add(csum_add(~Csum{sum}, ~from), to));
    return v == 0 ? kCsumMangled0 : v;
  }
  static bool update(Skb& skb, std::uint32_t at, Csum from, Csum to) {
    std::array<std::uint8_t, 2> sum{};
    if (!skb_copy_bits(skb, at, sum)) return false;
    store_be16(sum.data(), replaced(load_be16(sum.data()), from, to));
    return skb_store_bits(skb, at, sum);
  }
  // nft_payload_l4csum_update(): the pseudo header changed.
  static bool update_l4(NftPkt& pkt, Csum from, Csum to) {
    if (pkt.fragoff != 0) return true;
    std::uint32_t at = pkt.thoff;
    if (pkt.tprot == IPPROTO_UDP || pkt.tprot == IPPROTO_UDPLITE)
      at += static_cast<std::uint32_t>(kUdpCheckOffset);
    else if (pkt.tprot == IPPROTO_TCP)
      at += 16;
    else
      return true;
    std::array<std::uint8_t, 2> sum{};
    if (!skb_copy_bits(pkt.skb, at, sum)) return pkt.tprot == IPPROTO_UDP;
    const std::uint16_t old = load_be16(sum.data());
    if (pkt.tprot == IPPROTO_UDP && old == 0) return true;  // it has none
    if (pkt.skb.ip_summed != IpSummed::partial)
      store_be16(sum.data(), replaced(old, from, to));
    else
      store_be16(sum.data(),
                 static_cast<std::uint16_t>(~csum_fold(csum_add(csum_add(Csum{old}, ~from), to))));
    return skb_store_bits(pkt.skb, at, sum);
  }

  Spec s_;
};

}  // namespace

void nft_leave_checksum(const NftPkt& pkt) {
  Skb& skb = pkt.skb;
  if (skb.ip_summed == IpSummed::partial || !skb.csum_for_device || pkt.tprot != IPPROTO_UDP)
    return;
  skb.csum_for_device = false;  // done: it may be completed again
  std::uint8_t* uh = skb.data + pkt.thoff;
  const auto h = UdpHeader::parse({uh, skb.tail});
  if (!h || h->check == 0) return;
  skb.ip_summed = IpSummed::partial;
  skb.csum_start = static_cast<std::uint16_t>(uh - skb.head);
  skb.csum_offset = kUdpCheckOffset;
  Csum sum = 0;
  if (skb.protocol == kEthPIpv6) {
    const Ipv6View ip(skb.network());
    sum = csum_ipv6_nofold(ip.saddr(), ip.daddr(), h->len, IPPROTO_UDP, 0);
  } else {
    const Ipv4View ip(skb.network());
    sum = csum_tcpudp_nofold(ip.saddr().host, ip.daddr().host, h->len, IPPROTO_UDP, 0);
  }
  store_be16(uh + kUdpCheckOffset, static_cast<std::uint16_t>(~csum_fold(sum)));
}

NftPayload::NftPayload(std::uint8_t base, std::uint16_t offset, std::uint8_t len, std::uint8_t dreg)
    : offset_(offset), base_(base), len_(len), dreg_(dreg) {
  if (len <= 4 && std::has_single_bit(len) && offset % len == 0 && base != NFT_PAYLOAD_LL_HEADER &&
      base != kInnerHeader)
    fast = NftFast::payload;
}

void NftPayload::eval(NftRegs& regs, NftPkt& pkt) const {
  if (fast == NftFast::payload && eval_fast(regs, pkt)) return;
  if (len_ % 4 != 0) regs.data[dreg_ + len_ / 4U] = 0;
  const auto base = payload_base(pkt, base_);
  std::array<std::uint8_t, 64> bytes{};
  if (!base || !skb_copy_bits(pkt.skb, *base + offset_, {bytes.data(), len_}))
    return regs.no_match();
  regs.store(dreg_, {bytes.data(), len_});
}

// Addresses, ports, tos, ttl and protocol are a flow's; lengths, ids, checksums and what is inside
// are the packet's.
NftDepends NftPayload::depends() const {
  const unsigned end = offset_ + unsigned{len_};
  if (base_ == NFT_PAYLOAD_LL_HEADER) return NftDepends::flow;
  if (base_ == NFT_PAYLOAD_NETWORK_HEADER) {
    const bool tos = end <= 2;
    const bool ttl_protocol = offset_ >= 8 && end <= 10;
    const bool addresses = offset_ >= 12 && end <= 20;
    return tos || ttl_protocol || addresses ? NftDepends::flow : NftDepends::packet;
  }
  if (base_ == NFT_PAYLOAD_TRANSPORT_HEADER && end <= 4) return NftDepends::flow;
  return NftDepends::packet;
}

std::string NftPayload::words(const NftRegs& regs) const {
  struct Field {
    std::uint8_t base;
    std::uint16_t offset;
    std::uint8_t len;
    std::string_view name;
  };
  static constexpr auto kFields =
      std::to_array<Field>({{NFT_PAYLOAD_NETWORK_HEADER, 1, 1, "ip tos"},
                            {NFT_PAYLOAD_NETWORK_HEADER, 2, 2, "ip length"},
                            {NFT_PAYLOAD_NETWORK_HEADER, 4, 2, "ip id"},
                            {NFT_PAYLOAD_NETWORK_HEADER, 6, 2, "ip frag-off"},
                            {NFT_PAYLOAD_NETWORK_HEADER, 8, 1, "ip ttl"},
                            {NFT_PAYLOAD_NETWORK_HEADER, 9, 1, "ip protocol"},
                            {NFT_PAYLOAD_NETWORK_HEADER, 12, 4, "ip saddr"},
                            {NFT_PAYLOAD_NETWORK_HEADER, 16, 4, "ip daddr"},
                            {NFT_PAYLOAD_TRANSPORT_HEADER, 0, 2, "sport"},
                            {NFT_PAYLOAD_TRANSPORT_HEADER, 2, 2, "dport"}});
  const std::uint8_t* v = regs.bytes(dreg_);
  for (const Field& f : kFields) {
    if (f.base != base_ || f.offset != offset_ || f.len != len_) continue;
    const std::string value = len_ == 4   ? Ip4{load_be32(v)}.str()
                              : len_ == 2 ? std::to_string(load_be16(v))
                                          : std::to_string(*v);
    return fmt::format("payload load {}: {} ({})", f.name, value, nft_hex({v, len_}));
  }
  return fmt::format("payload load {} header + {}: {}", base_name(base_), offset_,
                     nft_hex({v, len_}));
}

Result<void> make_nft_payload(NftCompiler& c, Bytes data) {
  constexpr unsigned kMax = std::max<unsigned>(NFTA_PAYLOAD_MAX, 8);
  Attrs<kMax> a(data, "payload");
  const std::uint32_t base = a.be32(NFTA_PAYLOAD_BASE).value_or(99);
  const std::uint32_t offset = a.be32(NFTA_PAYLOAD_OFFSET).value_or(0xfffff);
  const std::uint32_t len = a.be32(NFTA_PAYLOAD_LEN).value_or(0);
  if (base > kInnerHeader) return fail("payload: no such header");
  if (len == 0 || len > 64 || offset > 0xffff) return fail("payload: a wrong place");
  const auto u8 = [](std::uint32_t v) { return static_cast<std::uint8_t>(v); };
  if (!a.has(NFTA_PAYLOAD_SREG)) {
    const auto dreg = nft_register(a.be32(NFTA_PAYLOAD_DREG), len);
    if (!dreg) return std::unexpected(dreg.error());
    c.emplace<NftPayload>(u8(base), static_cast<std::uint16_t>(offset), u8(len), *dreg);
    return {};
  }
  const auto sreg = nft_register(a.be32(NFTA_PAYLOAD_SREG), len);
  if (!sreg) return std::unexpected(sreg.error());
  const std::uint32_t csum_type = a.be32(NFTA_PAYLOAD_CSUM_TYPE).value_or(NFT_PAYLOAD_CSUM_NONE);
  const std::uint32_t csum_offset = a.be32(NFTA_PAYLOAD_CSUM_OFFSET).value_or(0);
  const std::uint32_t csum_flags = a.be32(NFTA_PAYLOAD_CSUM_FLAGS).value_or(0);
  if (csum_type > NFT_PAYLOAD_CSUM_INET || csum_offset > 255 ||
      (csum_flags & ~std::uint32_t{NFT_PAYLOAD_L4CSUM_PSEUDOHDR}) != 0)
    return fail("payload: a checksum of another kind");
  c.emplace<NftPayloadSet>(NftPayloadSet::Spec{.offset = static_cast<std::uint16_t>(offset),
                                               .base = u8(base),
                                               .len = u8(len),
                                               .sreg = *sreg,
                                               .inet_csum = csum_type == NFT_PAYLOAD_CSUM_INET,
                                               .csum_offset = u8(csum_offset),
                                               .pseudo_header = csum_flags != 0});
  return {};
}

}  // namespace txp
