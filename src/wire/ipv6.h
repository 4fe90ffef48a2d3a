// SPDX-License-Identifier: Apache-2.0
// The IPv6 header and its fragment header (RFC 8200), and the pseudo-header's sum.
#pragma once

#include <cstdint>
#include <optional>
#include <span>

#include "base/byteorder.h"
#include "base/checksum.h"
#include "wire/ip6.h"

namespace txp {

inline constexpr std::size_t kIpv6Hlen = 40;
inline constexpr std::size_t kFragHdrLen = 8;
inline constexpr std::uint32_t kIpv6MinMtu = 1280;
inline constexpr std::uint32_t kIpv6MaxPlen = 65535;
inline constexpr std::uint32_t kIp6MaxMtu = 0xffff + 40;

inline constexpr std::uint8_t kNexthdrHop = 0;
inline constexpr std::uint8_t kNexthdrRouting = 43;
inline constexpr std::uint8_t kNexthdrFragment = 44;
inline constexpr std::uint8_t kNexthdrAuth = 51;
inline constexpr std::uint8_t kNexthdrIcmpv6 = 58;
inline constexpr std::uint8_t kNexthdrNone = 59;
inline constexpr std::uint8_t kNexthdrDest = 60;

inline constexpr std::uint32_t kFlowinfoMask = 0x0fffffff;   // traffic class and label
inline constexpr std::uint32_t kFlowlabelMask = 0x000fffff;  // IPV6_FLOWLABEL_MASK
inline constexpr std::uint32_t kFlowlabelStateless = 0x00080000;
inline constexpr std::uint16_t kIp6Mf = 1;  // of the fragment header's offset field

constexpr std::uint8_t ip6_tclass(std::uint32_t flowinfo) {
  return static_cast<std::uint8_t>(flowinfo >> 20);
}
constexpr std::uint32_t ip6_make_flowinfo(unsigned tclass, std::uint32_t label) {
  return (tclass & 0xff) << 20 | (label & kFlowlabelMask);
}

struct Ipv6Header {
  std::uint8_t tclass = 0;
  std::uint32_t flowlabel = 0;    // 20 bits
  std::uint16_t payload_len = 0;  // bytes behind this header
  std::uint8_t nexthdr = 0;
  std::uint8_t hop_limit = 0;
  Ip6 saddr;
  Ip6 daddr;

  // Empty unless `b` holds a whole version-6 header. payload_len is not judged.
  static std::optional<Ipv6Header> parse(std::span<const std::uint8_t> b) {
    if (b.size() < kIpv6Hlen || (b[0] >> 4) != 6) return std::nullopt;
    const std::uint32_t first = load_be32(b.data());
    return Ipv6Header{static_cast<std::uint8_t>(first >> 20),
                      first & kFlowlabelMask,
                      load_be16(&b[4]),
                      b[6],
                      b[7],
                      Ip6::load(&b[8]),
                      Ip6::load(&b[24])};
  }
  // `to` has kIpv6Hlen bytes.
  void emit(std::uint8_t* to) const {
    store_be32(to, 6U << 28 | ip6_make_flowinfo(tclass, flowlabel));
    store_be16(to + 4, payload_len);
    to[6] = nexthdr;
    to[7] = hop_limit;
    saddr.store(to + 8);
    daddr.store(to + 24);
  }
};

// As Ipv4View: the header at `p` is whole.
class Ipv6View {
 public:
  explicit Ipv6View(std::uint8_t* p) : p_(p) {}
  std::uint32_t flowinfo() const { return load_be32(p_) & kFlowinfoMask; }
  std::uint8_t tclass() const { return ip6_tclass(flowinfo()); }
  std::uint16_t payload_len() const { return load_be16(p_ + 4); }
  std::uint8_t nexthdr() const { return p_[6]; }
  std::uint8_t hop_limit() const { return p_[7]; }
  Ip6 saddr() const { return Ip6::load(p_ + 8); }
  Ip6 daddr() const { return Ip6::load(p_ + 24); }
  void set_tclass(std::uint8_t v) {
    store_be32(p_, (load_be32(p_) & 0xf00fffffU) | std::uint32_t{v} << 20);
  }
  void set_payload_len(std::uint16_t v) { store_be16(p_ + 4, v); }
  void set_nexthdr(std::uint8_t v) { p_[6] = v; }
  void set_hop_limit(std::uint8_t v) { p_[7] = v; }

 private:
  std::uint8_t* p_;
};

struct FragHeader {
  std::uint8_t nexthdr = 0;
  std::uint16_t frag_off = 0;  // in bytes, its low bit kIp6Mf
  std::uint32_t id = 0;

  static std::optional<FragHeader> parse(std::span<const std::uint8_t> b) {
    if (b.size() < kFragHdrLen) return std::nullopt;
    return FragHeader{b[0], load_be16(&b[2]), load_be32(&b[4])};
  }
  void emit(std::uint8_t* to) const {
    to[0] = nexthdr;
    to[1] = 0;
    store_be16(to + 2, frag_off);
    store_be32(to + 4, id);
  }
};

// csum_ipv6_magic() before it is folded.
inline Csum csum_ipv6_nofold(const Ip6& saddr, const Ip6& daddr, std::uint32_t len,
                             std::uint8_t proto, Csum sum) {
  std::uint64_t s = std::uint64_t{sum} + (len >> 16) + (len & 0xffff) + proto;
  for (const std::uint64_t w : {saddr.hi, saddr.lo, daddr.hi, daddr.lo})
    s += (w >> 48) + (w >> 32 & 0xffff) + (w >> 16 & 0xffff) + (w & 0xffff);
  s = (s & 0xffffffff) + (s >> 32);
  return static_cast<Csum>((s & 0xffffffff) + (s >> 32));
}

}  // namespace txp
