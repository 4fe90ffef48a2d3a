// SPDX-License-Identifier: Apache-2.0
// Devices that stand on other devices of their namespace: they change a frame and send it again.
// Adding one: a file here, a line in stacked.cc, a scenario.
#pragma once

#include <memory>
#include <string>

#include "drivers/driver.h"

namespace txp {

struct Link;

bool is_stacked(const Link& link);
// Why the engine cannot follow this one, in words; "": it can.
std::string stacked_unknown(const Link& link);
// The driver of a device of which is_stacked().
std::unique_ptr<Driver> make_stacked(const Link& link);

// Of a device that stands on one other, and counts what that one took.
inline constexpr DriverFeatures kOneBelow{.csum = true,
                                          .gso_udp_l4 = true,
                                          .frag_list = true,
                                          .lltx = true,
                                          .stacked = true,
                                          .counts = true};
// Of a tunnel: it encapsulates linear packets and counts them.
inline constexpr DriverFeatures kTunnelFeatures{
    .csum = true, .gso_udp_l4 = true, .lltx = true, .stacked = true, .counts = true};
void xmit_counted_below(Net& net, NetDevice& dev, unsigned queue, SkbPtr skb, NetDevice& lower);

std::unique_ptr<Driver> make_macvlan();
std::unique_ptr<Driver> make_vlan_dev();
std::unique_ptr<Driver> make_bridge();
std::unique_ptr<Driver> make_vxlan();
std::unique_ptr<Driver> make_geneve();
std::unique_ptr<Driver> make_ip_tunnel();  // ipip, gre, gretap

}  // namespace txp
