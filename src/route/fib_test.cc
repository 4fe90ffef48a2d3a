// SPDX-License-Identifier: Apache-2.0
#include "route/fib.h"

#include "route/fib_lookup.h"
#include "route/route_test_net.h"

namespace txp {
namespace {

std::vector<Route> main_routes(Net& net) {
  std::vector<Route> all;
  net.fib->for_each([&](const Route& r) {
    if (r.table == kTableMain) all.push_back(r);
  });
  return all;
}

TEST(Fib, AliasesGoByTosDescendingThenPriorityThenArrival) {
  RouteTestNet t;
  const auto add = [&](std::uint8_t tos, std::uint32_t priority, std::string_view gateway) {
    Route r = RouteTestNet::via("10.1.0.0/16", gateway, 2);
    r.tos = tos;
    r.priority = priority;
    t.add(r);
  };
  add(0, 20, "10.0.0.1");
  add(0, 10, "10.0.0.2");
  add(8, 30, "10.0.0.3");
  add(0, 10, "10.0.0.4");
  add(16, 5, "10.0.0.5");
  std::string order;
  for (const Route& r : main_routes(t.net)) order += r.nexthops[0].gateway.str().back();
  EXPECT_EQ(order, "53241");
}

TEST(Fib, ARouteComesBackAsItWasGiven) {
  RouteTestNet t;
  Route r = RouteTestNet::via("10.1.2.0/23", "10.77.0.2", 3, 1000);
  r.tos = 4;
  r.scope = kScopeSite;
  r.protocol = 99;
  r.priority = 77;
  r.prefsrc = ip("10.77.0.5");
  r.metrics.value[kRtaxMtu] = 1300;
  r.metrics.lock = 1U << kRtaxMtu;
  r.nexthops.push_back({.oif = 4, .gateway6 = "fe80::1", .flags = kNhfLinkdown, .weight = 9});
  r.nexthops.push_back({.oif = 5, .encap = "mpls 100", .tclassid = 3});
  t.add(r);
  std::vector<Route> all;
  t.net.fib->for_each([&](const Route& x) {
    if (x.table == 1000) all.push_back(x);
  });
  ASSERT_EQ(all.size(), 1U);
  EXPECT_EQ(all[0], r);
}

TEST(Fib, TheSameRouteTwiceStaysOnceAndTakesTheNewFlags) {
  RouteTestNet t;
  const std::size_t before = t.net.fib->size();
  Route r = RouteTestNet::via("10.1.0.0/16", "10.77.0.2", 2);
  t.add(r);
  r.nexthops[0].flags = kNhfDead;
  t.add(r);
  EXPECT_EQ(t.net.fib->size(), before + 1);
  EXPECT_EQ(main_routes(t.net)[0].nexthops[0].flags, kNhfDead);
}

TEST(Fib, ReplaceTakesThePlaceOfTheFirstEqual) {
  RouteTestNet t;
  t.add(RouteTestNet::via("10.1.0.0/16", "10.0.0.1", 2));
  t.add(RouteTestNet::via("10.1.0.0/16", "10.0.0.2", 2));
  ASSERT_TRUE(t.net.fib->replace(RouteTestNet::via("10.1.0.0/16", "10.0.0.9", 2)));
  const std::vector<Route> all = main_routes(t.net);
  ASSERT_EQ(all.size(), 2U);
  EXPECT_EQ(all[0].nexthops[0].gateway, ip("10.0.0.9"));
  EXPECT_EQ(all[1].nexthops[0].gateway, ip("10.0.0.2"));
}

TEST(Fib, RemoveTakesWhatIsNamedAndNothingElse) {
  RouteTestNet t;
  Route a = RouteTestNet::via("10.1.0.0/16", "10.0.0.1", 2);
  Route b = RouteTestNet::via("10.1.0.0/16", "10.0.0.2", 2);
  b.priority = 5;
  t.add(a);
  t.add(b);
  Route other = b;
  other.nexthops[0].gateway = ip("10.0.0.3");
  EXPECT_FALSE(t.net.fib->remove(other));
  EXPECT_FALSE(t.net.fib->remove(RouteTestNet::via("10.1.0.0/17", "10.0.0.1", 2)));
  EXPECT_TRUE(t.net.fib->remove(b));
  ASSERT_EQ(main_routes(t.net).size(), 1U);
  EXPECT_EQ(main_routes(t.net)[0], a);
  EXPECT_TRUE(t.net.fib->remove(a));
  EXPECT_TRUE(main_routes(t.net).empty());
}

TEST(Fib, NonsenseIsRefusedInWords) {
  RouteTestNet t;
  Route r = RouteTestNet::via("10.1.0.0/16", "10.0.0.1", 2);
  r.dst.len = 33;
  EXPECT_FALSE(t.net.fib->add(r));
  EXPECT_FALSE(t.net.fib->remove(r));
  r.dst = {ip("10.1.2.3"), 16};
  EXPECT_FALSE(t.net.fib->add(r));
  r.dst = prefix("10.1.0.0/16");
  r.nexthops[0].weight = 0;
  EXPECT_FALSE(t.net.fib->add(r));
}

TEST(Fib, ADeviceThatIsDownTakesItsRoutesAndLeavesOtherHopsAndOurAddresses) {
  RouteTestNet t;
  t.link(2, "va");
  t.addr(2, "10.77.0.1", 24);
  t.add(RouteTestNet::via("10.1.0.0/16", "10.77.0.2", 2));
  Route both = RouteTestNet::via("10.2.0.0/16", "10.77.0.2", 2);
  both.nexthops.push_back({.oif = 3, .gateway = ip("10.9.0.1")});
  t.add(both);
  t.net.fib->flush_dev(2, false);
  const std::vector<Route> all = main_routes(t.net);
  ASSERT_EQ(all.size(), 1U);
  EXPECT_EQ(all[0].nexthops[0].flags, kNhfDead | kNhfLinkdown);
  EXPECT_EQ(all[0].nexthops[1].flags, 0);
  EXPECT_EQ(t.get("10.77.0.1"), "lo src 10.77.0.1");
  t.net.fib->flush_dev(2, true);  // gone altogether
  EXPECT_TRUE(main_routes(t.net).empty());
  EXPECT_EQ(t.get("10.77.0.1"), "ENETUNREACH");
}

// Told apart from luck by AddressSanitizer.
TEST(Fib, WhatALookupFoundStaysReadableUntilItsReaderLeft) {
  RouteTestNet t;
  const Route r = RouteTestNet::via("10.1.0.0/16", "10.77.0.2", 2);
  t.add(r);
  FibResult res;
  {
    const RcuReader reader;
    ASSERT_EQ(fib_lookup(t.net, RouteTestNet::flow("10.1.1.1"), res, nullptr), 0);
    ASSERT_TRUE(t.net.fib->remove(r));
    EXPECT_EQ(fib_result_route(t.net.fib->impl(), res), r);
  }
  t.net.retired.flush();
}

TEST(Fib, ClearLeavesNothingAndMemoryIsUsedAgain) {
  RouteTestNet t;
  const auto fill = [&] {
    for (std::uint32_t i = 0; i < 20000; ++i) {
      Route r = RouteTestNet::via("10.0.0.0/24", "10.77.0.2", 2);
      r.dst.addr.host = 0x14000000 + (i << 8);
      t.add(r);
    }
  };
  fill();
  const std::size_t full = t.net.fib->memory();
  EXPECT_LT((full - sizeof(FibTables)) / 20000, 100U);
  for (int i = 0; i < 3; ++i) {
    t.net.fib->clear();
    EXPECT_EQ(t.net.fib->size(), 0U);
    t.net.retired.flush();
    fill();
  }
  // What grew is the list of free places.
  EXPECT_LT(t.net.fib->memory(), full + full / 2);
}

}  // namespace
}  // namespace txp
