// SPDX-License-Identifier: Apache-2.0
// A frame's fields by name, for comparing, masking and printing. Reads and writes by itself,
// without the engine's wire/, so that a mistake there shows.
#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <vector>

namespace txp::kdiff {

using Bytes = std::vector<std::uint8_t>;

struct Field {
  std::string name;  // "ip.ttl"
  std::size_t offset;
  std::size_t len;
  std::string value;  // "64"
};
// In order, covering every byte.
std::vector<Field> fields(std::span<const std::uint8_t> frame);
// "udp 10.77.0.1:4000 > 10.1.2.3:53, 142 bytes"
std::string summary(std::span<const std::uint8_t> frame);

bool is_arp(std::span<const std::uint8_t> frame);

// Where a frame's IPv4 and UDP parts lie. A fragment but the first has no UDP header.
struct Ipv4Parts {
  static constexpr std::size_t ip = 14;
  std::size_t hlen = 0;
  std::size_t udp = 0;  // 0: none
  std::uint16_t id = 0;
  std::uint16_t frag_off = 0;  // with flags
  std::uint8_t proto = 0;
  std::uint16_t sport = 0;
  bool dont_fragment() const { return (frag_off & 0x4000) != 0; }
  std::size_t offset() const { return (frag_off & 0x1fffU) * 8U; }
  bool more() const { return (frag_off & 0x2000) != 0; }
};
std::optional<Ipv4Parts> ipv4_parts(std::span<const std::uint8_t> frame);

// The same of an IPv6 frame. `transport` is behind the extension headers.
struct Ipv6Parts {
  static constexpr std::size_t ip = 14;
  std::size_t transport = 0;
  std::size_t frag = 0;  // the fragment header; 0: none
  std::size_t udp = 0;   // 0: none
  std::uint8_t proto = 0;
  std::uint16_t sport = 0;
  std::uint16_t frag_off = 0;
  bool more() const { return (frag_off & 1) != 0; }
  std::size_t offset() const { return frag_off & 0xfff8U; }
};
std::optional<Ipv6Parts> ipv6_parts(std::span<const std::uint8_t> frame);
void set_udp_sport6(Bytes& frame, std::uint16_t port);

// Changes 16 bits and the checksums over them, incrementally (RFC 1624), so that a wrong checksum
// stays as wrong as it was. `ip` is where the IP header begins.
void set_ip_id(Bytes& frame, std::size_t ip, std::uint16_t id);
void set_16(Bytes& frame, std::size_t at, std::uint16_t value, std::size_t check_at);
std::uint16_t adjusted(std::uint16_t check, std::uint16_t from, std::uint16_t to);
void set_udp_sport(Bytes& frame, std::uint16_t port);

// Both dumps side by side, differing bytes marked with '!'.
std::string hexdumps(std::span<const std::uint8_t> left, std::span<const std::uint8_t> right,
                     const std::string& left_name, const std::string& right_name);

// An ICMP (over IPv6 an ICMPv6) message from the peer about `frame`, quoting as much as it may;
// empty when it is no UDP datagram's first or only fragment. `rest` is the second word of its
// header.
Bytes icmp_about(const Bytes& frame, std::uint8_t type, std::uint8_t code, std::uint32_t rest);

}  // namespace txp::kdiff
