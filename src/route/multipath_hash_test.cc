// SPDX-License-Identifier: Apache-2.0
#include "route/multipath_hash.h"

#include <array>

#include "route/route_test_net.h"

namespace txp {
namespace {

TEST(MultipathHash, SipHashAsPublished) {
  // The vector of the paper's appendix A: key 00..0f, message 00..0e.
  std::array<std::uint8_t, 15> message;
  for (std::uint8_t i = 0; i < 15; ++i) message[i] = i;
  EXPECT_EQ(siphash_2_4(message, 0x0706050403020100ULL, 0x0f0e0d0c0b0a0908ULL),
            0xa129ca6149be45e5ULL);
}

TEST(MultipathHash, BothDirectionsHashAlike) {
  Flow4 f = RouteTestNet::flow("10.2.3.4", "10.9.8.7");
  const int one = fib_multipath_hash(f, 1, 0, 99);
  std::swap(f.saddr, f.daddr);
  std::swap(f.sport, f.dport);
  EXPECT_EQ(fib_multipath_hash(f, 1, 0, 99), one);
  EXPECT_NE(fib_multipath_hash(f, 1, 0, 98), one);
}

// Captured from kernel 6.18: fib_multipath_hash_seed 3735928559, a route over three next hops of
// weight 1, 2 and 3. Policy 3 with fib_multipath_hash_fields 32, by connect() and getsockname().
struct Captured {
  const char* dst;
  const char* src;
  std::uint16_t sport;
  std::uint16_t dport;
  int hop;
};
constexpr Captured kPolicy0[] = {
    {"10.2.231.238", "10.73.0.1", 56037, 33282, 1},
    {"10.2.97.94", "10.73.0.1", 40237, 41280, 1},
    {"10.2.95.48", "10.73.0.1", 9293, 19884, 2},
    {"10.2.46.21", "10.73.0.1", 29688, 63227, 2},
    {"10.2.80.7", "", 2337, 3903, 2},
    {"10.2.97.123", "", 30405, 50995, 2},
    {"10.2.167.225", "", 15313, 34022, 1},
    {"10.2.150.255", "", 5570, 43415, 1},
    {"10.2.234.142", "10.73.0.1", 36128, 65383, 1},
    {"10.2.42.130", "10.73.0.1", 15052, 49676, 1},
    {"10.2.147.15", "", 50220, 36907, 1},
    {"10.2.55.205", "", 19065, 55482, 1},
    {"10.2.197.34", "", 44886, 55530, 1},
    {"10.2.0.109", "", 59656, 60755, 2},
    {"10.2.26.240", "10.73.0.1", 46459, 64249, 2},
    {"10.2.203.214", "", 41252, 37110, 1},
    {"10.2.101.138", "10.73.0.1", 20396, 5712, 1},
    {"10.2.170.7", "10.73.0.1", 60480, 49679, 0},
    {"10.2.60.68", "", 6623, 46336, 1},
    {"10.2.5.30", "10.73.0.1", 31905, 52234, 0},
    {"10.2.90.96", "10.73.0.1", 12497, 33350, 2},
    {"10.2.67.214", "10.73.0.1", 25878, 7636, 2},
    {"10.2.215.108", "", 56645, 17682, 1},
    {"10.2.155.10", "", 25840, 12276, 2},
};
constexpr Captured kPolicy1[] = {
    {"10.2.231.238", "10.73.0.1", 56037, 33282, 1},
    {"10.2.97.94", "10.73.0.1", 40237, 41280, 2},
    {"10.2.95.48", "10.73.0.1", 9293, 19884, 2},
    {"10.2.46.21", "10.73.0.1", 29688, 63227, 2},
    {"10.2.80.7", "", 2337, 3903, 2},
    {"10.2.97.123", "", 30405, 50995, 0},
    {"10.2.167.225", "", 15313, 34022, 1},
    {"10.2.150.255", "", 5570, 43415, 2},
    {"10.2.234.142", "10.73.0.1", 36128, 65383, 2},
    {"10.2.42.130", "10.73.0.1", 15052, 49676, 2},
    {"10.2.147.15", "", 50220, 36907, 1},
    {"10.2.55.205", "", 19065, 55482, 1},
    {"10.2.197.34", "", 44886, 55530, 1},
    {"10.2.0.109", "", 59656, 60755, 0},
    {"10.2.26.240", "10.73.0.1", 46459, 64249, 2},
    {"10.2.203.214", "", 41252, 37110, 1},
    {"10.2.101.138", "10.73.0.1", 20396, 5712, 2},
    {"10.2.170.7", "10.73.0.1", 60480, 49679, 2},
    {"10.2.60.68", "", 6623, 46336, 2},
    {"10.2.5.30", "10.73.0.1", 31905, 52234, 2},
    {"10.2.90.96", "10.73.0.1", 12497, 33350, 1},
    {"10.2.67.214", "10.73.0.1", 25878, 7636, 0},
    {"10.2.215.108", "", 56645, 17682, 2},
    {"10.2.155.10", "", 25840, 12276, 1},
};
constexpr Captured kPolicy3[] = {
    {"10.2.231.238", "", 37592, 29612, 2}, {"10.2.97.94", "", 49723, 52685, 2},
    {"10.2.243.95", "", 50910, 6169, 2},   {"10.2.228.155", "", 35091, 9293, 2},
    {"10.2.46.21", "", 50606, 39023, 2},   {"10.2.202.231", "", 50990, 42856, 2},
    {"10.2.80.7", "", 40476, 54507, 1},    {"10.2.32.30", "", 34246, 2337, 1},
    {"10.2.97.123", "", 43532, 39297, 1},  {"10.2.15.237", "", 45442, 21384, 1},
    {"10.2.225.100", "", 46386, 34022, 1}, {"10.2.119.150", "", 46628, 32754, 1},
    {"10.2.2.43", "", 39786, 29972, 1},    {"10.2.142.208", "", 39011, 65383, 1},
    {"10.2.42.130", "", 33275, 20663, 2},  {"10.2.117.147", "", 47157, 1950, 2},
    {"10.2.35.55", "", 49262, 26241, 2},   {"10.2.55.148", "", 51326, 25331, 0},
    {"10.2.34.8", "", 60399, 55530, 2},    {"10.2.0.109", "", 50659, 13745, 2},
    {"10.2.26.240", "", 34508, 24607, 2},  {"10.2.203.214", "", 57947, 4787, 2},
    {"10.2.101.138", "", 43520, 22079, 1}, {"10.2.44.159", "", 40725, 21797, 1},
};

struct MultipathNet : RouteTestNet {
  explicit MultipathNet(std::uint8_t policy = 0, std::uint32_t seed = 3735928559U) {
    for (int i = 0; i < 4; ++i) {
      link(2 + i, "d" + std::to_string(i));
      addr(2 + i, "10.7" + std::to_string(i) + ".0.1", 24);
    }
    Sysctls s;
    s.fib_multipath_hash_policy = policy;
    s.fib_multipath_hash_fields = 32;
    s.fib_multipath_hash_seed = seed;
    net.set_sysctls(s);
  }
  Route over(std::initializer_list<std::uint16_t> weights) {
    Route r;
    r.dst = prefix("10.2.0.0/16");
    int i = 0;
    for (const std::uint16_t w : weights) {
      r.nexthops.push_back(
          {.oif = 2 + i, .gateway = ip("10.7" + std::to_string(i) + ".0.2"), .weight = w});
      ++i;
    }
    return r;
  }
  // The number of the hop taken.
  int hop(Flow4 f) {
    const auto rt = route(f);
    return rt ? rt->dev->ifindex - 2 : -rt.error().code;
  }
};

void expect_captured(std::uint8_t policy, std::span<const Captured> captured) {
  MultipathNet t(policy);
  t.add(t.over({1, 2, 3}));
  for (const Captured& c : captured) {
    Flow4 f = RouteTestNet::flow(c.dst, c.src);
    f.sport = c.sport;
    f.dport = c.dport;
    EXPECT_EQ(t.hop(f), c.hop) << "to " << c.dst << " from " << c.src << " policy " << int{policy};
  }
}

TEST(Multipath, ChoosesAsTheKernelDid) {
  expect_captured(0, kPolicy0);
  expect_captured(1, kPolicy1);
  expect_captured(3, kPolicy3);
}

TEST(Multipath, SharesByWeight) {
  MultipathNet t(1);
  t.add(t.over({1, 2, 5}));
  std::array<int, 3> count{};
  for (std::uint16_t port = 1; port <= 8000; ++port) {
    Flow4 f = RouteTestNet::flow("10.2.0.1");
    f.sport = port;
    ++count.at(static_cast<std::size_t>(t.hop(f)));
  }
  EXPECT_NEAR(count[0], 1000, 120);
  EXPECT_NEAR(count[1], 2000, 150);
  EXPECT_NEAR(count[2], 5000, 150);
}

TEST(Multipath, DeadAndIgnoredHopsGetNothing) {
  MultipathNet t(1);
  Route r = t.over({1, 1, 1});
  r.nexthops[0].flags = kNhfDead;
  r.nexthops[1].flags = kNhfLinkdown;
  t.add(r);
  InDevConf conf;
  conf.ignore_routes_with_linkdown = true;
  t.net.dev->set_in_conf(3, conf);
  for (std::uint16_t port = 1; port <= 200; ++port) {
    Flow4 f = RouteTestNet::flow("10.2.0.1");
    f.sport = port;
    EXPECT_EQ(t.hop(f), 2);
  }
}

TEST(Multipath, ASourceOfOneHopsDeviceGoesByThatHop) {
  MultipathNet t(1);
  t.add(t.over({1, 1, 1}));
  for (std::uint16_t port = 1; port <= 100; ++port) {
    Flow4 f = RouteTestNet::flow("10.2.0.1", "10.71.0.1");
    f.sport = port;
    EXPECT_EQ(t.hop(f), 1);
  }
}

TEST(Multipath, AGivenDeviceLeavesNoChoice) {
  MultipathNet t(1);
  t.add(t.over({1, 100}));
  Flow4 f = RouteTestNet::flow("10.2.0.1");
  f.oif = 2;
  EXPECT_EQ(t.hop(f), 0);
}

TEST(Multipath, UseNeighLeavesOutWhoFailed) {
  MultipathNet t(1);
  Sysctls s = t.net.sysctl();
  s.fib_multipath_use_neigh = true;
  t.net.set_sysctls(s);
  t.add(t.over({1, 1}));
  t.neighbour(2, "10.70.0.2", Nud::failed);
  for (std::uint16_t port = 1; port <= 100; ++port) {
    Flow4 f = RouteTestNet::flow("10.2.0.1");
    f.sport = port;
    EXPECT_EQ(t.hop(f), 1);
  }
}

TEST(Multipath, TheKernelsRandomSeedIsUnknownUnlessAllHopsLeadTheSameWay) {
  MultipathNet t(0, 0);
  t.add(t.over({1, 1}));
  Flow4 f = RouteTestNet::flow("10.2.0.1");
  EXPECT_GE(t.hop(f), 0);  // alone: our own seed
  t.net.neigh->owner = NeighOwner::kernel;
  Trace trace(t.net.clock);
  const auto rt = t.route(f, &trace);
  ASSERT_FALSE(rt);
  EXPECT_TRUE(rt.error().is_unknown());
  ASSERT_EQ(trace.unknowns().size(), 1U);
  EXPECT_EQ(trace.unknowns()[0].kind, "route");
  // The source decides alone.
  EXPECT_EQ(t.hop(RouteTestNet::flow("10.2.0.1", "10.71.0.1")), 1);
  // One hop lives.
  Route one = t.over({1, 1});
  one.nexthops[0].flags = kNhfDead;
  t.add(one);
  EXPECT_EQ(t.hop(RouteTestNet::flow("10.2.0.1")), 1);
}

TEST(Multipath, SameHopTwiceIsNoChoice) {
  MultipathNet t(0, 0);
  t.net.neigh->owner = NeighOwner::kernel;
  Route r = t.over({1, 1});
  r.nexthops[1] = r.nexthops[0];
  t.add(r);
  EXPECT_EQ(t.hop(RouteTestNet::flow("10.2.0.1")), 0);
}

TEST(SelectDefault, TheFirstWhoseNeighbourIsNotSuspected) {
  MultipathNet t;
  const auto add = [&](int i) {
    Route r = RouteTestNet::via("0.0.0.0/0", "10.7" + std::to_string(i) + ".0.2", 2 + i);
    t.add(r);
  };
  add(0);
  add(1);
  add(2);
  const Flow4 f = RouteTestNet::flow("8.8.8.8");
  EXPECT_EQ(t.hop(f), 0);  // no neighbour entry: not suspected
  t.neighbour(2, "10.70.0.2", Nud::failed);
  EXPECT_EQ(t.hop(f), 1);
  t.neighbour(3, "10.71.0.2", Nud::incomplete);
  EXPECT_EQ(t.hop(f), 2);
  t.neighbour(4, "10.72.0.2", Nud::incomplete);
  // All are suspected: the last resort is the failed one, not one still asked for.
  EXPECT_EQ(t.hop(f), 0);
  t.neighbour(3, "10.71.0.2", Nud::reachable);
  EXPECT_EQ(t.hop(f), 1);
}

TEST(SelectDefault, WorseMetricsAreNoCandidates) {
  MultipathNet t;
  t.add(RouteTestNet::via("0.0.0.0/0", "10.70.0.2", 2));
  Route r = RouteTestNet::via("0.0.0.0/0", "10.71.0.2", 3);
  r.priority = 100;
  t.add(r);
  t.neighbour(2, "10.70.0.2", Nud::failed);
  EXPECT_EQ(t.hop(RouteTestNet::flow("8.8.8.8")), 0);
}

TEST(SelectDefault, WhatOnlyTheKernelRemembersIsUnknown) {
  MultipathNet t;
  t.add(RouteTestNet::via("0.0.0.0/0", "10.70.0.2", 2));
  t.add(RouteTestNet::via("0.0.0.0/0", "10.71.0.2", 3));
  t.net.neigh->owner = NeighOwner::kernel;
  t.neighbour(2, "10.70.0.2", Nud::reachable);
  EXPECT_EQ(t.hop(RouteTestNet::flow("8.8.8.8")), 0);
  t.neighbour(2, "10.70.0.2", Nud::stale);
  t.neighbour(3, "10.71.0.2", Nud::stale);
  EXPECT_EQ(t.hop(RouteTestNet::flow("8.8.8.8")), -kUnknown);
}

struct NexthopNet : MultipathNet {
  NexthopNet() : MultipathNet(1) {
    for (std::uint32_t i = 0; i < 4; ++i) set(hop_object(1 + i, static_cast<int>(i)));
  }
  void set(const NexthopSpec& spec) { net.nexthops->set(spec); }
  static NexthopSpec hop_object(std::uint32_t id, int i) {
    NexthopSpec n;
    n.id = id;
    n.nh.oif = 2 + i;
    n.nh.gateway = ip("10.7" + std::to_string(i) + ".0.2");
    return n;
  }
  void group(std::uint32_t id, std::vector<std::pair<std::uint32_t, std::uint16_t>> members) {
    NexthopSpec n;
    n.id = id;
    n.group = std::move(members);
    set(n);
  }
  void route_over(std::uint32_t nhid) {
    Route r;
    r.dst = prefix("10.2.0.0/16");
    r.nhid = nhid;
    add(r);
  }
  std::string by_port(std::uint16_t ports) {
    std::array<int, 4> seen{};
    for (std::uint16_t p = 1; p <= ports; ++p) {
      Flow4 f = flow("10.2.0.1");
      f.sport = p;
      if (const int h = hop(f); h >= 0) ++seen.at(static_cast<std::size_t>(h));
    }
    std::string text;
    for (std::size_t i = 0; i < 4; ++i)
      if (seen.at(i) > 0) text += std::to_string(i);
    return text;
  }
};

TEST(Nexthop, RoutesFollowAnObjectAtOnce) {
  NexthopNet t;
  t.route_over(1);
  EXPECT_EQ(t.hop(RouteTestNet::flow("10.2.0.1")), 0);
  t.set(NexthopNet::hop_object(1, 3));
  EXPECT_EQ(t.hop(RouteTestNet::flow("10.2.0.1")), 3);
  NexthopSpec hole;
  hole.id = 1;
  hole.blackhole = true;
  t.set(hole);
  EXPECT_EQ(t.hop(RouteTestNet::flow("10.2.0.1")), -EINVAL);
}

TEST(Nexthop, RemovingOneRemovesItsRoutesAndItsPlaceInGroups) {
  NexthopNet t;
  t.group(10, {{1, 1}, {2, 1}});
  t.group(11, {{1, 1}});
  t.route_over(10);
  EXPECT_EQ(t.by_port(100), "01");
  t.net.nexthops->remove(1);
  EXPECT_EQ(t.by_port(100), "1");
  EXPECT_EQ(t.net.nexthops->find(1), nullptr);
  EXPECT_EQ(t.net.nexthops->find(11), nullptr);  // left empty
  t.net.nexthops->remove(10);
  EXPECT_EQ(t.hop(RouteTestNet::flow("10.2.0.1")), -ENETUNREACH);
  EXPECT_EQ(t.net.nexthops->all().size(), 3U);
}

TEST(Nexthop, GroupsLeaveOutFailedNeighbours) {
  NexthopNet t;
  t.group(10, {{1, 1}, {2, 5}, {3, 1}});
  t.route_over(10);
  EXPECT_EQ(t.by_port(300), "012");
  t.neighbour(3, "10.71.0.2", Nud::failed);
  EXPECT_EQ(t.by_port(300), "02");
}

TEST(Nexthop, ResilientGroupsAreUnknown) {
  NexthopNet t;
  NexthopSpec n;
  n.id = 10;
  n.group = {{1, 1}, {2, 1}};
  n.resilient = true;
  t.set(n);
  t.route_over(10);
  EXPECT_EQ(t.hop(RouteTestNet::flow("10.2.0.1")), -kUnknown);
}

TEST(Nexthop, ABlackholeAloneInAGroup) {
  NexthopNet t;
  NexthopSpec hole;
  hole.id = 5;
  hole.blackhole = true;
  t.set(hole);
  t.group(10, {{5, 1}});
  t.route_over(10);
  EXPECT_EQ(t.hop(RouteTestNet::flow("10.2.0.1")), -EINVAL);
}

TEST(Nexthop, TheTraceNamesTheGroupAndItsMember) {
  NexthopNet t;
  t.group(10, {{1, 1}, {2, 1}});
  t.route_over(10);
  Trace trace(t.net.clock);
  Flow4 f = RouteTestNet::flow("10.2.0.1");
  ASSERT_TRUE(t.route(f, &trace));
  const auto& by = trace.stages().at(0).by;
  ASSERT_GE(by.size(), 4U);
  EXPECT_EQ(std::get<Route>(by[1]).nhid, 10U);
  EXPECT_EQ(std::get<NexthopSpec>(by[2]).id, 10U);
  EXPECT_LE(std::get<NexthopSpec>(by[3]).id, 2U);
}

}  // namespace
}  // namespace txp
