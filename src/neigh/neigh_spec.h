// SPDX-License-Identifier: Apache-2.0
// Neighbour states and a neighbour as a plain value (`ip neigh`).
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

#include "wire/ip4.h"
#include "wire/ip6.h"

namespace txp {

// NUD_* (include/uapi/linux/neighbour.h).
enum class Nud : std::uint8_t {
  none = 0,
  incomplete = 0x01,
  reachable = 0x02,
  stale = 0x04,
  delay = 0x08,
  probe = 0x10,
  failed = 0x20,
  noarp = 0x40,
  permanent = 0x80,
};
constexpr std::uint8_t bits(Nud n) { return static_cast<std::uint8_t>(n); }
constexpr bool nud_valid(Nud n) { return (bits(n) & 0xde) != 0; }      // NUD_VALID: has a lladdr
constexpr bool nud_connected(Nud n) { return (bits(n) & 0xc2) != 0; }  // NUD_CONNECTED
constexpr bool nud_in_timer(Nud n) { return (bits(n) & 0x1b) != 0; }   // NUD_IN_TIMER
std::string_view name(Nud n);                                          // "REACHABLE"

struct NeighSpec {
  int ifindex = 0;
  Ip4 dst;
  std::optional<Ip6> dst6{};  // an IPv6 neighbour: `dst` says nothing
  MacAddr lladdr;
  bool has_lladdr = false;
  Nud state = Nud::none;
  std::uint8_t flags = 0;  // NTF_*
  std::uint8_t protocol = 0;
  bool proxy = false;  // NTF_PROXY: an entry of `ip neigh show proxy`
  std::string dst_text() const { return dst6 ? dst6->str() : dst.str(); }
};

}  // namespace txp
