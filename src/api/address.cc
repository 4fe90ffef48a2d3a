// SPDX-License-Identifier: Apache-2.0
#include "txpath/address.h"

#include <fmt/format.h>

#include <charconv>

#include "base/errno.h"
#include "txpath/result.h"
#include "wire/ip4.h"

namespace txpath {

std::string_view Errno::name() const { return txp::Errno{code}.name(); }

std::optional<Ipv4Address> Ipv4Address::parse(std::string_view dotted_quad) {
  const auto ip = txp::Ip4::parse(dotted_quad);
  if (!ip) return std::nullopt;
  return Ipv4Address{ip->host};
}

std::string Ipv4Address::str() const { return txp::Ip4{host}.str(); }

std::optional<Endpoint> Endpoint::parse(std::string_view text) {
  const std::size_t colon = text.rfind(':');
  if (colon == std::string_view::npos) return std::nullopt;
  const auto address = Ipv4Address::parse(text.substr(0, colon));
  const std::string_view digits = text.substr(colon + 1);
  std::uint16_t port = 0;
  const auto [end, error] = std::from_chars(digits.data(), digits.data() + digits.size(), port);
  if (!address || error != std::errc() || end != digits.data() + digits.size()) return std::nullopt;
  return Endpoint{*address, port};
}

std::string Endpoint::str() const { return fmt::format("{}:{}", address.str(), port); }

}  // namespace txpath
