// SPDX-License-Identifier: Apache-2.0
// A question about one packet, and the words it is asked in:
//   udp [from ADDR[:PORT]] to ADDR:PORT [oif DEV] [mark N] [tos N] [uid N] [len BYTES | data FILE]
//       [ttl N] [df do|dont|want|probe] [gso SIZE] [broadcast]
//   tcp [from ADDR[:PORT]] to ADDR:PORT [oif DEV] [mark N] [tos N] [uid N] [ttl N]
//       [df do|dont|want|probe]
// In the manner of `ip`: words in any order, each at most once, numbers decimal or 0x.
#pragma once

#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"
#include "wire/ip4.h"
#include "wire/ip6.h"

namespace txp {

// udp: a datagram. tcp: the SYN of connect().
enum class FlowProto : std::uint8_t { udp, tcp };
std::string_view name(FlowProto proto);

// A socket's options and the packet's destination. What is not given stays as a new socket has
// it.
struct FlowQuestion {
  FlowProto proto = FlowProto::udp;
  std::optional<Ip4> from;      // bind() address; 0.0.0.0 binds the port alone
  std::uint16_t from_port = 0;  // 0: the kernel chooses
  Ip4 to;
  std::uint16_t to_port = 0;
  // Of an IPv6 datagram, instead; a scope ("fe80::2%eth0") names its device.
  std::optional<Ip6> from6;
  std::optional<Ip6> to6;
  std::string from_scope;
  std::string to_scope;
  std::string oif;                    // SO_BINDTODEVICE; "": not bound
  std::optional<std::uint32_t> mark;  // SO_MARK
  std::optional<std::uint8_t> tos;    // IP_TOS, IPV6_TCLASS
  std::optional<std::uint8_t> ttl;    // IP_TTL and IP_MULTICAST_TTL; IPV6_UNICAST_HOPS and its kin
  std::optional<int> df;              // IP_MTU_DISCOVER, IPV6_MTU_DISCOVER: IP_PMTUDISC_*
  std::optional<std::uint16_t> gso;   // UDP_SEGMENT, payload bytes a segment
  bool broadcast = false;             // SO_BROADCAST
  std::optional<std::uint32_t> uid;   // the socket's owner
  std::optional<std::size_t> len;     // payload bytes
  std::string data;                   // file with the payload; "": none
  bool established = false;  // of a connection that has seen an answer; else a first packet
};

// Payload bytes of a question that gives neither `len` nor `data`.
inline constexpr std::size_t kDefaultLen = 100;
// More than any UDP datagram: a send of more than 65507 bytes fails with EMSGSIZE, and is asked.
inline constexpr std::size_t kMaxLen = 1 << 20;

// Whether a command takes the words `len` and `data`.
enum class PayloadWords : bool { no, yes };

// Errors are sentences: "tos 300: a number from 0 to 255 is wanted".
[[nodiscard]] Result<FlowQuestion> parse_flow_question(std::span<const std::string> words,
                                                       PayloadWords payload,
                                                       FlowProto proto = FlowProto::udp);

// A whole number, decimal or 0x, at most `max`.
std::optional<std::uint64_t> parse_number(std::string_view text, std::uint64_t max);
// "10.0.0.1:53", "[2001:db8::1]:53", "[fe80::1%eth0]:53", "2001:db8::1".
struct AddrPort {
  Ip4 addr;
  std::optional<Ip6> addr6;
  std::string scope;
  std::optional<std::uint16_t> port;
};
[[nodiscard]] Result<AddrPort> parse_addr_port(std::string_view text);

}  // namespace txp
