// SPDX-License-Identifier: Apache-2.0
// Socket options by level. Kernel twins: net/core/sock.c, net/ipv4/ip_sockglue.c, net/ipv4/udp.c.
#pragma once

#include <cstdint>
#include <span>

#include "base/result.h"
#include "socket/sock.h"

namespace txp {

// sk_set_prio_allowed(): whether `sk` may have `priority` (above 6 needs CAP_NET_ADMIN or RAW).
bool sk_set_prio_allowed(const Sock& sk, std::uint32_t priority);
// rt_tos2priority(): the priority that a TOS byte gives (RFC 1349 bits).
std::uint32_t rt_tos2priority(std::uint8_t tos);

// What sock_setsockopt() and sock_getsockopt() hand on, by level; sk.lock held. kUnknown: the
// option exists in Linux and changes what is sent, and the engine does not have it. ENOPROTOOPT: no
// such option.
[[nodiscard]] SockResult<void> ip_setsockopt(Sock& sk, int optname,
                                             std::span<const std::uint8_t> value);
[[nodiscard]] SockResult<int> ip_getsockopt(Sock& sk, int optname);
[[nodiscard]] SockResult<void> udp_setsockopt(Sock& sk, int optname,
                                              std::span<const std::uint8_t> value);
// A closing socket leaves its groups. Takes net.rtnl.
void ip_mc_drop_socket(Sock& sk);
[[nodiscard]] SockResult<int> udp_getsockopt(Sock& sk, int optname);

}  // namespace txp
