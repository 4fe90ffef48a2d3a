// SPDX-License-Identifier: Apache-2.0
// ARP for IPv4 over Ethernet (RFC 826).
#pragma once

#include <cstdint>
#include <cstring>
#include <optional>
#include <span>

#include "base/byteorder.h"
#include "wire/ip4.h"

namespace txp {

inline constexpr std::size_t kArpLen = 28;
inline constexpr std::uint16_t kArpRequest = 1;
inline constexpr std::uint16_t kArpReply = 2;

struct ArpPacket {
  std::uint16_t op = kArpRequest;
  MacAddr sha;
  Ip4 sip;
  MacAddr tha;
  Ip4 tip;

  // Empty unless hardware is Ethernet (or IEEE 802, which says the same) and protocol IPv4, with
  // 6- and 4-byte addresses.
  static std::optional<ArpPacket> parse(std::span<const std::uint8_t> b) {
    if (b.size() < kArpLen || (load_be16(&b[0]) != 1 && load_be16(&b[0]) != 6) ||
        load_be16(&b[2]) != 0x0800 || b[4] != 6 || b[5] != 4)
      return std::nullopt;
    ArpPacket a;
    a.op = load_be16(&b[6]);
    std::memcpy(a.sha.bytes, &b[8], 6);
    a.sip = Ip4{load_be32(&b[14])};
    std::memcpy(a.tha.bytes, &b[18], 6);
    a.tip = Ip4{load_be32(&b[24])};
    return a;
  }
  // `to` has kArpLen bytes.
  void emit(std::uint8_t* to) const {
    store_be16(to, 1);
    store_be16(to + 2, 0x0800);
    to[4] = 6;
    to[5] = 4;
    store_be16(to + 6, op);
    std::memcpy(to + 8, sha.bytes, 6);
    store_be32(to + 14, sip.host);
    std::memcpy(to + 18, tha.bytes, 6);
    store_be32(to + 24, tip.host);
  }
};

}  // namespace txp
