// SPDX-License-Identifier: Apache-2.0
// Kernel twin: include/net/inet_ecn.h.
#pragma once

#include "skb/skb.h"

namespace txp {

// INET_ECN_set_ce(): marks an IPv4 packet whose sender understands ECN (ECT(0) or ECT(1)) as having
// met congestion, the header checksum with it. False: it does not, or the packet is not IPv4.
bool inet_ecn_set_ce(Skb& skb);

}  // namespace txp
