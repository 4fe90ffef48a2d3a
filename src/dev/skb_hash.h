// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>

namespace txp {

struct Skb;

// skb_get_hash(): the socket's, or one of the addresses and ports; kept in skb->hash. The kernel's
// is keyed with a secret drawn at boot, the engine's with a key of its own.
std::uint32_t skb_get_hash(Skb& skb);

}  // namespace txp
