// SPDX-License-Identifier: Apache-2.0
// ICMPv6's types, and what its files share. Kernel twins: include/uapi/linux/icmpv6.h,
// include/linux/icmpv6.h.
#pragma once

#include <cstdint>

#include "skb/skb.h"

namespace txp {

inline constexpr std::uint8_t kIcmpv6DestUnreach = 1;
inline constexpr std::uint8_t kIcmpv6PktToobig = 2;
inline constexpr std::uint8_t kIcmpv6TimeExceed = 3;
inline constexpr std::uint8_t kIcmpv6Paramprob = 4;
inline constexpr std::uint8_t kIcmpv6EchoRequest = 128;
inline constexpr std::uint8_t kIcmpv6EchoReply = 129;
inline constexpr std::uint8_t kIcmpv6InfomsgMask = 0x80;  // what is no error

inline constexpr std::uint8_t kIcmpv6Noroute = 0;
inline constexpr std::uint8_t kIcmpv6PortUnreach = 4;
inline constexpr std::uint8_t kIcmpv6ExcFragtime = 1;
inline constexpr std::uint8_t kIcmpv6HdrField = 0;
inline constexpr std::uint8_t kIcmpv6UnkNexthdr = 1;
inline constexpr std::uint8_t kIcmpv6HdrIncomp = 3;

// skb->data at the ICMPv6 header; the IPv6 header lies before it.
void icmpv6_rcv(Net& net, SkbPtr skb);
// An ICMPv6 error about what this host sent (or forwards to a socket of its own, on lo).
void icmp6_send(Net& net, const Skb& about, std::uint8_t type, std::uint8_t code,
                std::uint32_t info);
// Answers an echo request; its data at the ICMPv6 header, checked.
void icmpv6_echo_reply(Net& net, const Skb& request);

}  // namespace txp
