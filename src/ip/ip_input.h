// SPDX-License-Identifier: Apache-2.0
// The receive side's own functions. Kernel twins: net/ipv4/ip_input.c, net/ipv4/route.c,
// net/ipv4/ip_fragment.c (ip/inet_fragment.h).
#pragma once

#include <cstdint>
#include <expected>

#include "observe/counters.h"
#include "route/rtable.h"
#include "skb/skb.h"

namespace txp {

struct NetDevice;

// ip_route_input_noref(): what this host does with a packet that came in on `dev`. The answer's
// type is local, broadcast or multicast (is_local: it is ours), unicast (it would be forwarded) or
// unreachable (not ours, and not forwarded). The error is the martian's drop reason. `proto` is
// the Ethernet protocol that asks. Inside an RcuReader.
std::expected<Rtable, DropReason> ip_route_input(Net& net, NetDevice& dev, Ip4 daddr, Ip4 saddr,
                                                 std::uint8_t tos, std::uint16_t proto);

// ip_local_deliver(): the packet is ours. skb->data is at the IP header.
void ip_local_deliver(Net& net, SkbPtr skb);

}  // namespace txp
