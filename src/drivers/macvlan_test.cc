// SPDX-License-Identifier: Apache-2.0
#include "drivers/stacked.h"

#include <gtest/gtest.h>
#include <linux/if_link.h>

#include "drivers/scripted_driver.h"
#include "tests/support/two_nets.h"

namespace txp::test {
namespace {

constexpr int kLower = 2;  // Host's eth0

// A host with a macvlan on its eth0, and what leaves there.
struct Bed {
  Host host{"10.0.0.1", 1};
  testing::ScriptedDriver* wire;

  explicit Bed(std::uint32_t mode) {
    const std::lock_guard guard(host.net.rtnl);
    auto driver = std::make_unique<testing::ScriptedDriver>();
    wire = driver.get();
    host.net.dev->attach(*host.net.dev->by_index(kLower), std::move(driver));
    add(3, "mv0", mode, 0x30);
    host.add(Host::address(3, "10.1.0.1", 24, kScopeUniverse), false);
    host.net.neigh->set({.ifindex = 3,
                         .dst = ip("10.1.0.2"),
                         .lladdr = mac(0x99),
                         .has_lladdr = true,
                         .state = Nud::permanent});
  }
  void add(int ifindex, const char* name, std::uint32_t mode, std::uint8_t mac_last) {
    Link l;
    l.ifindex = ifindex;
    l.name = name;
    l.kind = "macvlan";
    l.macvlan_mode = mode;
    l.peer_ifindex = kLower;
    l.flags = kIffUp | kIffBroadcast | kIffMulticast | kIffRunning | kIffLowerUp;
    l.address = mac(mac_last);
    host.net.dev->set_link(l);
    QdiscSpec noqueue;
    noqueue.ifindex = ifindex;
    noqueue.kind = "noqueue";
    noqueue.parent = 0xffffffff;
    host.net.dev->set_qdiscs(ifindex, {noqueue});
  }
};

TEST(Macvlan, TheFrameLeavesByTheLowerDeviceWithTheMacvlansAddress) {
  Bed bed(MACVLAN_MODE_PRIVATE);
  EXPECT_EQ(bed.host.send(bed.host.sock(), "10.1.0.2", 53), 0);
  ASSERT_EQ(bed.wire->frames.size(), 1U);
  const auto eth = EthernetHeader::parse(bed.wire->frames[0]);
  EXPECT_EQ(eth->source, mac(0x30));
  EXPECT_EQ(eth->dest, mac(0x99));
  EXPECT_TRUE(bed.host.net.totals().conserved());
}

TEST(Macvlan, ADropBelowIsCountedOnceAndConserved) {
  Bed bed(MACVLAN_MODE_PRIVATE);
  {
    const std::lock_guard guard(bed.host.net.rtnl);
    bed.host.net.dev->remove_link(kLower);
  }
  bed.host.send(bed.host.sock(), "10.1.0.2", 53);
  EXPECT_EQ(bed.host.drops(Stage::ndo_start_xmit, DropReason::DEV_READY), 1U);
  EXPECT_TRUE(bed.host.net.totals().conserved());
}

TEST(Macvlan, InBridgeModeAFrameForAnotherOneOfThisHostIsUnknown) {
  Bed bed(MACVLAN_MODE_BRIDGE);
  {
    const std::lock_guard guard(bed.host.net.rtnl);
    bed.add(4, "mv1", MACVLAN_MODE_BRIDGE, 0x99);
  }
  bed.host.send(bed.host.sock(), "10.1.0.2", 53);
  EXPECT_EQ(bed.wire->frames.size(), 0U);
  EXPECT_EQ(bed.host.drops(Stage::ndo_start_xmit, DropReason::TXPATH_UNKNOWN), 1U);
  EXPECT_NE(bed.host.net.last_unknown().find("mv1"), std::string::npos);
  EXPECT_TRUE(bed.host.net.totals().conserved());
}

TEST(Macvlan, OnADeviceOfAnotherNamespaceItIsUnknown) {
  Bed bed(MACVLAN_MODE_PRIVATE);
  const std::lock_guard guard(bed.host.net.rtnl);
  Link l = bed.host.net.dev->by_index(3)->link();
  l.peer_in_other_netns = true;
  bed.host.net.dev->set_link(l);
  ASSERT_NE(bed.host.net.dev->by_index(3)->unknown_kind.get(), nullptr);
}

}  // namespace
}  // namespace txp::test
