// SPDX-License-Identifier: Apache-2.0
#include "watch/flow.h"

#include <arpa/inet.h>
#include <fmt/format.h>

namespace txp {
namespace {

constexpr std::size_t kEth = 14;

std::uint16_t be16(std::span<const std::uint8_t> b, std::size_t at) {
  return static_cast<std::uint16_t>(b[at] << 8 | b[at + 1]);
}

std::string address(int family, const std::uint8_t* bytes) {
  char text[INET6_ADDRSTRLEN];
  return ::inet_ntop(family, bytes, text, sizeof text) != nullptr ? text : "?";
}

std::string proto_name(unsigned number) {
  switch (number) {
    case 1: return "icmp";
    case 2: return "igmp";
    case 6: return "tcp";
    case 17: return "udp";
    case 58: return "icmp6";
    default: return fmt::format("ip-proto-{}", number);
  }
}

void read_ports(WatchFlow& f, std::span<const std::uint8_t> b, std::size_t at) {
  if ((f.proto != "udp" && f.proto != "tcp") || f.fragment != 0 || b.size() < at + 4) return;
  f.sport = be16(b, at);
  f.dport = be16(b, at + 2);
}

}  // namespace

std::optional<WatchFlow> read_flow(std::span<const std::uint8_t> b) {
  if (b.size() < kEth + 1) return std::nullopt;
  WatchFlow f;
  const std::uint16_t type = be16(b, 12);
  if (type == 0x0800) {
    if (b.size() < kEth + 20) return std::nullopt;
    const std::size_t header = std::size_t{b[kEth] & 15U} * 4;
    f.proto = proto_name(b[kEth + 9]);
    f.src = address(AF_INET, &b[kEth + 12]);
    f.dst = address(AF_INET, &b[kEth + 16]);
    const std::uint16_t off = be16(b, kEth + 6);
    f.fragment = (off & 0x1fffU) * 8;
    f.more_fragments = (off & 0x2000) != 0;
    read_ports(f, b, kEth + header);
  } else if (type == 0x86dd) {
    if (b.size() < kEth + 40) return std::nullopt;
    f.proto = proto_name(b[kEth + 6]);
    f.src = address(AF_INET6, &b[kEth + 8]);
    f.dst = address(AF_INET6, &b[kEth + 24]);
    read_ports(f, b, kEth + 40);
  } else if (type == 0x0806) {
    if (b.size() < kEth + 28) return std::nullopt;
    f.proto = "arp";
    f.src = address(AF_INET, &b[kEth + 14]);
    f.dst = address(AF_INET, &b[kEth + 24]);
  } else {
    f.proto = fmt::format("ethertype-{:#06x}", type);
  }
  return f;
}

std::string flow_text(const WatchFlow& f) {
  const auto end = [](const std::string& address, std::optional<std::uint16_t> port) {
    if (!port) return address;
    return address.find(':') == std::string::npos ? fmt::format("{}:{}", address, *port)
                                                  : fmt::format("[{}]:{}", address, *port);
  };
  std::string text = f.proto;
  if (f.dst.empty())
    text += f.src.empty() ? "" : " " + end(f.src, f.sport);
  else
    text += fmt::format(" {} > {}", end(f.src, f.sport), end(f.dst, f.dport));
  if (f.fragment != 0 || f.more_fragments)
    text += fmt::format(" frag {}{}", f.fragment, f.more_fragments ? "+" : "");
  return text;
}

}  // namespace txp
