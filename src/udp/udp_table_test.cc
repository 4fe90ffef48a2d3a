// SPDX-License-Identifier: Apache-2.0
#include "udp/udp_table.h"

#include <gtest/gtest.h>

#include <set>

#include "tests/support/two_nets.h"

namespace txp::test {
namespace {

class UdpPorts : public ::testing::Test {
 protected:
  Sock& sock(std::string_view addr, bool reuse = false, bool reuseport = false, int dev = 0,
             std::uint32_t uid = 0) {
    Sock* sk = inet_create(host.net, uid);
    host.socks.push_back(sk);
    sk->inet_rcv_saddr = ip(addr);
    sk->reuse = reuse;
    sk->reuseport = reuseport;
    sk->bound_dev_if = dev;
    return *sk;
  }
  int get(Sock& sk, std::uint16_t port) {
    const auto got = host.net.udp->get_port(sk, port);
    return got ? 0 : got.error().code;
  }
  Sock* find(std::string_view saddr, std::uint16_t sport, std::string_view daddr,
             std::uint16_t dport, int dif = 2) {
    Sock* found = nullptr;
    host.net.udp->with_socket(ip(saddr), sport, ip(daddr), dport, dif,
                              [&](Sock& sk) { found = &sk; });
    return found;
  }
  Host host{"10.0.0.1", 1};
};

TEST_F(UdpPorts, ConflictRules) {
  struct Case {
    const char* what;
    const char* addr1;
    bool reuse1, port1;
    int dev1;
    std::uint32_t uid1;
    const char* addr2;
    bool reuse2, port2;
    int dev2;
    std::uint32_t uid2;
    int error;
  };
  const Case cases[] = {
      {"same address", "10.0.0.1", false, false, 0, 0, "10.0.0.1", false, false, 0, 0, EADDRINUSE},
      {"other address", "10.0.0.1", false, false, 0, 0, "10.0.0.2", false, false, 0, 0, 0},
      {"wildcard", "0.0.0.0", false, false, 0, 0, "10.0.0.2", false, false, 0, 0, EADDRINUSE},
      {"both reuse", "10.0.0.1", true, false, 0, 0, "10.0.0.1", true, false, 0, 0, 0},
      {"one reuses", "10.0.0.1", true, false, 0, 0, "10.0.0.1", false, false, 0, 0, EADDRINUSE},
      {"reuseport", "10.0.0.1", false, true, 0, 5, "10.0.0.1", false, true, 0, 5, 0},
      {"other user", "10.0.0.1", false, true, 0, 5, "10.0.0.1", false, true, 0, 6, EADDRINUSE},
      {"other device", "0.0.0.0", false, false, 2, 0, "0.0.0.0", false, false, 1, 0, 0},
      {"any device", "0.0.0.0", false, false, 2, 0, "0.0.0.0", false, false, 0, 0, EADDRINUSE},
      {"reuse against reuseport", "10.0.0.1", true, false, 0, 0, "10.0.0.1", false, true, 0, 0,
       EADDRINUSE},
  };
  std::uint16_t port = 1000;
  for (const Case& c : cases) {
    ++port;
    EXPECT_EQ(get(sock(c.addr1, c.reuse1, c.port1, c.dev1, c.uid1), port), 0) << c.what;
    EXPECT_EQ(get(sock(c.addr2, c.reuse2, c.port2, c.dev2, c.uid2), port), c.error) << c.what;
  }
}

TEST_F(UdpPorts, EphemeralPortsLieInTheRangeAndRunOut) {
  Sysctls s;
  s.ip_local_port_range[0] = 40000;
  s.ip_local_port_range[1] = 40099;
  s.ip_local_reserved_ports = {{40010, 40019}};
  {
    const std::lock_guard guard(host.net.rtnl);
    host.net.set_sysctls(s);
  }
  std::set<std::uint16_t> seen;
  for (int i = 0; i < 90; ++i) {
    Sock& sk = sock("0.0.0.0");
    ASSERT_EQ(get(sk, 0), 0);
    EXPECT_GE(sk.inet_num, 40000);
    EXPECT_LE(sk.inet_num, 40099);
    EXPECT_FALSE(sk.inet_num >= 40010 && sk.inet_num <= 40019);
    EXPECT_TRUE(seen.insert(sk.inet_num).second);
  }
  EXPECT_EQ(get(sock("0.0.0.0"), 0), EADDRINUSE);
  host.net.udp->unhash(*host.socks.front());
  EXPECT_EQ(get(sock("0.0.0.0"), 0), 0);
}

TEST_F(UdpPorts, TheSocketsOwnRangeNarrowsTheNamespaces) {
  Sock& sk = sock("0.0.0.0");
  sk.local_port_range = 50001U << 16 | 50000U;
  for (int i = 0; i < 10; ++i) {
    ASSERT_EQ(get(sk, 0), 0);
    EXPECT_TRUE(sk.inet_num == 50000 || sk.inet_num == 50001);
    host.net.udp->unhash(sk);
  }
  sk.local_port_range = 100U << 16 | 50U;  // outside: without effect
  ASSERT_EQ(get(sk, 0), 0);
  EXPECT_GE(sk.inet_num, 32768);
}

TEST_F(UdpPorts, PortsThatTheKernelUsesAreNotTaken) {
  host.net.udp->kernel_port_free = [](std::uint16_t port) { return port == 45678; };
  Sock& sk = sock("0.0.0.0");
  EXPECT_EQ(get(sk, 0), 0);
  EXPECT_EQ(sk.inet_num, 45678);
}

TEST_F(UdpPorts, TheMostParticularSocketReceives) {
  Sock& any = sock("0.0.0.0", true);
  Sock& mine = sock("10.0.0.1", true);
  Sock& on_dev = sock("10.0.0.1", true, false, 2);
  Sock& peer = sock("10.0.0.1", true);
  for (Sock* sk : {&any, &mine, &on_dev, &peer}) ASSERT_EQ(get(*sk, 53), 0);
  peer.inet_daddr = ip("10.0.0.9");
  peer.inet_dport = 7;
  peer.connected = true;
  EXPECT_EQ(find("10.0.0.9", 7, "10.0.0.1", 53), &peer);
  EXPECT_EQ(find("10.0.0.9", 8, "10.0.0.1", 53), &on_dev);
  EXPECT_EQ(find("10.0.0.9", 8, "10.0.0.1", 53, 1), &mine);
  EXPECT_EQ(find("10.0.0.9", 8, "127.0.0.1", 53, 1), &any);
  EXPECT_EQ(find("10.0.0.9", 8, "127.0.0.1", 54, 1), nullptr);
}

TEST_F(UdpPorts, AReuseportGroupSharesByFlowAndOneFlowStays) {
  std::set<Sock*> group;
  for (int i = 0; i < 4; ++i) {
    Sock& sk = sock("10.0.0.1", false, true);
    ASSERT_EQ(get(sk, 53), 0);
    group.insert(&sk);
  }
  std::set<Sock*> chosen;
  for (std::uint16_t sport = 1; sport <= 200; ++sport) {
    Sock* first = find("10.0.0.9", sport, "10.0.0.1", 53);
    EXPECT_EQ(find("10.0.0.9", sport, "10.0.0.1", 53), first);
    chosen.insert(first);
  }
  EXPECT_EQ(chosen, group);
}

TEST_F(UdpPorts, AMulticastGoesToEveryMatch) {
  Sock& any = sock("0.0.0.0", true);
  Sock& group = sock("239.0.0.1", true);
  Sock& other = sock("239.0.0.2", true);
  Sock& members_only = sock("0.0.0.0", true);
  members_only.mc_all = false;
  for (Sock* sk : {&any, &group, &other, &members_only}) ASSERT_EQ(get(*sk, 53), 0);
  const auto receivers = [&](int dif) {
    std::set<Sock*> got;
    host.net.udp->for_each_mcast(ip("10.0.0.9"), 7, ip("239.0.0.1"), 53, dif,
                                 [&](Sock& sk) { got.insert(&sk); });
    return got;
  };
  EXPECT_EQ(receivers(2), (std::set<Sock*>{&any, &group}));
  members_only.memberships.push_back({ip("239.0.0.1"), {}, 2});
  EXPECT_EQ(receivers(2), (std::set<Sock*>{&any, &group, &members_only}));
  EXPECT_EQ(receivers(1), (std::set<Sock*>{&any, &group}));
}

}  // namespace
}  // namespace txp::test
