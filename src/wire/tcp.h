// SPDX-License-Identifier: Apache-2.0
// The TCP header (RFC 9293) and the options of a SYN (RFC 9293, 7323, 2018).
#pragma once

#include <cstdint>
#include <optional>
#include <span>

#include "base/byteorder.h"

namespace txp {

inline constexpr std::uint8_t kIpProtoTcp = 6;
inline constexpr std::size_t kTcpHlen = 20;  // without options
inline constexpr std::size_t kTcpMaxHlen = 60;
inline constexpr std::size_t kTcpCheckOffset = 16;
inline constexpr std::uint8_t kTcpSyn = 0x02;
inline constexpr std::uint8_t kTcpAck = 0x10;
inline constexpr std::uint8_t kTcpEce = 0x40;
inline constexpr std::uint8_t kTcpCwr = 0x80;

inline constexpr std::uint8_t kTcpOptNop = 1;
inline constexpr std::uint8_t kTcpOptMss = 2;
inline constexpr std::uint8_t kTcpOptWindow = 3;
inline constexpr std::uint8_t kTcpOptSackPerm = 4;
inline constexpr std::uint8_t kTcpOptTimestamp = 8;

struct TcpHeader {
  std::uint16_t source = 0;
  std::uint16_t dest = 0;
  std::uint32_t seq = 0;
  std::uint32_t ack_seq = 0;
  std::uint8_t doff = 5;  // 32-bit words, options included
  std::uint8_t flags = 0;
  std::uint16_t window = 0;
  std::uint16_t check = 0;
  std::uint16_t urg_ptr = 0;

  std::size_t hlen() const { return std::size_t{doff} * 4; }

  // Empty unless `b` holds a whole header, options included.
  static std::optional<TcpHeader> parse(std::span<const std::uint8_t> b) {
    if (b.size() < kTcpHlen) return std::nullopt;
    TcpHeader h;
    h.source = load_be16(&b[0]);
    h.dest = load_be16(&b[2]);
    h.seq = load_be32(&b[4]);
    h.ack_seq = load_be32(&b[8]);
    h.doff = b[12] >> 4;
    h.flags = b[13];
    h.window = load_be16(&b[14]);
    h.check = load_be16(&b[16]);
    h.urg_ptr = load_be16(&b[18]);
    if (h.hlen() < kTcpHlen || b.size() < h.hlen()) return std::nullopt;
    return h;
  }
  // Writes the fixed 20 bytes; options stay as they are.
  void emit(std::uint8_t* to) const {
    store_be16(to, source);
    store_be16(to + 2, dest);
    store_be32(to + 4, seq);
    store_be32(to + 8, ack_seq);
    to[12] = static_cast<std::uint8_t>(doff << 4);
    to[13] = flags;
    store_be16(to + 14, window);
    store_be16(to + 16, check);
    store_be16(to + 18, urg_ptr);
  }
};

// What a SYN offers.
struct TcpSynOptions {
  std::uint16_t mss = 0;
  std::optional<std::uint8_t> wscale;  // window scaling, bits
  std::optional<std::uint32_t> tsval;  // timestamps; tsecr is zero in a SYN
  bool sack_perm = false;

  // Writes them in the order and with the padding of tcp_options_write(); answers the bytes, a
  // multiple of four, at most 20.
  std::size_t emit(std::uint8_t* to) const {
    std::uint8_t* p = to;
    const auto put = [&p](std::uint8_t byte) { *p++ = byte; };
    put(kTcpOptMss);
    put(4);
    store_be16(p, mss);
    p += 2;
    if (tsval) {
      put(sack_perm ? kTcpOptSackPerm : kTcpOptNop);
      put(sack_perm ? 2 : kTcpOptNop);
      put(kTcpOptTimestamp);
      put(10);
      store_be32(p, *tsval);
      store_be32(p + 4, 0);
      p += 8;
    } else if (sack_perm) {
      put(kTcpOptNop);
      put(kTcpOptNop);
      put(kTcpOptSackPerm);
      put(2);
    }
    if (wscale) {
      put(kTcpOptNop);
      put(kTcpOptWindow);
      put(3);
      put(*wscale);
    }
    return static_cast<std::size_t>(p - to);
  }
};

}  // namespace txp
