// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>

#include "netfilter/nft_expr.h"

namespace txp {

// Answers the packet's sender with "destination unreachable", unless the packet is a later fragment
// or its checksum, which the kernel looks at before it answers, is wrong.
void nf_send_unreach(NftPkt& pkt, std::uint8_t code);

}  // namespace txp
