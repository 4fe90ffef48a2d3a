// SPDX-License-Identifier: Apache-2.0
// The answers here were compared with those of kernel 6.18 (RTM_GETROUTE in an equal namespace).
#include "route/route_test_net.h"

namespace txp {
namespace {

struct Host : RouteTestNet {
  Host() {
    link(2, "va");
    link(3, "vb", kIffUp, 1400);
    link(4, "down", 0);
    addr(2, "10.77.0.1", 24);
    addr(2, "10.77.0.5", 24);
    addr(3, "10.78.0.1", 24);
    addr(4, "10.90.0.1", 24);
    Route r = via("0.0.0.0/0", "10.77.0.2", 2);
    r.priority = 100;
    add(r);
  }
};

TEST(IpRouteOutput, OnLinkAndByGateway) {
  Host t;
  EXPECT_EQ(t.get("10.77.0.9"), "va src 10.77.0.1");
  EXPECT_EQ(t.get("8.8.8.8"), "va via 10.77.0.2 src 10.77.0.1");
  EXPECT_EQ(t.get("8.8.8.8", "10.78.0.1"), "va via 10.77.0.2 src 10.78.0.1");
}

TEST(IpRouteOutput, FillsInTheFlow) {
  Host t;
  Flow4 f = Host::flow("8.8.8.8");
  const auto rt = t.route(f);
  ASSERT_TRUE(rt);
  EXPECT_EQ(f.saddr, ip("10.77.0.1"));
  EXPECT_EQ(f.oif, 2);
  EXPECT_EQ(rt->type, RouteType::unicast);
  EXPECT_EQ(rt->output, DstOutput::ip_output);
  EXPECT_EQ(rt->mtu, 1500U);
  EXPECT_FALSE(rt->is_local);
}

TEST(IpRouteOutput, RouteTypesThatRefuse) {
  Host t;
  t.add(Host::special("10.1.0.0/16", RouteType::unreachable));
  t.add(Host::special("10.2.0.0/16", RouteType::prohibit));
  t.add(Host::special("10.3.0.0/16", RouteType::blackhole));
  t.add(Host::special("10.4.0.0/16", RouteType::throw_));
  EXPECT_EQ(t.get("10.1.1.1"), "EHOSTUNREACH");
  EXPECT_EQ(t.get("10.2.1.1"), "EACCES");
  EXPECT_EQ(t.get("10.3.1.1"), "EINVAL");
  EXPECT_EQ(t.get("10.4.1.1"), "ENETUNREACH");
}

TEST(IpRouteOutput, NoRoute) {
  RouteTestNet t;
  EXPECT_EQ(t.get("8.8.8.8"), "ENETUNREACH");
}

TEST(IpRouteOutput, SourcesThatAreRefused) {
  Host t;
  EXPECT_EQ(t.get("8.8.8.8", "224.0.0.1"), "EINVAL");
  EXPECT_EQ(t.get("8.8.8.8", "255.255.255.255"), "EINVAL");
  EXPECT_EQ(t.get("8.8.8.8", "9.9.9.9"), "ENETUNREACH");
  EXPECT_EQ(t.get("8.8.8.8", "10.77.0.255"), "ENETUNREACH");  // a broadcast address is not ours
  EXPECT_EQ(t.get("8.8.8.8", "127.0.0.1"), "EINVAL");         // martian on the wire
  Flow4 any = Host::flow("8.8.8.8", "9.9.9.9");
  any.flags = kFlowAnysrc;
  EXPECT_EQ(t.get(any), "va via 10.77.0.2 src 9.9.9.9");
}

TEST(IpRouteOutput, RouteLocalnetLetsLoopbackSourcesOut) {
  Host t;
  InDevConf conf;
  conf.route_localnet = true;
  t.net.dev->set_in_conf(2, conf);
  EXPECT_EQ(t.get("8.8.8.8", "127.0.0.1"), "va via 10.77.0.2 src 127.0.0.1");
}

TEST(IpRouteOutput, OurOwnAddressesGoByLoopback) {
  Host t;
  Flow4 f = Host::flow("10.77.0.5");
  const auto rt = t.route(f);
  ASSERT_TRUE(rt);
  EXPECT_EQ(rt->dev->name(), "lo");
  EXPECT_EQ(rt->iif, 2);
  EXPECT_TRUE(rt->is_local);
  EXPECT_EQ(rt->type, RouteType::local);
  EXPECT_EQ(rt->mtu, 65535U);
  EXPECT_EQ(f.saddr, ip("10.77.0.5"));
  EXPECT_EQ(t.get("127.3.3.3"), "lo src 127.0.0.1");
}

TEST(IpRouteOutput, ToNobodyIsToOurselves) {
  Host t;
  Flow4 f = Host::flow("0.0.0.0");
  EXPECT_EQ(t.get(f), "lo src 127.0.0.1");
  f.saddr = ip("10.77.0.1");
  EXPECT_EQ(t.get(f), "lo src 10.77.0.1");
  f.saddr = {};
  f.oif = 3;
  const auto rt = t.route(f);
  ASSERT_TRUE(rt);
  EXPECT_EQ(f.daddr, ip("10.78.0.1"));
}

TEST(IpRouteOutput, AGivenDevice) {
  Host t;
  Flow4 f = Host::flow("8.8.8.8");
  f.oif = 99;
  EXPECT_EQ(t.get(f), "ENODEV");
  f.oif = 4;
  EXPECT_EQ(t.get(f), "ENETUNREACH");  // not up
  f.oif = 2;
  EXPECT_EQ(t.get(f), "va via 10.77.0.2 src 10.77.0.1");
  f.oif = 3;  // no route there: taken as on link
  EXPECT_EQ(t.get(f), "vb src 10.78.0.1");
  t.add(Host::special("8.0.0.0/8", RouteType::prohibit));
  EXPECT_EQ(t.get(f), "vb src 10.78.0.1");  // not even a prohibition counts
}

TEST(IpRouteOutput, DontRouteAsksForLinkScope) {
  Host t;
  Flow4 f = Host::flow("8.8.8.8");
  f.scope = kScopeLink;
  EXPECT_EQ(t.get(f), "ENETUNREACH");
  f.daddr = ip("10.77.0.9");
  EXPECT_EQ(t.get(f), "va src 10.77.0.1");
}

TEST(IpRouteOutput, Broadcast) {
  Host t;
  Flow4 f = Host::flow("10.77.0.255");
  const auto rt = t.route(f);
  ASSERT_TRUE(rt);
  EXPECT_TRUE(rt->is_broadcast);
  EXPECT_EQ(rt->output, DstOutput::ip_mc_output);
  f = Host::flow("255.255.255.255");
  EXPECT_EQ(t.get(f), "va src 10.77.0.1");  // by the default route's device, not its gateway
  f.saddr = ip("10.78.0.1");                // the source names the device
  EXPECT_EQ(t.get(f), "vb src 10.78.0.1");
  f.saddr = ip("9.9.9.9");
  EXPECT_EQ(t.get(f), "ENETUNREACH");
}

TEST(IpRouteOutput, Multicast) {
  Host t;
  Flow4 f = Host::flow("239.1.1.1");
  auto rt = t.route(f);
  ASSERT_TRUE(rt);
  EXPECT_EQ(rt->type, RouteType::multicast);
  EXPECT_TRUE(rt->is_multicast);
  EXPECT_FALSE(rt->is_local);
  EXPECT_TRUE(rt->gateway.is_zero());
  EXPECT_EQ(rt->output, DstOutput::ip_output);
  t.net.dev->set_mc_groups(2, {ip("224.0.0.1"), ip("239.1.1.1")});
  f = Host::flow("239.1.1.1");
  rt = t.route(f);
  ASSERT_TRUE(rt);
  EXPECT_TRUE(rt->is_local);
  EXPECT_EQ(rt->output, DstOutput::ip_mc_output);
  // A multicast route of four bits or more gives its gateway too.
  t.add(Host::via("225.0.0.0/8", "10.78.0.9", 3));
  EXPECT_EQ(t.get("225.1.1.1"), "vb via 10.78.0.9 src 10.78.0.1");
}

TEST(IpRouteOutput, AGatewayThatIsOurOwnAddressMeansOnLink) {
  Host t;
  t.add(Host::via("10.5.0.0/16", "10.77.0.1", 2));
  EXPECT_EQ(t.get("10.5.1.1"), "va src 10.77.0.1");
}

TEST(IpRouteOutput, TosOfRoutes) {
  Host t;
  const auto add = [&](std::uint8_t tos, std::string_view gateway) {
    Route r = Host::via("10.6.0.0/16", gateway, 2);
    r.tos = tos;
    t.add(r);
  };
  add(0, "10.77.0.10");
  add(0x10, "10.77.0.11");
  add(0x20, "10.77.0.12");
  const auto gateway = [&](std::uint8_t tos) {
    Flow4 f = Host::flow("10.6.1.1");
    f.tos = tos;
    const auto rt = t.route(f);
    return rt ? rt->gateway.str() : "";
  };
  EXPECT_EQ(gateway(0), "10.77.0.10");
  EXPECT_EQ(gateway(0x10), "10.77.0.11");
  EXPECT_EQ(gateway(0xf0), "10.77.0.11");  // the upper three bits of the flow do not count
  EXPECT_EQ(gateway(0x20), "10.77.0.10");
}

TEST(IpRouteOutput, DeadAndLinkdownHops) {
  Host t;
  Route r = Host::via("10.7.0.0/16", "10.77.0.2", 2);
  r.nexthops[0].flags = kNhfLinkdown;
  t.add(r);
  r = Host::via("10.7.0.0/16", "10.78.0.2", 3);
  r.priority = 10;
  t.add(r);
  EXPECT_EQ(t.get("10.7.1.1"), "va via 10.77.0.2 src 10.77.0.1");
  InDevConf conf;
  conf.ignore_routes_with_linkdown = true;
  t.net.dev->set_in_conf(2, conf);
  EXPECT_EQ(t.get("10.7.1.1"), "vb via 10.78.0.2 src 10.78.0.1");
  t.net.dev->set_in_conf(2, {});
  r = Host::via("10.7.0.0/16", "10.77.0.2", 2);
  r.nexthops[0].flags = kNhfDead;
  t.add(r);
  EXPECT_EQ(t.get("10.7.1.1"), "vb via 10.78.0.2 src 10.78.0.1");
}

TEST(IpRouteOutput, Metrics) {
  Host t;
  Route r = Host::via("10.8.0.0/16", "10.77.0.2", 2);
  r.metrics.value[kRtaxMtu] = 1000;
  r.metrics.value[kRtaxHoplimit] = 7;
  r.metrics.lock = 1U << kRtaxMtu;
  t.add(r);
  Flow4 f = Host::flow("10.8.1.1");
  auto rt = t.route(f);
  ASSERT_TRUE(rt);
  EXPECT_EQ(rt->mtu, 1000U);
  EXPECT_TRUE(rt->mtu_locked);
  EXPECT_EQ(rt->hoplimit, 7);
  f = Host::flow("10.78.0.9");
  rt = t.route(f);
  ASSERT_TRUE(rt);
  EXPECT_EQ(rt->mtu, 1400U);
}

TEST(IpRouteOutput, PreferredSource) {
  Host t;
  Route r = Host::via("10.9.0.0/16", "10.77.0.2", 2);
  r.prefsrc = ip("10.78.0.1");
  t.add(r);
  EXPECT_EQ(t.get("10.9.1.1"), "va via 10.77.0.2 src 10.78.0.1");
}

TEST(IpRouteOutput, VrfAndEncapAreUnknownByName) {
  Host t;
  Link vrf;
  vrf.ifindex = 8;
  vrf.name = "red";
  vrf.kind = "vrf";
  vrf.flags = kIffUp;
  t.net.dev->set_link(vrf);
  Link slave = t.net.dev->by_index(3)->link();
  slave.master = 8;
  t.net.dev->set_link(slave);
  Trace trace(t.net.clock);
  Flow4 f = Host::flow("10.78.0.9");
  auto rt = t.route(f, &trace);
  ASSERT_FALSE(rt);
  EXPECT_TRUE(rt.error().is_unknown());
  ASSERT_EQ(trace.unknowns().size(), 1U);
  EXPECT_EQ(trace.unknowns()[0].kind, "vrf");
  EXPECT_EQ(trace.unknowns()[0].text, "red");

  Route r = Host::via("10.10.0.0/16", "10.77.0.2", 2);
  r.nexthops[0].encap = "mpls 100";
  t.add(r);
  f = Host::flow("10.10.1.1");
  rt = t.route(f, &trace);
  ASSERT_FALSE(rt);
  EXPECT_TRUE(rt.error().is_unknown());
  EXPECT_EQ(trace.unknowns().back().text, "encap mpls 100");
}

TEST(IpRouteOutput, AnIpv6GatewayIsTold) {
  Host t;
  Route r = Host::via("10.11.0.0/16", "", 2);
  r.nexthops[0].gateway6 = "fe80::1";
  t.add(r);
  Flow4 f = Host::flow("10.11.1.1");
  const auto rt = t.route(f);
  ASSERT_TRUE(rt);
  EXPECT_TRUE(rt->gateway_is_v6);
}

TEST(IpRouteOutput, TheTraceNamesWhatDecided) {
  Host t;
  Trace trace(t.net.clock);
  Flow4 f = Host::flow("8.8.8.8");
  ASSERT_TRUE(t.route(f, &trace));
  const TraceStage& s = trace.stages().at(0);
  EXPECT_EQ(s.result, "ok");
  ASSERT_EQ(s.by.size(), 3U);
  EXPECT_EQ(std::get<FibRule>(s.by[0]).priority, 32766U);
  EXPECT_EQ(std::get<Route>(s.by[1]).dst.len, 0);
  EXPECT_EQ(std::get<InAddr>(s.by[2]).local, ip("10.77.0.1"));
  ASSERT_EQ(s.also.size(), 1U);
  EXPECT_EQ(std::get<FibRule>(s.also[0]).table, kTableLocal);
  ASSERT_EQ(s.out.size(), 4U);
  EXPECT_EQ(s.out[0].first, "dev");
  EXPECT_EQ(s.out[1].first, "gateway");
  EXPECT_EQ(s.out[2].first, "src");
  EXPECT_EQ(std::get<std::int64_t>(s.out[3].second), 1500);

  t.add(Host::special("9.0.0.0/8", RouteType::prohibit));
  f = Host::flow("9.9.9.9");
  ASSERT_FALSE(t.route(f, &trace));
  EXPECT_EQ(trace.stages().back().result, "error");
  EXPECT_EQ(std::get<Route>(trace.stages().back().by.at(1)).type, RouteType::prohibit);
}

TEST(Devinet, WhatAnAddressIsToThisHost) {
  Host t;
  const RcuReader reader;
  EXPECT_EQ(inet_addr_type(t.net, ip("10.77.0.1")), RouteType::local);
  EXPECT_EQ(inet_addr_type(t.net, ip("127.9.9.9")), RouteType::local);
  EXPECT_EQ(inet_addr_type(t.net, ip("10.77.0.255")), RouteType::broadcast);
  EXPECT_EQ(inet_addr_type(t.net, ip("255.255.255.255")), RouteType::broadcast);
  EXPECT_EQ(inet_addr_type(t.net, ip("0.0.0.0")), RouteType::broadcast);
  EXPECT_EQ(inet_addr_type(t.net, ip("239.0.0.1")), RouteType::multicast);
  EXPECT_EQ(inet_addr_type(t.net, ip("8.8.8.8")), RouteType::unicast);
  const NetDevice* vb = t.net.dev->by_index(3);
  EXPECT_EQ(inet_dev_addr_type(t.net, vb, ip("10.77.0.1")), RouteType::unicast);
  EXPECT_EQ(inet_dev_addr_type(t.net, vb, ip("10.78.0.1")), RouteType::local);
}

TEST(Devinet, SourceAddressByScopeAndSubnet) {
  RouteTestNet t;
  t.link(2, "va");
  t.link(3, "bare");
  t.addr(2, "10.1.0.1", 24);
  t.addr(2, "10.2.0.1", 24);
  t.addr(2, "169.254.1.1", 16, kScopeLink);
  const RcuReader reader;
  const NetDevice* va = t.net.dev->by_index(2);
  EXPECT_EQ(inet_select_addr(t.net, va, ip("10.2.0.9"), kScopeUniverse), ip("10.2.0.1"));
  EXPECT_EQ(inet_select_addr(t.net, va, ip("9.9.9.9"), kScopeUniverse), ip("10.1.0.1"));
  EXPECT_EQ(inet_select_addr(t.net, va, ip("169.254.7.7"), kScopeLink), ip("169.254.1.1"));
  // A device without addresses borrows from another, but no link-scope one.
  EXPECT_EQ(inet_select_addr(t.net, t.net.dev->by_index(3), {}, kScopeUniverse), ip("10.1.0.1"));
  EXPECT_EQ(inet_select_addr(t.net, nullptr, {}, kScopeHost), ip("127.0.0.1"));
}

TEST(Devinet, ALinkScopeAddressIsNotLentToOtherDevices) {
  RouteTestNet t;
  t.link(2, "va");
  t.link(3, "bare");
  t.addr(2, "169.254.1.1", 16, kScopeLink);
  const RcuReader reader;
  EXPECT_EQ(inet_select_addr(t.net, t.net.dev->by_index(3), {}, kScopeLink), Ip4{});
}

TEST(Devinet, WhoOwnsAnAddress) {
  Host t;
  const RcuReader reader;
  EXPECT_EQ(ip_dev_find(t.net, ip("10.77.0.5"))->name(), "va");
  EXPECT_EQ(ip_dev_find(t.net, ip("127.8.8.8"))->name(), "lo");
  EXPECT_EQ(ip_dev_find(t.net, ip("10.77.0.255")), nullptr);
  EXPECT_EQ(ip_dev_find(t.net, ip("10.77.0.7")), nullptr);
}

}  // namespace
}  // namespace txp
