// SPDX-License-Identifier: Apache-2.0
// An IPv6 address and a prefix, as values, and what an address is (include/net/ipv6.h).
#pragma once

#include <bit>
#include <compare>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

#include "base/byteorder.h"
#include "wire/ip4.h"

namespace txp {

// IPV6_ADDR_SCOPE_*.
inline constexpr int kIpv6ScopeInvalid = -1;
inline constexpr int kIpv6ScopeNodelocal = 1;
inline constexpr int kIpv6ScopeLinklocal = 2;
inline constexpr int kIpv6ScopeSitelocal = 5;
inline constexpr int kIpv6ScopeGlobal = 14;

// IPV6_ADDR_*: what ipv6_addr_type() tells.
inline constexpr std::uint16_t kIpv6AddrAny = 0;
inline constexpr std::uint16_t kIpv6AddrUnicast = 1;
inline constexpr std::uint16_t kIpv6AddrMulticast = 2;
inline constexpr std::uint16_t kIpv6AddrLoopback = 0x10;
inline constexpr std::uint16_t kIpv6AddrLinklocal = 0x20;
inline constexpr std::uint16_t kIpv6AddrSitelocal = 0x40;
inline constexpr std::uint16_t kIpv6AddrCompatv4 = 0x80;
inline constexpr std::uint16_t kIpv6AddrMapped = 0x1000;

struct Ip6Type {
  std::uint16_t type = kIpv6AddrAny;
  int scope = kIpv6ScopeInvalid;  // __ipv6_addr_src_scope()
  bool is(std::uint16_t bit) const { return (type & bit) != 0; }
  // __ipv6_addr_needs_scope_id()
  bool needs_scope_id() const {
    return is(kIpv6AddrLinklocal) ||
           (is(kIpv6AddrMulticast) && (scope == kIpv6ScopeNodelocal || is_linklocal_mc()));
  }
  bool is_linklocal_mc() const { return is(kIpv6AddrMulticast) && scope == kIpv6ScopeLinklocal; }
};

// In host order: the first eight bytes, then the last.
struct Ip6 {
  std::uint64_t hi = 0;
  std::uint64_t lo = 0;
  friend constexpr auto operator<=>(const Ip6&, const Ip6&) = default;

  constexpr bool is_any() const { return hi == 0 && lo == 0; }
  constexpr bool is_loopback() const { return hi == 0 && lo == 1; }
  constexpr bool is_multicast() const { return (hi >> 56) == 0xff; }
  constexpr bool is_linklocal() const { return (hi >> 54) == 0x3fa; }  // fe80::/10
  constexpr bool is_v4mapped() const { return hi == 0 && (lo >> 32) == 0xffff; }
  constexpr Ip4 v4() const { return Ip4{static_cast<std::uint32_t>(lo)}; }  // of a mapped one
  constexpr int mc_scope() const { return static_cast<int>((hi >> 48) & 0xf); }
  // rt6_need_strict()
  constexpr bool need_strict() const { return is_multicast() || is_linklocal() || is_loopback(); }

  // ipv6_addr_type() and __ipv6_addr_src_scope()
  constexpr Ip6Type type() const {
    const auto first = static_cast<std::uint32_t>(hi >> 61);
    if (first != 0 && first != 7) return {kIpv6AddrUnicast, kIpv6ScopeGlobal};
    if (is_multicast()) return {kIpv6AddrMulticast, mc_scope()};
    if (is_linklocal()) return {kIpv6AddrLinklocal | kIpv6AddrUnicast, kIpv6ScopeLinklocal};
    if ((hi >> 54) == 0x3fb) return {kIpv6AddrSitelocal | kIpv6AddrUnicast, kIpv6ScopeSitelocal};
    if (hi == 0 && (lo >> 32) == 0) {
      if (lo == 0) return {};
      if (lo == 1) return {kIpv6AddrLoopback | kIpv6AddrUnicast, kIpv6ScopeLinklocal};
      return {kIpv6AddrCompatv4 | kIpv6AddrUnicast, kIpv6ScopeGlobal};
    }
    if (is_v4mapped()) return {kIpv6AddrMapped, kIpv6ScopeGlobal};
    return {kIpv6AddrUnicast, kIpv6ScopeGlobal};
  }

  static constexpr Ip6 mapped(Ip4 a) { return {0, std::uint64_t{0xffff} << 32 | a.host}; }
  static constexpr Ip6 loopback() { return {0, 1}; }
  static Ip6 load(const std::uint8_t* p) { return {load_be64(p), load_be64(p + 8)}; }
  void store(std::uint8_t* p) const {
    store_be64(p, hi);
    store_be64(p + 8, lo);
  }
  std::string str() const;  // as inet_ntop() writes it
  static std::optional<Ip6> parse(std::string_view text);
};

// The mask of `len` leading ones.
constexpr Ip6 ip6_mask(unsigned len) {
  if (len == 0) return {};
  if (len <= 64) return {~std::uint64_t{0} << (64 - len), 0};
  return {~std::uint64_t{0}, len >= 128 ? ~std::uint64_t{0} : ~(~std::uint64_t{0} >> (len - 64))};
}

// ipv6_addr_diff(): how many leading bits are equal.
constexpr int ip6_common_bits(const Ip6& a, const Ip6& b) {
  if (a.hi != b.hi) return std::countl_zero(a.hi ^ b.hi);
  return 64 + std::countl_zero(a.lo ^ b.lo);
}

struct Prefix6 {
  Ip6 addr;
  std::uint8_t len = 0;
  friend constexpr auto operator<=>(const Prefix6&, const Prefix6&) = default;
  constexpr bool contains(const Ip6& a) const {
    const Ip6 m = ip6_mask(len);
    return ((a.hi ^ addr.hi) & m.hi) == 0 && ((a.lo ^ addr.lo) & m.lo) == 0;
  }
  // As `ip -6` prints it: "default", "2001:db8::/32", and a host without its "/128".
  std::string str() const;
};

// RFC 2464, 7 (ipv6_eth_mc_map()).
constexpr MacAddr ipv6_eth_mc_map(const Ip6& group) {
  return {{0x33, 0x33, static_cast<std::uint8_t>(group.lo >> 24),
           static_cast<std::uint8_t>(group.lo >> 16), static_cast<std::uint8_t>(group.lo >> 8),
           static_cast<std::uint8_t>(group.lo)}};
}
// RFC 4291, 2.7.1 (addrconf_addr_solict_mult()).
constexpr Ip6 solicited_node_group(const Ip6& addr) {
  return {0xff02000000000000ULL, 0x1ff000000ULL | (addr.lo & 0xffffff)};
}

}  // namespace txp
