// SPDX-License-Identifier: Apache-2.0
// pcap-filter(7) over traced packets.
#pragma once

#include <cstdint>
#include <memory>
#include <span>
#include <string>

#include "base/result.h"

namespace txp {

struct TracedPacket;

// Thread safety: const calls from any thread.
class PacketFilter {
 public:
  // Errors: libpcap's words about the expression.
  [[nodiscard]] static Result<std::unique_ptr<PacketFilter>> compile(const std::string& text);
  ~PacketFilter();
  PacketFilter(const PacketFilter&) = delete;
  PacketFilter& operator=(const PacketFilter&) = delete;

  // Whether an Ethernet frame of `len` bytes, of which these were kept, matches.
  bool matches(std::span<const std::uint8_t> frame, std::size_t len) const;
  // The packet as it last was on the path, or, when it never was one, as it would have been: a
  // frame with the flow's addresses and ports.
  bool matches(const TracedPacket& packet) const;

 private:
  struct Program;
  explicit PacketFilter(std::unique_ptr<Program> program);
  std::unique_ptr<Program> program_;
};

}  // namespace txp
