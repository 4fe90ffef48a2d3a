// SPDX-License-Identifier: Apache-2.0
// The Ethernet II header (IEEE 802.3, include/uapi/linux/if_ether.h).
#pragma once

#include <cstdint>
#include <cstring>
#include <optional>
#include <span>

#include "base/byteorder.h"
#include "wire/ip4.h"

namespace txp {

inline constexpr std::size_t kEthHlen = 14;
inline constexpr std::size_t kEthMacs = 12;  // both addresses
inline constexpr std::uint16_t kEthPIp = 0x0800;
inline constexpr std::uint16_t kEthPArp = 0x0806;
inline constexpr std::uint16_t kEthPIpv6 = 0x86dd;

struct EthernetHeader {
  MacAddr dest;
  MacAddr source;
  std::uint16_t proto = 0;

  static std::optional<EthernetHeader> parse(std::span<const std::uint8_t> b) {
    if (b.size() < kEthHlen) return std::nullopt;
    EthernetHeader h;
    std::memcpy(h.dest.bytes, b.data(), 6);
    std::memcpy(h.source.bytes, b.data() + 6, 6);
    h.proto = load_be16(b.data() + 12);
    return h;
  }
  // `to` has kEthHlen bytes.
  void emit(std::uint8_t* to) const {
    std::memcpy(to, dest.bytes, 6);
    std::memcpy(to + 6, source.bytes, 6);
    store_be16(to + 12, proto);
  }
};

}  // namespace txp
