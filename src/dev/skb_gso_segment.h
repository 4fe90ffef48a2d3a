// SPDX-License-Identifier: Apache-2.0
// Software offloads: what a driver that cannot do it itself gets done here.
#pragma once

#include "skb/skb.h"

namespace txp {

// Splits a UDP GSO packet (UDP_SEGMENT), MAC or IP header at data, into datagrams of gso_size
// payload bytes, the last one shorter, each with its own lengths, IP id and complete checksums. A
// chain through Skb::next, charged to the packet's socket and counted as born beyond the first;
// `skb` stays the caller's. Null: not a packet that can be segmented, or memory is short.
SkbPtr udp_gso_segment(Net& net, const Skb& skb);

// Completes a partial checksum in place; false when it does not lie inside the packet.
bool skb_checksum_help(Skb& skb);

}  // namespace txp
