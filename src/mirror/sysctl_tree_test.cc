// SPDX-License-Identifier: Apache-2.0
#include "mirror/sysctl_tree.h"

#include <gtest/gtest.h>

namespace txp {
namespace {

TEST(SysctlTree, ReadsWhatTheKernelPrints) {
  SysctlTree t;
  EXPECT_TRUE(t.set("net/ipv4/ip_local_port_range", "1024\t65000").has_value());
  EXPECT_TRUE(t.set("net/ipv4/udp_mem", "1 2 3").has_value());
  EXPECT_TRUE(t.set("net/ipv4/ip_local_reserved_ports", "8080,9000-9010").has_value());
  EXPECT_TRUE(t.set("net/core/default_qdisc", "fq_codel\n").has_value());
  EXPECT_TRUE(t.set("net/ipv4/neigh/default/gc_thresh3", "77").has_value());
  EXPECT_TRUE(t.set("net/ipv4/route/min_pmtu", "600").has_value());
  EXPECT_EQ(t.net().ip_local_port_range[0], 1024);
  EXPECT_EQ(t.net().ip_local_port_range[1], 65000);
  EXPECT_EQ(t.net().udp_mem[2], 3U);
  ASSERT_EQ(t.net().ip_local_reserved_ports.size(), 2U);
  EXPECT_EQ(t.net().ip_local_reserved_ports[1].second, 9010);
  EXPECT_EQ(t.net().default_qdisc, "fq_codel");
  EXPECT_EQ(t.net().min_pmtu, 600U);
  EXPECT_EQ(t.gc().thresh3, 77U);
  EXPECT_TRUE(t.set("net/ipv4/ip_local_reserved_ports", "\n").has_value());
  EXPECT_TRUE(t.net().ip_local_reserved_ports.empty());
}

TEST(SysctlTree, RefusesWhatTheKernelWouldNotPrint) {
  SysctlTree t;
  EXPECT_EQ(t.set("net/ipv4/ip_default_ttl", "999").error().what,
            "sysctl net/ipv4/ip_default_ttl has the value \"999\"");
  EXPECT_FALSE(t.set("net/ipv4/ip_default_ttl", "").has_value());
  EXPECT_FALSE(t.set("net/ipv4/udp_mem", "1 2").has_value());
  EXPECT_FALSE(t.set("net/ipv4/udp_mem", "1 2 3 4").has_value());
  EXPECT_FALSE(t.set("net/ipv4/ip_local_reserved_ports", "9-8").has_value());
  EXPECT_FALSE(t.set("net/ipv4/conf/va/rp_filter", "on").has_value());
  EXPECT_EQ(t.net().ip_default_ttl, 64) << "a refused value changes nothing";
  EXPECT_TRUE(t.set("kernel/hostname", "x").has_value()) << "what nobody needs is ignored";
  EXPECT_TRUE(t.set("net/ipv4/conf//rp_filter", "1").has_value());
  EXPECT_TRUE(t.set("net/ipv4/conf/rp_filter", "1").has_value());
}

// include/linux/inetdevice.h: max, or, and the device's own.
TEST(SysctlTree, FoldsAllAsTheKernelsMacrosDo) {
  SysctlTree t;
  for (const char* name : {"arp_announce", "route_localnet", "forwarding"})
    EXPECT_TRUE(t.set(std::string("net/ipv4/conf/all/") + name, "2").has_value());
  EXPECT_TRUE(t.set("net/ipv4/conf/va/arp_announce", "1").has_value());
  EXPECT_TRUE(t.set("net/ipv4/conf/va/forwarding", "0").has_value());
  EXPECT_TRUE(t.set("net/ipv4/conf/default/forwarding", "1").has_value());
  const InDevConf va = t.in_dev_conf("va");
  EXPECT_EQ(va.arp_announce, 2);
  EXPECT_TRUE(va.route_localnet);
  EXPECT_FALSE(va.forwarding) << "IN_DEV_FORWARD() asks the device alone";
  EXPECT_TRUE(t.in_dev_conf("new").forwarding) << "a device of which nothing is known: default";
}

TEST(SysctlTree, NeighbourTimesInMilliseconds) {
  SysctlTree t;
  EXPECT_TRUE(t.set("net/ipv4/neigh/va/delay_first_probe_time", "7").has_value());
  EXPECT_TRUE(t.set("net/ipv4/neigh/va/locktime", "50").has_value());
  EXPECT_TRUE(t.set("net/ipv4/neigh/va/retrans_time_ms", "123").has_value());
  const NeighParms p = t.neigh_parms("va");
  EXPECT_EQ(p.delay_first_probe_time_ms, 7000U);
  EXPECT_EQ(p.locktime_ms, 500U);
  EXPECT_EQ(p.retrans_time_ms, 123U);
  t.forget_device("va");
  EXPECT_EQ(t.neigh_parms("va").retrans_time_ms, 1000U);
}

}  // namespace
}  // namespace txp
