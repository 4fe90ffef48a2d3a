// SPDX-License-Identifier: Apache-2.0
// An IPv4 address and a prefix, as values.
#pragma once

#include <compare>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

namespace txp {

// In host order: 10.0.0.1 is 0x0a000001.
struct Ip4 {
  std::uint32_t host = 0;
  friend constexpr auto operator<=>(Ip4, Ip4) = default;

  constexpr bool is_zero() const { return host == 0; }                           // INADDR_ANY
  constexpr bool is_loopback() const { return (host >> 24) == 127; }             // 127/8
  constexpr bool is_multicast() const { return (host >> 28) == 0xe; }            // 224/4
  constexpr bool is_local_multicast() const { return (host >> 8) == 0xe00000; }  // 224.0.0/24
  constexpr bool is_lbcast() const { return host == 0xffffffff; }                // 255.255.255.255
  constexpr bool is_zeronet() const { return host == 0; }  // no longer 0/8 (ipv4_is_zeronet())
  constexpr bool is_linklocal_169() const { return (host >> 16) == 0xa9fe; }  // 169.254/16

  std::string str() const;
  static std::optional<Ip4> parse(std::string_view text);  // dotted quad only
};

constexpr std::uint32_t inet_make_mask(unsigned len) { return len == 0 ? 0 : ~0U << (32 - len); }

struct Prefix4 {
  Ip4 addr;
  std::uint8_t len = 0;
  friend constexpr auto operator<=>(const Prefix4&, const Prefix4&) = default;
  constexpr bool contains(Ip4 a) const { return ((a.host ^ addr.host) & inet_make_mask(len)) == 0; }
  // As `ip` prints it: "default", "10.0.0.0/8", and a host without its "/32".
  std::string str() const;
};

struct MacAddr {
  std::uint8_t bytes[6] = {};
  friend constexpr auto operator<=>(const MacAddr&, const MacAddr&) = default;
  std::string str() const;
  static std::optional<MacAddr> parse(std::string_view text);
  static constexpr MacAddr broadcast() { return {{0xff, 0xff, 0xff, 0xff, 0xff, 0xff}}; }
};

// RFC 1112, 6.4 (ip_eth_mc_map()).
constexpr MacAddr ip_eth_mc_map(Ip4 group) {
  return {{0x01, 0x00, 0x5e, static_cast<std::uint8_t>((group.host >> 16) & 0x7f),
           static_cast<std::uint8_t>(group.host >> 8), static_cast<std::uint8_t>(group.host)}};
}

}  // namespace txp
