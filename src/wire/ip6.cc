// SPDX-License-Identifier: Apache-2.0
#include "wire/ip6.h"

#include <arpa/inet.h>
#include <fmt/format.h>

namespace txp {

std::string Ip6::str() const {
  std::uint8_t bytes[16];
  store(bytes);
  char text[INET6_ADDRSTRLEN] = {};
  return ::inet_ntop(AF_INET6, bytes, text, sizeof text) != nullptr ? text : "";
}

std::optional<Ip6> Ip6::parse(std::string_view text) {
  std::uint8_t bytes[16];
  if (::inet_pton(AF_INET6, std::string(text).c_str(), bytes) != 1) return std::nullopt;
  return load(bytes);
}

std::string Prefix6::str() const {
  if (len == 0 && addr.is_any()) return "default";
  if (len == 128) return addr.str();
  return fmt::format("{}/{}", addr.str(), len);
}

}  // namespace txp
