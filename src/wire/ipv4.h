// SPDX-License-Identifier: Apache-2.0
// The IPv4 header (RFC 791).
#pragma once

#include <cstdint>
#include <optional>
#include <span>

#include "base/byteorder.h"
#include "base/checksum.h"
#include "wire/ip4.h"

namespace txp {

inline constexpr std::size_t kIpHlen = 20;  // without options
inline constexpr std::size_t kIpMaxHlen = 60;
inline constexpr std::uint8_t kIpProtoIcmp = 1;
inline constexpr std::uint8_t kIpProtoUdp = 17;
inline constexpr std::uint16_t kIpDf = 0x4000;
inline constexpr std::uint16_t kIpMf = 0x2000;
inline constexpr std::uint16_t kIpOffset = 0x1fff;

struct Ipv4Header {
  std::uint8_t ihl = 5;  // 32-bit words
  std::uint8_t tos = 0;
  std::uint16_t tot_len = 0;  // bytes, header included
  std::uint16_t id = 0;
  std::uint16_t frag_off = 0;  // kIpDf | kIpMf | offset in 8-byte units
  std::uint8_t ttl = 0;
  std::uint8_t protocol = 0;
  std::uint16_t check = 0;
  Ip4 saddr;
  Ip4 daddr;

  std::size_t hlen() const { return std::size_t{ihl} * 4; }

  // Empty unless `b` holds a whole version-4 header, options included. tot_len is not judged.
  static std::optional<Ipv4Header> parse(std::span<const std::uint8_t> b) {
    if (b.size() < kIpHlen || (b[0] >> 4) != 4) return std::nullopt;
    Ipv4Header h;
    h.ihl = b[0] & 0xf;
    if (h.ihl < 5 || b.size() < h.hlen()) return std::nullopt;
    h.tos = b[1];
    h.tot_len = load_be16(&b[2]);
    h.id = load_be16(&b[4]);
    h.frag_off = load_be16(&b[6]);
    h.ttl = b[8];
    h.protocol = b[9];
    h.check = load_be16(&b[10]);
    h.saddr = Ip4{load_be32(&b[12])};
    h.daddr = Ip4{load_be32(&b[16])};
    return h;
  }
  // Writes the fixed 20 bytes; options stay as they are. Whole words, so that what is read next
  // need not wait for them to be put together from the store buffer.
  void emit(std::uint8_t* to) const {
    store_be32(to, (0x40U | ihl) << 24 | std::uint32_t{tos} << 16 | tot_len);
    store_be32(to + 4, std::uint32_t{id} << 16 | frag_off);
    store_be32(to + 8, std::uint32_t{ttl} << 24 | std::uint32_t{protocol} << 16 | check);
    store_be32(to + 12, saddr.host);
    store_be32(to + 16, daddr.host);
  }
};

// A checked view for changing single fields in place: the header at `p` is whole (parse() passed
// or the engine wrote it).
class Ipv4View {
 public:
  explicit Ipv4View(std::uint8_t* p) : p_(p) {}
  std::size_t hlen() const { return std::size_t{static_cast<std::uint8_t>(p_[0] & 0xf)} * 4; }
  std::uint8_t tos() const { return p_[1]; }
  std::uint16_t tot_len() const { return load_be16(p_ + 2); }
  std::uint16_t id() const { return load_be16(p_ + 4); }
  std::uint16_t frag_off() const { return load_be16(p_ + 6); }
  std::uint8_t ttl() const { return p_[8]; }
  std::uint8_t protocol() const { return p_[9]; }
  Ip4 saddr() const { return Ip4{load_be32(p_ + 12)}; }
  Ip4 daddr() const { return Ip4{load_be32(p_ + 16)}; }
  void set_tos(std::uint8_t v) { p_[1] = v; }
  void set_tot_len(std::uint16_t v) { store_be16(p_ + 2, v); }
  void set_id(std::uint16_t v) { store_be16(p_ + 4, v); }
  void set_check(std::uint16_t v) { store_be16(p_ + 10, v); }
  void set_frag_off(std::uint16_t v) { store_be16(p_ + 6, v); }
  std::uint8_t* options() { return p_ + kIpHlen; }
  // ip_send_check(): recomputes the header checksum.
  void send_check() {
    store_be16(p_ + 10, 0);
    store_be16(p_ + 10, ip_fast_csum({p_, hlen()}));
  }

 private:
  std::uint8_t* p_;
};

}  // namespace txp
