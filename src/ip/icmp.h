// SPDX-License-Identifier: Apache-2.0
// ICMP's types, and what icmp.cc and icmp_send.cc share. Kernel twin: include/uapi/linux/icmp.h.
#pragma once

#include <cstdint>

#include "skb/skb.h"

namespace txp {

inline constexpr std::uint8_t kIcmpEchoReply = 0;
inline constexpr std::uint8_t kIcmpDestUnreach = 3;
inline constexpr std::uint8_t kIcmpSourceQuench = 4;
inline constexpr std::uint8_t kIcmpRedirect = 5;
inline constexpr std::uint8_t kIcmpEcho = 8;
inline constexpr std::uint8_t kIcmpTimeExceeded = 11;
inline constexpr std::uint8_t kIcmpParameterProb = 12;
inline constexpr std::uint8_t kIcmpTimestamp = 13;
inline constexpr std::uint8_t kIcmpAddress = 17;
inline constexpr std::uint8_t kIcmpAddressReply = 18;
inline constexpr std::uint8_t kNrIcmpTypes = 18;
inline constexpr std::uint8_t kIcmpExtEcho = 42;  // RFC 8335; off by default

inline constexpr std::uint8_t kIcmpHostUnreach = 1;
inline constexpr std::uint8_t kIcmpProtUnreach = 2;
inline constexpr std::uint8_t kIcmpPortUnreach = 3;
inline constexpr std::uint8_t kIcmpFragNeeded = 4;
inline constexpr std::uint8_t kNrIcmpUnreach = 15;
inline constexpr std::uint8_t kIcmpExcFragtime = 1;

// icmp_pointers[type].error.
constexpr bool icmp_is_error(std::uint8_t type) {
  return type == kIcmpDestUnreach || type == kIcmpSourceQuench || type == kIcmpRedirect ||
         type == kIcmpTimeExceeded || type == kIcmpParameterProb;
}

// icmp_reply(): answers an echo request; its data at the ICMP header, checked.
void icmp_reply(Net& net, const Skb& request);

}  // namespace txp
