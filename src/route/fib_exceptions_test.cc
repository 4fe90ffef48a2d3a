// SPDX-License-Identifier: Apache-2.0
#include "route/fib_exceptions.h"

#include "route/route_test_net.h"

namespace txp {
namespace {

struct PmtuNet : RouteTestNet {
  PmtuNet() {
    link(2, "va");
    link(3, "vb");
    addr(2, "10.77.0.1", 24);
    addr(3, "10.78.0.1", 24);
    add(via("0.0.0.0/0", "10.77.0.2", 2));
  }
  Rtable rt(std::string_view dst) {
    Flow4 f = flow(dst);
    return route(f).value();
  }
  void too_big(std::string_view dst, std::uint32_t mtu) {
    Flow4 f = flow(dst);
    const Rtable r = route(f).value();
    const RcuReader reader;
    ip_rt_update_pmtu(net, r, f, mtu);
  }
};

TEST(FibExceptions, APathMtuIsLearntForOneDestinationAndExpires) {
  PmtuNet t;
  t.too_big("8.8.8.8", 1300);
  EXPECT_EQ(t.rt("8.8.8.8").mtu, 1300U);
  EXPECT_FALSE(t.rt("8.8.8.8").mtu_locked);
  EXPECT_EQ(t.rt("8.8.4.4").mtu, 1500U);
  t.net.clock.advance(600 * kSecond);
  EXPECT_EQ(t.rt("8.8.8.8").mtu, 1300U);
  t.net.clock.advance(1);
  EXPECT_EQ(t.rt("8.8.8.8").mtu, 1500U);
  EXPECT_TRUE(t.net.exceptions->all().empty());
}

TEST(FibExceptions, BelowMinPmtuLocksAtMinPmtu) {
  PmtuNet t;
  t.too_big("8.8.8.8", 100);
  EXPECT_EQ(t.rt("8.8.8.8").mtu, 552U);
  EXPECT_TRUE(t.rt("8.8.8.8").mtu_locked);
  t.too_big("8.8.8.8", 60);  // a locked one does not change
  EXPECT_EQ(t.rt("8.8.8.8").mtu, 552U);
}

TEST(FibExceptions, NothingGrowsTheMtuAndALockedMetricStays) {
  PmtuNet t;
  t.too_big("8.8.8.8", 9000);
  EXPECT_EQ(t.rt("8.8.8.8").mtu, 1500U);
  Route r = PmtuNet::via("9.0.0.0/8", "10.77.0.2", 2);
  r.metrics.value[kRtaxMtu] = 1400;
  r.metrics.lock = 1U << kRtaxMtu;
  t.add(r);
  t.too_big("9.9.9.9", 1000);
  EXPECT_EQ(t.rt("9.9.9.9").mtu, 1400U);
}

TEST(FibExceptions, AnotherNextHopHasItsOwn) {
  PmtuNet t;
  t.too_big("8.8.8.8", 1300);
  Route r = PmtuNet::via("8.8.8.0/24", "10.78.0.2", 3);
  t.add(r);
  EXPECT_EQ(t.rt("8.8.8.8").mtu, 1500U);
}

TEST(FibExceptions, EveryHopOfAMultipathRouteLearns) {
  PmtuNet t;
  Route r = PmtuNet::via("9.0.0.0/8", "10.77.0.2", 2);
  r.nexthops.push_back({.oif = 3, .gateway = ip("10.78.0.2")});
  t.add(r);
  t.too_big("9.9.9.9", 1300);
  EXPECT_EQ(t.net.exceptions->all().size(), 2U);
}

TEST(FibExceptions, ARedirectAndAPathMtuAreLearntTogether) {
  PmtuNet t;
  RouteException e;
  e.daddr = ip("8.8.8.8");
  e.gateway = ip("10.77.0.2");
  e.oif = 2;
  e.redirect = ip("10.77.0.9");
  t.net.exceptions->set(e);
  EXPECT_EQ(t.rt("8.8.8.8").gateway, ip("10.77.0.9"));
  EXPECT_EQ(t.rt("8.8.8.8").mtu, 1500U);
  EXPECT_EQ(t.rt("8.8.4.4").gateway, ip("10.77.0.2"));
  t.too_big("8.8.8.8", 1300);
  EXPECT_EQ(t.rt("8.8.8.8").gateway, ip("10.77.0.9"));
  EXPECT_EQ(t.rt("8.8.8.8").mtu, 1300U);
}

TEST(FibExceptions, TheTableIsBoundedAndTheOldestLeaves) {
  PmtuNet t;
  RouteException e;
  e.oif = 2;
  e.mtu = 1300;
  for (std::uint32_t i = 0; i <= 16384; ++i) {
    e.daddr = Ip4{0x0b000000 + i};
    t.net.exceptions->set(e);
  }
  EXPECT_EQ(t.net.exceptions->all().size(), 16384U);
  RouteException found;
  EXPECT_FALSE(t.net.exceptions->find(Ip4{0x0b000000}, {}, 2));
  EXPECT_TRUE(t.net.exceptions->find(Ip4{0x0b000001}, {}, 2));
}

}  // namespace
}  // namespace txp
