// SPDX-License-Identifier: Apache-2.0
// IPv4 addresses and UDP endpoints as values.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

namespace txpath {

// Host order: 10.0.0.1 is 0x0a000001.
struct Ipv4Address {
  std::uint32_t host = 0;
  static std::optional<Ipv4Address> parse(std::string_view dotted_quad);
  std::string str() const;
  friend constexpr bool operator==(Ipv4Address, Ipv4Address) = default;
};

struct Endpoint {
  Ipv4Address address;
  std::uint16_t port = 0;
  // "10.0.0.1:53".
  static std::optional<Endpoint> parse(std::string_view text);
  std::string str() const;
  friend constexpr bool operator==(const Endpoint&, const Endpoint&) = default;
};

}  // namespace txpath
