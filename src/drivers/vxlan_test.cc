// SPDX-License-Identifier: Apache-2.0
// What kernel_diff (tests/scenarios/vxlan_*) cannot see: reasons, unknowns, the exact bytes.
#include <gtest/gtest.h>

#include "dev/fdb.h"
#include "drivers/tunnel_bed.h"

namespace txp::test {
namespace {

VxlanInfo five() {
  VxlanInfo v;
  v.id = 5;
  v.port = 4789;
  v.port_min = 5000;
  v.port_max = 5001;
  return v;
}

struct VxlanBed : TunnelBed {
  explicit VxlanBed(const VxlanInfo& info, std::string_view remote = "10.0.0.2")
      : TunnelBed("vxlan", info) {
    if (!remote.empty()) entry(MacAddr{}, remote);
  }
  void entry(const MacAddr& mac, std::string_view remote, VxlanRdst r = {}) {
    const std::lock_guard guard(host.net.rtnl);
    if (!remote.empty()) r.dst = ip(remote);
    host.net.fdb->set({.table = kTunnel, .lladdr = mac, .port = kTunnel, .remote = r});
  }
};

TEST(Vxlan, TheFrameLiesBehindOuterHeaders) {
  VxlanBed bed(five());
  EXPECT_EQ(bed.send(), 0);
  ASSERT_EQ(bed.wire->frames.size(), 1U);
  const Bytes& f = bed.wire->frames[0];
  ASSERT_EQ(f.size(), 14U + 20 + 8 + 8 + 14 + 20 + 8 + 4);
  EXPECT_EQ(Bytes(f.begin() + 34, f.begin() + 40), (Bytes{0x13, 0x88, 0x12, 0xb5, 0x00, 0x3e}));
  EXPECT_EQ(Bytes(f.begin() + 42, f.begin() + 50), (Bytes{8, 0, 0, 0, 0, 0, 5, 0}));
  EXPECT_EQ(Bytes(f.begin() + 50, f.begin() + 56), (Bytes{2, 0, 0, 0, 0, 0x99}));
  EXPECT_TRUE(bed.host.net.totals().conserved());
}

TEST(Vxlan, AnAddressThatNobodyIsKnownToHaveHasNoTarget) {
  VxlanBed bed(five(), "");
  EXPECT_EQ(bed.send(), 0);
  EXPECT_EQ(bed.host.drops(Stage::ndo_start_xmit, DropReason::NO_TX_TARGET), 1U);
  EXPECT_TRUE(bed.host.net.totals().conserved());
}

TEST(Vxlan, ManyRemotesGetACopyEachAndNoneIsLost) {
  VxlanBed bed(five());
  bed.entry(MacAddr{}, "10.0.0.3");
  bed.entry(MacAddr{}, "10.0.0.4");
  EXPECT_EQ(bed.send(), 0);
  EXPECT_TRUE(bed.host.net.totals().conserved());
  EXPECT_EQ(bed.host.net.totals().stages[static_cast<std::size_t>(Stage::ip_local_out)].packets,
            4U);  // the datagram and three outer packets
}

TEST(Vxlan, ReplacingAnEntryForOneAddressLeavesOneRemote) {
  VxlanBed bed(five(), "");
  bed.entry(mac(0x99), "10.0.0.3");
  bed.entry(mac(0x99), "10.0.0.2");
  EXPECT_EQ(bed.host.net.fdb->find_all(kTunnel, mac(0x99)).size(), 1U);
}

TEST(Vxlan, WhatIsNotDoneIsUnknown) {
  for (const VxlanRdst& r : {VxlanRdst{.nexthop_id = 7}, VxlanRdst{.ipv6 = true}}) {
    VxlanBed bed(five(), "");
    bed.entry(MacAddr{}, "", r);
    EXPECT_EQ(bed.send(), 0);
    EXPECT_EQ(bed.host.drops(Stage::ndo_start_xmit, DropReason::TXPATH_UNKNOWN), 1U);
    EXPECT_TRUE(bed.host.net.totals().conserved());
  }
  for (const char* word : {"external", "proxy"}) {
    VxlanInfo info = five();
    info.collect_metadata = std::string_view(word) == "external";
    if (!info.collect_metadata) info.unknown = word;
    VxlanBed bed(info);
    bed.send();
    EXPECT_EQ(bed.host.drops(Stage::dev_queue_xmit, DropReason::TXPATH_UNKNOWN), 1U) << word;
    EXPECT_EQ(bed.host.net.last_unknown(), std::string("device vxlan tun0 (") + word + ")");
  }
}

TEST(Vxlan, ARemoteThatIsThisHostNeedsItsVxlan) {
  for (const bool bypass : {true, false}) {
    VxlanInfo info = five();
    info.localbypass = bypass;
    VxlanBed bed(info, "");
    bed.entry(MacAddr{}, "10.0.0.1", {.vni = 6});
    bed.send();
    EXPECT_EQ(bed.host.drops(Stage::ndo_start_xmit,
                             bypass ? DropReason::NOT_SPECIFIED : DropReason::TXPATH_UNKNOWN),
              1U);
  }
}

// Written from the source of kernel 6.12: this project's machine has none to compare with.
TEST(Geneve, TheFrameLiesBehindOuterHeaders) {
  GeneveInfo g;
  g.id = 0x010203;
  g.remote = ip("10.0.0.2");
  g.port_min = 5000;
  g.port_max = 5001;
  g.df = TunnelDf::inherit;
  g.tos = 1;
  TunnelBed bed("geneve", g);
  Sock& sk = bed.host.sock();
  sk.tos = 0xb8;
  EXPECT_EQ(bed.host.send(sk, "10.1.0.2", 53), 0);
  ASSERT_EQ(bed.wire->frames.size(), 1U);
  const Bytes& f = bed.wire->frames[0];
  ASSERT_EQ(f.size(), 14U + 20 + 8 + 8 + 14 + 20 + 8 + 4);
  EXPECT_EQ(f[15], 0xb8);
  EXPECT_EQ(f[20], 0x40);  // DF, as inside
  EXPECT_EQ(Bytes(f.begin() + 34, f.begin() + 38), (Bytes{0x13, 0x88, 0x17, 0xc1}));
  EXPECT_EQ(Bytes(f.begin() + 42, f.begin() + 50), (Bytes{0, 0, 0x65, 0x58, 1, 2, 3, 0}));
  EXPECT_EQ(Bytes(f.begin() + 50, f.begin() + 56), (Bytes{2, 0, 0, 0, 0, 0x99}));
  EXPECT_TRUE(bed.host.net.totals().conserved());
}

TEST(Geneve, WhatIsNotDoneIsUnknown) {
  GeneveInfo external;
  external.collect_metadata = true;
  GeneveInfo inherit;
  inherit.inner_proto_inherit = true;
  GeneveInfo six;
  six.ipv6 = true;
  for (const GeneveInfo& g : {external, inherit, six}) {
    TunnelBed bed("geneve", g);
    bed.send();
    EXPECT_EQ(bed.host.drops(Stage::dev_queue_xmit, DropReason::TXPATH_UNKNOWN), 1U);
  }
}

}  // namespace
}  // namespace txp::test
