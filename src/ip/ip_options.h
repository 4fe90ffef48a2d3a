// SPDX-License-Identifier: Apache-2.0
// What is done with IP options. Kernel twin: net/ipv4/ip_options.c.
#pragma once

#include <cstdint>
#include <expected>
#include <optional>
#include <span>

#include "base/result.h"
#include "wire/ip_options.h"

namespace txp {

class Net;
struct Skb;

// Options as a program gives them (IP_OPTIONS, IP_RETOPTS), checked, source route turned: EINVAL
// when they are malformed. `privileged`: CAP_NET_RAW, for source routes (EPERM) and unknown ones.
[[nodiscard]] SockResult<IpOptions> ip_options_get(Net& net, std::span<const std::uint8_t> bytes,
                                                   bool privileged);
// What getsockopt(IP_OPTIONS) shows: the bytes as they were given.
void ip_options_undo(IpOptions& opt);
// Writes `opt` behind the 20 bytes of `skb`'s IP header, which has room. `daddr`: the real
// destination of a source route.
void ip_options_build(Net& net, Skb& skb, const IpOptions& opt, Ip4 daddr);
// What later fragments must not repeat becomes no-operations.
void ip_options_fragment(Skb& skb);
// The options of a received packet, checked and filled in where this host is to write its address
// or time; skb.opt gets them. The error is where the malformed one lies, from the IP header.
[[nodiscard]] std::expected<void, std::uint8_t> ip_options_compile(Net& net, Skb& skb);
// Options for an answer to `skb`, which goes on with its records of addresses and times. Empty
// when it cannot be answered.
[[nodiscard]] std::optional<IpOptions> ip_options_echo(Net& net, const Skb& skb);
// inet_current_timestamp(): milliseconds since midnight UTC.
std::uint32_t inet_current_timestamp(const Net& net);

}  // namespace txp
