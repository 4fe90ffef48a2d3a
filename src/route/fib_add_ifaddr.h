// SPDX-License-Identifier: Apache-2.0
// The routes that come with an address, for Nets that code configures (a mirrored namespace gets
// them from the kernel).
#pragma once

#include "base/result.h"
#include "dev/link.h"

namespace txp {

class Net;

// Local, broadcast and subnet routes of `addr`, on an up device. net.rtnl held.
// Kernel: net/ipv4/fib_frontend.c, fib_add_ifaddr().
[[nodiscard]] Result<void> fib_add_ifaddr(Net& net, const InAddr& addr, bool loopback);

}  // namespace txp
