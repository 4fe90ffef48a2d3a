// SPDX-License-Identifier: Apache-2.0
// Holds our words against those of the real ip and tc, over objects made in a namespace.
#include "explain/ip_text.h"

#include <algorithm>
#include <regex>
#include <sstream>

#include <gtest/gtest.h>

#include "mirror/import.h"
#include "mirror/test_netns.h"
#include "net.h"

namespace txp {
namespace {

// Lines with one space between words, sorted; `drop` is taken out of each.
std::vector<std::string> lines_of(const std::string& text, const std::string& drop = "") {
  std::vector<std::string> lines;
  std::istringstream in(text);
  for (std::string line; std::getline(in, line);) {
    for (char& c : line)
      if (c == '\\' || c == '\t') c = ' ';
    if (!drop.empty()) line = std::regex_replace(line, std::regex(drop), "");
    line = std::regex_replace(line, std::regex(" +"), " ");
    line = std::regex_replace(line, std::regex("^ | $"), "");
    if (!line.empty()) lines.push_back(line);
  }
  std::sort(lines.begin(), lines.end());
  return lines;
}

class IpText : public testing::Test {
 protected:
  void SetUp() override {
    if (!ns_.made()) GTEST_SKIP() << "needs the permission to make a network namespace";
    ASSERT_TRUE(
        ns_.sh("ip link set lo up && ip link add va type veth peer name vb && "
               "ip link set va up && ip link set vb up"));
    ASSERT_TRUE(ns_.sh("ip addr add 10.77.0.1/24 brd + dev va && ip addr add 10.78.0.1/24 dev vb"));
  }
  // The texts that an import gives to the messages of `type`.
  std::string texts(MessageType type) {
    std::string all;
    Net net(Net::Options{});
    const auto report =
        import_namespace(net, {.netns = ns_.path(), .record = [&](const Message& m) {
                                 if (m.type == type) all += std::string(m.text) + "\n";
                               }});
    EXPECT_TRUE(report.has_value()) << report.error().what;
    return all;
  }
  // Holds the texts of `type` against what `command` prints, each line without `drop`. The kernel
  // tells of a carrier with delay: what it printed before and after the import must be the same.
  void expect_same(MessageType type, const std::string& command, const std::string& drop = "",
                   const std::string& drop_ours = "") {
    std::vector<std::string> ours;
    std::vector<std::string> before = lines_of(ns_.out(command), drop);
    for (int attempt = 0; attempt < 20; ++attempt) {
      ours = lines_of(texts(type), drop_ours);
      const std::vector<std::string> after = lines_of(ns_.out(command), drop);
      if (before == after) break;
      before = after;
    }
    ASSERT_FALSE(before.empty());
    for (std::size_t i = 0; i < std::max(ours.size(), before.size()); ++i)
      EXPECT_EQ(i < ours.size() ? ours[i] : "", i < before.size() ? before[i] : "");
  }
  TestNetns ns_;
};

TEST_F(IpText, RoutesAsIpPrintsThem) {
  const std::string kRoutes =
      "ip -4 -o route show table all; ip -6 -o route show table all | grep -v '^multicast ff00'; "
      "ip -6 -o route show table all | grep '^multicast ff00'";
  ASSERT_TRUE(ns_.sh("ip addr add 2001:db8::1/64 dev va nodad"));
  for (const char* route : {
           "2001:db8:1::/48 via 2001:db8::2",
           "2001:db8:2::/48 dev va metric 7 proto static",
           "2001:db8:3::/48 via 2001:db8::2 mtu 1400 hoplimit 9",
           "2001:db8:4::/48 via fe80::2 dev va pref high",
           "unreachable 2001:db8:5::/48",
           "blackhole 2001:db8:6::/48 table 100",
           "2001:db8:7::/48 nexthop via 2001:db8::2 weight 3 nexthop via 2001:db8::3",
           "default via 2001:db8::9",
       })
    EXPECT_TRUE(ns_.sh(std::string("ip -6 route add ") + route)) << route;
  for (const char* route : {
           "10.1.0.0/16 via 10.77.0.2",
           "10.2.0.0/16 dev va scope link",
           "10.3.0.0/16 via 10.77.0.2 metric 100 src 10.77.0.1",
           "10.4.0.1 via 10.77.0.2 proto static",
           "10.5.0.0/16 via 10.77.0.2 mtu 1400",
           "10.6.0.0/16 via 10.77.0.2 mtu lock 1300 advmss 1200 hoplimit 9 initcwnd 11",
           "10.7.0.0/16 dev va rtt 100ms rttvar 12ms rto_min 250ms window 5000 cwnd 4 ssthresh 7",
           "10.8.0.0/16 dev va features ecn quickack 1 initrwnd 20 congctl cubic",
           "10.9.0.0/16 via 192.168.9.9 dev va onlink",
           "unreachable 10.10.0.0/16",
           "prohibit 10.11.0.0/16 metric 5",
           "blackhole 10.12.0.0/16 proto bgp",
           "throw 10.13.0.0/16 table 100",
           "10.14.0.0/16 via 10.77.0.2 table 1000",
           "10.15.0.0/16 via 10.77.0.2 table 300000",
           "10.16.0.0/16 tos 0x10 via 10.77.0.2",
           "10.16.0.0/16 tos 0x04 via 10.77.0.2",
           "10.17.0.0/16 nexthop via 10.77.0.2 weight 3 nexthop via 10.78.0.2 weight 250",
           "10.18.0.0/16 nexthop dev va nexthop via 192.168.3.3 dev vb onlink",
           "10.19.0.0/16 realm 7 via 10.77.0.2",
           "10.20.0.0/16 realms 7/8 via 10.77.0.2",
           "10.21.0.0/16 via inet6 fe80::1 dev va",
           "10.22.0.0/16 nexthop via inet6 fe80::1 dev va nexthop via 10.77.0.2",
           "10.23.0.0/16 proto 77 scope 100 dev va",
           "multicast 239.0.0.0/8 dev va table 7",
           "broadcast 10.24.0.255 dev va table 8",
           "local 10.25.0.0/16 dev lo",
           "anycast 10.26.0.9 dev va table 9",
           "default via 10.77.0.254 proto dhcp metric 20",
           "0.0.0.0/1 via 10.77.0.253",
           "10.27.0.0/16 encap ip id 5 dst 10.77.0.9 src 10.77.0.1 tos 3 ttl 8 dev va",
       })
    EXPECT_TRUE(ns_.sh(std::string("ip route add ") + route)) << route;
  ASSERT_TRUE(
      ns_.sh("ip nexthop add id 5 via 10.77.0.2 dev va && ip nexthop add id 6 dev vb && "
             "ip nexthop add id 7 group 5,3/6 && ip route add 10.30.0.0/16 nhid 5 && "
             "ip route add 10.31.0.0/16 nhid 7 metric 9"));
  expect_same(MessageType::new_route, kRoutes, "table \\S+ ", " table \\S+");
  // Without carrier, and with a dead hop.
  ASSERT_TRUE(ns_.sh("ip link set vb down"));
  expect_same(MessageType::new_route, kRoutes, "table \\S+ ", " table \\S+");
}

TEST_F(IpText, RulesAsIpPrintsThem) {
  for (const char* rule : {
           "from 10.1.0.0/16 lookup 100",
           "from 10.1.2.3 lookup 101",
           "to 10.2.0.0/16 table 102 pref 500",
           "not from 10.3.0.0/16 table main",
           "fwmark 7 table 103",
           "fwmark 0x10/0xf0 table 104",
           "iif lo table 105",
           "iif va oif vb table 106",
           "oif nosuch table 107",
           "tos 0x10 table 108",
           "uidrange 0-0 table 109",
           "ipproto udp dport 53 table 110",
           "ipproto tcp sport 1000-2000 dport 80-90 table 111",
           "ipproto 200 table 112",
           "table 113 suppress_prefixlength 0",
           "table 114 suppress_ifgroup 5",
           "from 10.9.0.0/16 blackhole",
           "from 10.10.0.0/16 unreachable",
           "from 10.11.0.0/16 prohibit",
           "from 10.12.0.0/16 goto 32766",
           "from 10.13.0.0/16 goto 40000",
           "from 10.14.0.0/16 nop",
           "tun_id 77 table 115",
           "from 10.15.0.0/16 table 116 realms 3/4",
           "from 10.16.0.0/16 table 117 protocol static",
           "l3mdev pref 2000",
       })
    EXPECT_TRUE(ns_.sh(std::string("ip rule add ") + rule)) << rule;
  for (const char* rule : {"from 2001:db8::/32 lookup 100", "to 2001:db8::1 prohibit",
                           "ipproto udp dport 53 lookup 7", "tos 0x10 lookup 8"})
    EXPECT_TRUE(ns_.sh(std::string("ip -6 rule add ") + rule)) << rule;
  expect_same(MessageType::new_rule, "ip -4 rule; ip -6 rule",
              "( \\[detached\\]| \\[unresolved\\])");
}

TEST_F(IpText, NeighboursAsIpPrintsThem) {
  for (const char* neigh : {
           "add 10.77.0.2 lladdr 02:00:00:00:00:02 dev va nud permanent",
           "add 10.77.0.3 lladdr 02:00:00:00:00:03 dev va nud reachable",
           "add 10.77.0.4 lladdr 02:00:00:00:00:04 dev va nud stale router",
           "add 10.77.0.5 dev va nud failed",
           "add 10.77.0.6 lladdr 02:00:00:00:00:06 dev va nud noarp",
           "add 10.77.0.7 lladdr 02:00:00:00:00:07 dev va extern_learn",
           "add 10.77.0.8 lladdr 02:00:00:00:00:08 dev va protocol bgp",
           "add proxy 10.77.0.9 dev va",
       })
    EXPECT_TRUE(ns_.sh(std::string("ip neigh ") + neigh)) << neigh;
  EXPECT_TRUE(ns_.sh("ip neigh add 2001:db8::9 lladdr 02:00:00:00:00:09 dev va nud permanent"));
  expect_same(MessageType::new_neigh, "ip neigh show nud all; ip -4 neigh show proxy");
}

TEST_F(IpText, NexthopsAsIpPrintsThem) {
  for (const char* nh : {
           "id 1 via 10.77.0.2 dev va",
           "id 2 dev vb",
           "id 3 blackhole",
           "id 4 via 10.99.0.2 dev va onlink proto static",
           "id 5 group 1/4,200",
           "id 6 via fe80::7 dev va",
           "id 8 via 10.77.0.9 fdb",
           "id 9 encap ip dst 10.77.0.3 ttl 9 dev va",
       })
    EXPECT_TRUE(ns_.sh(std::string("ip nexthop add ") + nh)) << nh;
  expect_same(MessageType::new_nexthop, "ip nexthop");
}

TEST_F(IpText, DisciplinesAsTcPrintsThem) {
  EXPECT_TRUE(ns_.sh("ip link add vm numtxqueues 3 type veth peer name vn numtxqueues 2"));
  EXPECT_TRUE(ns_.sh("ip link set vm up"));
  EXPECT_TRUE(ns_.sh("tc qdisc add dev vm root handle 5: mq"));
  EXPECT_TRUE(ns_.sh("tc qdisc add dev va root handle 1: pfifo limit 77"));
  EXPECT_TRUE(ns_.sh("tc qdisc add dev vb root bfifo limit 30000"));
  EXPECT_TRUE(ns_.sh("tc qdisc add dev va clsact"));
  const auto same = [this] { expect_same(MessageType::new_qdisc, "tc qdisc"); };
  same();
  ns_.sh("tc qdisc replace dev vb root tbf rate 1mbit burst 32kbit latency 400ms");
  same();
  ns_.sh(
      "tc qdisc replace dev vb root tbf rate 12345kbit burst 5000 limit 9000 peakrate 20mbit "
      "mtu 1600");
  same();
  ns_.sh("tc qdisc replace dev va root handle 2: htb default 30");
  ns_.sh("tc qdisc replace dev vb root pfifo_fast");
  same();
  ns_.sh("tc qdisc replace dev vb root fq_codel limit 2000 target 3ms");
  same();
}

TEST_F(IpText, AddressesAndLinksAsIpPrintsThem) {
  for (const char* addr : {
           "10.77.0.5/24 dev va",
           "10.80.0.1 peer 10.80.0.2/32 dev va",
           "10.81.0.1/16 brd 10.81.255.255 dev va label va:x",
           "10.82.0.1/16 dev vb scope link valid_lft 1000 preferred_lft 500",
           "10.83.0.1/16 dev vb scope host noprefixroute",
       })
    EXPECT_TRUE(ns_.sh(std::string("ip addr add ") + addr)) << addr;
  EXPECT_TRUE(ns_.sh("ip addr add 2001:db8::1/64 dev va nodad noprefixroute"));
  EXPECT_TRUE(ns_.sh("ip addr add 2001:db8::3 peer 2001:db8::4/128 dev va nodad"));
  expect_same(MessageType::new_addr, "ip -o addr", "^\\d+: | +valid_lft.*$");
  ns_.sh("ip link add br0 type bridge && ip link set vb master br0 && ip link set va group 7");
  ns_.sh("ip link set vb down");
  // ip also tells that a link's other end is down.
  expect_same(MessageType::new_link, "ip -o link", " +link/.*$|,M-DOWN");
}

TEST(IpTextWords, MessagesThatNoOldIpKnows) {
  FibRule r;
  r.table = 254;
  r.tos = 46 << 2;
  r.tos_mask = 0xfc;
  EXPECT_EQ(ip_text(r, {}), "from all lookup main dscp EF");
  r.tos = 8 << 2;
  r.tos_mask = 0x38 << 2;
  EXPECT_EQ(ip_text(r, {}), "from all lookup main dscp 0x8/0x38");
  r = {};
  r.table = 254;
  r.sport = std::pair<std::uint16_t, std::uint16_t>(0x10, 0x10);
  r.sport_mask = 0xf0;
  EXPECT_EQ(ip_text(r, {}), "from all sport 0x10/0xf0 lookup main");
}

}  // namespace
}  // namespace txp
