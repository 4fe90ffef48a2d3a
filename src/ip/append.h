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

// What the kernel allocates in one piece for a new part: more than it holds where a device that
// gathers nothing may get more, less where the rest lies in pages, which are charged as they fill.
struct PartRoom {
  std::uint32_t linear = 0;
  std::uint32_t paged = 0;
};
struct PartSize {
  std::uint32_t mtu;
  std::uint32_t fraglen;
  std::uint32_t headers;  // and what moves over from the part before
  std::uint32_t extra;    // alloc_extra
};
PartRoom part_room(const NetDevice& dev, bool more, bool gso, const PartSize& size);
// Charges what came into pages (wmem_alloc_delta).
void charge_pages(Skb& skb, Sock& sk, std::uint32_t n);
// Copies payload to the end of what `skb` holds, summing it unless the driver will.
void take_payload(Skb& skb, IovReader& from, std::uint8_t* to, std::uint32_t n,
                  std::uint32_t offset);
// __sock_tx_timestamp()
std::uint8_t sock_tx_timestamp(std::uint32_t tsflags);

}  // namespace txp
