// SPDX-License-Identifier: Apache-2.0
// VLANs and bridges, where the running kernel may have none to compare with.
#include "drivers/stacked.h"

#include <gtest/gtest.h>

#include "dev/fdb.h"
#include "drivers/scripted_driver.h"
#include "tests/support/two_nets.h"

namespace txp::test {
namespace {

constexpr int kBelow = 2;  // Host's eth0

// A host whose device 3 stands on its eth0, and what leaves there.
struct StackedBed {
  Host host{"10.0.0.1", 1};
  testing::ScriptedDriver* wire;

  StackedBed(const char* kind, LinkInfo info, bool offload) {
    const std::lock_guard guard(host.net.rtnl);
    auto driver = std::make_unique<testing::ScriptedDriver>();
    wire = driver.get();
    Link eth = host.net.dev->by_index(kBelow)->link();
    eth.features.vlan_ctag = eth.features.vlan_stag = offload;
    host.net.dev->set_link(eth);
    host.net.dev->attach(*host.net.dev->by_index(kBelow), std::move(driver));
    Link l;
    l.ifindex = 3;
    l.name = "up0";
    l.kind = kind;
    l.info = std::make_shared<const LinkInfo>(std::move(info));
    l.peer_ifindex = std::string_view(kind) == "vlan" ? kBelow : 0;
    l.flags = kIffUp | kIffBroadcast | kIffMulticast | kIffRunning | kIffLowerUp;
    l.address = mac(0x30);
    host.net.dev->set_link(l);
    QdiscSpec noqueue;
    noqueue.ifindex = 3;
    noqueue.kind = "noqueue";
    noqueue.parent = 0xffffffff;
    host.net.dev->set_qdiscs(3, {noqueue});
    host.add(Host::address(3, "10.1.0.1", 24, kScopeUniverse), false);
    host.net.neigh->set({.ifindex = 3,
                         .dst = ip("10.1.0.2"),
                         .lladdr = mac(0x99),
                         .has_lladdr = true,
                         .state = Nud::permanent});
  }
  void make_port(BridgePort port) {
    const std::lock_guard guard(host.net.rtnl);
    Link eth = host.net.dev->by_index(kBelow)->link();
    eth.master = 3;
    eth.bridge_port = std::make_shared<const BridgePort>(port);
    host.net.dev->set_link(eth);
  }
  int send() { return host.send(host.sock(), "10.1.0.2", 53); }
  std::uint64_t below_bytes() { return host.net.dev->by_index(kBelow)->tx[0]->tx_bytes(); }
};

TEST(Vlan, TheTagStandsBetweenAddressesAndType) {
  VlanInfo vlan;
  vlan.id = 5;
  vlan.egress_qos = {{0, 3}};
  for (const bool offload : {true, false}) {
    StackedBed bed("vlan", vlan, offload);
    EXPECT_EQ(bed.send(), 0);
    ASSERT_EQ(bed.wire->frames.size(), 1U);
    const Bytes& f = bed.wire->frames[0];
    EXPECT_EQ(Bytes(f.begin() + 12, f.begin() + 19),
              (Bytes{0x81, 0x00, 0x60, 0x05, 0x08, 0x00, 0x45}));
    // A device that inserts the tag itself does not count it.
    EXPECT_EQ(bed.below_bytes(), f.size() - (offload ? 4 : 0));
    EXPECT_TRUE(bed.host.net.totals().conserved());
  }
}

TEST(Vlan, WithoutReorderHdrTheFrameIsTheSame) {
  VlanInfo vlan;
  vlan.proto = kEthP8021ad;
  vlan.id = 7;
  vlan.reorder_hdr = false;
  StackedBed bed("vlan", vlan, true);
  EXPECT_EQ(bed.send(), 0);
  ASSERT_EQ(bed.wire->frames.size(), 1U);
  const Bytes& f = bed.wire->frames[0];
  EXPECT_EQ(Bytes(f.begin() + 12, f.begin() + 19),
            (Bytes{0x88, 0xa8, 0x00, 0x07, 0x08, 0x00, 0x45}));
}

TEST(Bridge, AFilteringBridgeTagsForAPortThatIsNotUntagged) {
  BridgeInfo info;
  info.vlan_filtering = true;
  for (const bool untagged : {true, false}) {
    StackedBed bed("bridge", info, true);
    bed.make_port({.state = kBrStateForwarding});
    {
      const std::lock_guard guard(bed.host.net.rtnl);
      Link br = bed.host.net.dev->by_index(3)->link();
      br.bridge_vlans = {{.vid = 9, .pvid = true, .untagged = true}};
      bed.host.net.dev->set_link(br);
      Link port = bed.host.net.dev->by_index(kBelow)->link();
      port.bridge_vlans = {{.vid = 9, .pvid = false, .untagged = untagged}};
      bed.host.net.dev->set_link(port);
    }
    EXPECT_EQ(bed.send(), 0);
    ASSERT_EQ(bed.wire->frames.size(), 1U);
    const Bytes& f = bed.wire->frames[0];
    EXPECT_EQ(Bytes(f.begin() + 12, f.begin() + 16),
              untagged ? (Bytes{0x08, 0x00, 0x45, 0x00}) : (Bytes{0x81, 0x00, 0x00, 0x09}));
  }
}

TEST(Bridge, AFrameForAnAddressOfItsOwnIsLost) {
  StackedBed bed("bridge", BridgeInfo{}, true);
  bed.make_port({.state = kBrStateForwarding});
  {
    const std::lock_guard guard(bed.host.net.rtnl);
    bed.host.net.fdb->set({.table = 3, .lladdr = mac(0x99), .port = 3});
  }
  EXPECT_EQ(bed.send(), 0);
  EXPECT_EQ(bed.wire->frames.size(), 0U);
  EXPECT_EQ(bed.host.drops(Stage::ndo_start_xmit, DropReason::NOT_SPECIFIED), 1U);
  EXPECT_TRUE(bed.host.net.totals().conserved());
}

TEST(Bridge, WithAQuerierMulticastIsUnknown) {
  BridgeInfo info;
  info.querier = true;
  StackedBed bed("bridge", info, true);
  bed.make_port({.state = kBrStateForwarding});
  Sock& sk = bed.host.bound(4000, "10.1.0.1");
  sk.mc_index = 3;
  bed.host.send(sk, "239.1.2.3", 53);
  EXPECT_EQ(bed.wire->frames.size(), 0U);
  EXPECT_EQ(bed.host.drops(Stage::ndo_start_xmit, DropReason::TXPATH_UNKNOWN), 1U);
}

}  // namespace
}  // namespace txp::test
