// SPDX-License-Identifier: Apache-2.0
// Control messages of a send. Kernel twins: net/ipv4/udp.c, udp_cmsg_send();
// net/ipv4/ip_sockglue.c, ip_cmsg_send(); net/core/sock.c, __sock_cmsg_send().
#pragma once

#include <cstdint>
#include <span>

#include "base/result.h"
#include "ip/ip.h"

namespace txp {

// Puts what `control` (a cmsghdr list in this machine's layout) says into `ipc`. Errors: EINVAL for
// a bad length, value or unknown type; EPERM without the capability.
[[nodiscard]] SockResult<void> udp_cmsg_send(const Sock& sk, std::span<const std::uint8_t> control,
                                             IpcmCookie& ipc);

}  // namespace txp
