// SPDX-License-Identifier: Apache-2.0
// What ip_append_data() and ip6_append_data() share: room in the send buffer, and payload into an
// skb. Kernel twins: net/core/sock.c, net/core/skbuff.c.
#pragma once

#include <cstdint>

#include "base/result.h"
#include "socket/sock.h"

namespace txp {

// LL_RESERVED_SPACE() of an Ethernet device: room for the hardware header, aligned to 16.
inline constexpr std::uint32_t kHhLen = 32;
inline constexpr std::uint32_t kKernelHhLen = 16;  // what the kernel would charge for

// sock_alloc_send_skb(): waits for nothing; a full buffer is EAGAIN with sk.nospace set, and
// sock_sendmsg() does the waiting. `charged` is what the kernel would allocate.
SockResult<SkbPtr> sock_alloc_send_skb(Net& net, Sock& sk, std::uint32_t size,
                                       std::uint32_t charged);
// The later parts of one datagram: up to twice the send buffer, then ENOBUFS.
SockResult<SkbPtr> alloc_later_part(Net& net, Sock& sk, std::uint32_t size, std::uint32_t charged);
// Copies payload to the end of what `skb` holds, summing it unless the driver will.
void take_payload(Skb& skb, IovReader& from, std::uint8_t* to, std::uint32_t n,
                  std::uint32_t offset);
// __sock_tx_timestamp()
std::uint8_t sock_tx_timestamp(std::uint32_t tsflags);

}  // namespace txp
