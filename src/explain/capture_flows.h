// SPDX-License-Identifier: Apache-2.0
// The packets of a capture file as questions: what would this host do with each of them, had one of
// its programs sent it? Reads what libpcap reads (pcap, pcapng).
#pragma once

#include <cstdint>
#include <expected>
#include <functional>
#include <map>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"
#include "explain/flow_question.h"

namespace txp {

// One packet. The socket is bound to the packet's source and has its TTL and TOS; a packet with DF
// came from a socket with path MTU discovery, one without from a socket without.
struct CapturedFlow {
  FlowQuestion question;
  std::vector<std::uint8_t> payload;  // of UDP
  std::string unknown;                // not empty: why it cannot be asked
};

// Reads one captured packet; `link_type` is libpcap's DLT_*, `len` its bytes on the wire. The error
// says what kind of packet is passed over ("not IPv4", "a fragment").
std::expected<CapturedFlow, std::string_view> captured_flow(int link_type,
                                                            std::span<const std::uint8_t> bytes,
                                                            std::size_t len);
// Whether captured_flow() knows the link layer.
bool knows_link_type(int link_type);

// How many packets were passed over, by what they were.
using PassedOver = std::map<std::string_view, std::uint64_t>;

// Calls `ask` with every UDP and TCP packet of a capture, in its order; "-" is standard input. Ends
// early when `ask` answers false. Errors: the file cannot be read, is no capture, or its link layer
// is not known.
[[nodiscard]] Result<PassedOver> read_capture(const std::string& path,
                                              const std::function<bool(CapturedFlow&&)>& ask);

}  // namespace txp
