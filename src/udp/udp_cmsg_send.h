// SPDX-License-Identifier: Apache-2.0
// Control messages of a send. Kernel twins: net/ipv4/udp.c, udp_cmsg_send();
// net/ipv4/ip_sockglue.c, ip_cmsg_send(); net/core/sock.c, __sock_cmsg_send().
#pragma once

#include <cstdint>
#include <span>

#include "base/result.h"
#include "ip/ip.h"
#include "socket/inet6_sock.h"

namespace txp {

// Puts what `control` (a cmsghdr list in this machine's layout) says into `ipc`. Errors: EINVAL for
// a bad length, value or unknown type; EPERM without the capability.
[[nodiscard]] SockResult<void> udp_cmsg_send(const Sock& sk, std::span<const std::uint8_t> control,
                                             IpcmCookie& ipc);

// Its pieces that IPv6 shares: __sock_cmsg_send() of one message at SOL_SOCKET, and one at SOL_UDP.
[[nodiscard]] SockResult<void> sock_cmsg_send(const Sock& sk, int type,
                                              std::span<const std::uint8_t> data,
                                              SockcmCookie& cookie);
[[nodiscard]] SockResult<void> udp_level_cmsg(int type, std::span<const std::uint8_t> data,
                                              std::uint16_t& gso_size);

// udp_cmsg_send() and ip6_datagram_send_ctl(): the same of an IPv6 datagram. What concerns the
// route goes into `fl6`, extension headers into `opt`.
[[nodiscard]] SockResult<void> udpv6_cmsg_send(const Sock& sk,
                                               std::span<const std::uint8_t> control, Flow6& fl6,
                                               Ipcm6Cookie& ipc6, Ipv6TxOptions& opt);

}  // namespace txp
