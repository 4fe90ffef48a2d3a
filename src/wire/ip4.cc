// SPDX-License-Identifier: Apache-2.0
#include "wire/ip4.h"

#include <arpa/inet.h>
#include <fmt/format.h>

namespace txp {

std::string Ip4::str() const {
  return fmt::format("{}.{}.{}.{}", host >> 24, (host >> 16) & 0xff, (host >> 8) & 0xff,
                     host & 0xff);
}

std::optional<Ip4> Ip4::parse(std::string_view text) {
  in_addr a{};
  if (::inet_pton(AF_INET, std::string(text).c_str(), &a) != 1) return std::nullopt;
  return Ip4{ntohl(a.s_addr)};
}

std::string Prefix4::str() const {
  if (len == 0 && addr.is_zero()) return "default";
  if (len == 32) return addr.str();
  return fmt::format("{}/{}", addr.str(), len);
}

std::string MacAddr::str() const {
  return fmt::format("{:02x}:{:02x}:{:02x}:{:02x}:{:02x}:{:02x}", bytes[0], bytes[1], bytes[2],
                     bytes[3], bytes[4], bytes[5]);
}

std::optional<MacAddr> MacAddr::parse(std::string_view text) {
  MacAddr mac;
  if (text.size() != 17) return std::nullopt;
  auto digit = [](char c) {
    if (c >= '0' && c <= '9') return c - '0';
    if (c >= 'a' && c <= 'f') return c - 'a' + 10;
    if (c >= 'A' && c <= 'F') return c - 'A' + 10;
    return -1;
  };
  for (std::size_t i = 0; i < 6; ++i) {
    const int hi = digit(text[i * 3]);
    const int lo = digit(text[i * 3 + 1]);
    if (hi < 0 || lo < 0 || (i < 5 && text[i * 3 + 2] != ':')) return std::nullopt;
    mac.bytes[i] = static_cast<std::uint8_t>(hi * 16 + lo);
  }
  return mac;
}

}  // namespace txp
