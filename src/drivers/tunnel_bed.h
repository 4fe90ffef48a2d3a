// SPDX-License-Identifier: Apache-2.0
// For tests: a host with a tunnel over its eth0, and what leaves there.
#pragma once

#include <memory>
#include <string_view>

#include "dev/netdevice.h"
#include "drivers/scripted_driver.h"
#include "neigh/neighbour.h"
#include "tests/support/two_nets.h"

namespace txp::test {

inline constexpr int kTunnel = 3;  // tun0, 10.1.0.1/24

struct TunnelBed {
  Host host{"10.0.0.1", 1};
  testing::ScriptedDriver* wire;

  TunnelBed(const char* kind, LinkInfo info, std::uint16_t type = 1, std::uint32_t mtu = 1500) {
    const std::lock_guard guard(host.net.rtnl);
    constexpr int kBelow = 2;
    auto driver = std::make_unique<testing::ScriptedDriver>();
    wire = driver.get();
    host.net.dev->attach(*host.net.dev->by_index(kBelow), std::move(driver));
    Link l;
    l.ifindex = kTunnel;
    l.name = "tun0";
    l.kind = kind;
    l.type = type;
    l.mtu = mtu;
    l.info = std::make_shared<const LinkInfo>(std::move(info));
    l.flags = kIffUp | kIffMulticast | kIffRunning | kIffLowerUp;
    l.flags |= type == 1 ? kIffBroadcast : kIffPointopoint | kIffNoarp;
    l.address = mac(0x30);
    host.net.dev->set_link(l);
    QdiscSpec noqueue;
    noqueue.ifindex = kTunnel;
    noqueue.kind = "noqueue";
    noqueue.parent = 0xffffffff;
    host.net.dev->set_qdiscs(kTunnel, {noqueue});
    host.add(Host::address(kTunnel, "10.1.0.1", 24, kScopeUniverse), false);
    host.net.neigh->set({.ifindex = kTunnel,
                         .dst = ip("10.1.0.2"),
                         .lladdr = mac(0x99),
                         .has_lladdr = true,
                         .state = Nud::permanent});
    host.net.neigh->set({.ifindex = kBelow,
                         .dst = ip("10.0.0.2"),
                         .lladdr = mac(0x22),
                         .has_lladdr = true,
                         .state = Nud::permanent});
  }
  int send(std::size_t len = 4) { return host.send(host.sock(), "10.1.0.2", 53, len); }
};

}  // namespace txp::test
