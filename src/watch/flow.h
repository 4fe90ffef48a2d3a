// SPDX-License-Identifier: Apache-2.0
// Whose packet it is, read from an event's first bytes.
#pragma once

#include <cstdint>
#include <optional>
#include <span>
#include <string>

namespace txp {

struct WatchFlow {
  std::string proto;  // "udp", "tcp", "icmp", "arp", "ip-proto-47", "ethertype-0x88cc"
  std::string src, dst;
  std::optional<std::uint16_t> sport, dport;  // nothing: none, or a later fragment
  std::uint32_t fragment = 0;                 // its offset in bytes
  bool more_fragments = false;
};

// `frame`: from the Ethernet header on, possibly cut. Nothing where it is too short.
std::optional<WatchFlow> read_flow(std::span<const std::uint8_t> frame);

// "udp 10.77.0.1:4000 > 10.77.0.2:53"
std::string flow_text(const WatchFlow& flow);

}  // namespace txp
