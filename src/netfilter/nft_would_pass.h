// SPDX-License-Identifier: Apache-2.0
// What would let a dropped packet pass, in words.
#pragma once

#include <string>
#include <vector>

#include "netfilter/nft_expr.h"

namespace txp {

struct NftBaseChain;

// `before` is the packet as it came to `chain`, which dropped it. Sentences, the nearest change
// first; empty when no single change helps.
std::vector<std::string> nft_would_pass(Net& net, const NftPkt& dropped, const Skb& before,
                                        const NftBaseChain& chain);

}  // namespace txp
