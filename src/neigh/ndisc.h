// SPDX-License-Identifier: Apache-2.0
// Neighbour discovery, for what receives it. Kernel twin: net/ipv6/ndisc.c.
#pragma once

#include <cstdint>
#include <span>

#include "wire/ipv6.h"

namespace txp {

class Net;
struct NetDevice;

// A solicitation or advertisement that came in; `message` begins at the ICMPv6 header, whose
// checksum was found right. What is wrong with it is ignored.
void ndisc_rcv(Net& net, NetDevice& dev, const Ipv6Header& ip,
               std::span<const std::uint8_t> message);

}  // namespace txp
