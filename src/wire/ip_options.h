// SPDX-License-Identifier: Apache-2.0
// IP options (RFC 791, 3.1; RFC 2113), and where they lie once compiled. Kernel twin:
// include/net/inet_sock.h, struct ip_options.
#pragma once

#include <array>
#include <cstdint>

#include "wire/ip4.h"

namespace txp {

inline constexpr std::size_t kMaxIpOptions = 40;  // bytes

inline constexpr std::uint8_t kIpOptEnd = 0;
inline constexpr std::uint8_t kIpOptNoop = 1;
inline constexpr std::uint8_t kIpOptRr = 7;
inline constexpr std::uint8_t kIpOptTimestamp = 68;
inline constexpr std::uint8_t kIpOptLsrr = 131;
inline constexpr std::uint8_t kIpOptCipso = 134;
inline constexpr std::uint8_t kIpOptSsrr = 137;
inline constexpr std::uint8_t kIpOptRa = 148;
inline constexpr std::uint8_t kIpOptCopied = 0x80;

// The low bits of a timestamp option's flags (IPOPT_TS_*).
inline constexpr std::uint8_t kIpOptTsOnly = 0;
inline constexpr std::uint8_t kIpOptTsAndAddr = 1;
inline constexpr std::uint8_t kIpOptTsPrespec = 3;

// The places count from the start of the IP header; 0: there is no such option.
struct IpOptionPlaces {
  std::uint8_t optlen = 0;  // bytes, a multiple of four
  std::uint8_t srr = 0;     // loose or strict source route
  std::uint8_t rr = 0;
  std::uint8_t ts = 0;
  std::uint8_t cipso = 0;
  bool is_strictroute : 1 = false;
  bool rr_needaddr : 1 = false;
  bool ts_needaddr : 1 = false;
  bool ts_needtime : 1 = false;
};

// Options outside a packet.
struct IpOptions : IpOptionPlaces {
  Ip4 faddr;  // a source route's first hop
  std::array<std::uint8_t, kMaxIpOptions> data{};
};

}  // namespace txp
