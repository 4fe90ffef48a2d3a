// SPDX-License-Identifier: Apache-2.0
// The flow hash that chooses between next hops. Kernel twins: net/ipv4/route.c
// (fib_multipath_hash()), net/core/flow_dissector.c (flow_hash_from_keys_seed()).
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>

#include "route/rt6.h"
#include "route/rtable.h"

namespace txp {

class Net;

// SipHash-2-4 (Aumasson, Bernstein 2012), 64 bits of result.
std::uint64_t siphash_2_4(std::span<const std::uint8_t> data, std::uint64_t k0, std::uint64_t k1);

// fib_multipath_hash() of a flow that this host sends: 31 bits, by the policy (0: addresses; 1:
// addresses, ports and protocol; 2: as 0, for there is no inner packet; 3: `hash_fields`).
int fib_multipath_hash(const Flow4& fl4, std::uint8_t policy, std::uint32_t hash_fields,
                       std::uint32_t seed);

// rt6_multipath_hash(): the same of an IPv6 flow (0: addresses, flow label and protocol).
int rt6_multipath_hash(const Flow6& fl6, std::uint8_t policy, std::uint32_t hash_fields,
                       std::uint32_t seed);

// Whether the seed is known here: set by the sysctl, or our own because no kernel decides.
bool fib_multipath_seed_known(const Net& net);
std::uint32_t fib_multipath_seed(const Net& net);

}  // namespace txp
