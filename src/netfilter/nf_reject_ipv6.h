// SPDX-License-Identifier: Apache-2.0
// Kernel twin: include/net/netfilter/ipv6/nf_reject.h.
#pragma once

#include <cstdint>

#include "netfilter/nft_expr.h"

namespace txp {

// Tells the sender of an IPv6 packet that a rule dropped it: destination unreachable.
void nf_send_unreach6(NftPkt& pkt, std::uint8_t code);

}  // namespace txp
