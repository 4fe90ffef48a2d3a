// SPDX-License-Identifier: Apache-2.0
#include "route/fib6.h"

#include <string_view>

#include "route/ip6_route.h"
#include "route/route_test_net.h"
#include "socket/sock.h"

namespace txp {
namespace {

Ip6 ip6(std::string_view text) { return Ip6::parse(text).value(); }

Prefix6 prefix6(std::string_view text) {
  const auto slash = text.find('/');
  return {ip6(text.substr(0, slash)),
          static_cast<std::uint8_t>(std::stoi(std::string(text.substr(slash + 1))))};
}

struct Fib6 : RouteTestNet, ::testing::Test {
  void addr6(int ifindex, std::string_view local, std::uint32_t flags = 0x80) {
    In6Addr a;
    a.ifindex = ifindex;
    a.local = a.peer = ip6(local);
    a.prefixlen = 64;
    a.scope = a.local.is_linklocal() ? 253 : 0;
    a.flags = flags;
    net.dev->change_inet6(ifindex, [&](Inet6Dev& d) { d.addrs.push_back(a); });
  }
  void route6(std::string_view dst, int oif, std::uint32_t metric = 1024,
              std::string_view via = "::", RouteType type = RouteType::unicast) {
    Route6 r;
    r.dst = prefix6(dst);
    r.type = type;
    r.priority = metric;
    r.nexthops.push_back({.oif = oif, .gateway = ip6(via)});
    net.fib6->add(r);
  }
  Rt6Info lookup(std::string_view dst, int oif = 0) {
    const RcuReader reader;
    Flow6 fl6;
    fl6.daddr = ip6(dst);
    fl6.oif = oif;
    fl6.iif = 1;
    auto rt = ip6_route_output(net, nullptr, fl6, 0, nullptr);
    EXPECT_TRUE(rt);
    return rt ? *rt : Rt6Info{};
  }
  std::string source(int ifindex, std::string_view dst, unsigned prefs = 0) {
    const RcuReader reader;
    const auto a = ipv6_dev_get_saddr(net, net.dev->by_index(ifindex), ip6(dst), prefs);
    return a ? a->str() : "none";
  }
};

TEST_F(Fib6, TheLongestPrefixThenTheLowestMetricDecides) {
  link(2, "va");
  link(3, "vc");
  addr6(2, "2001:db8:77::1");
  route6("2001:db8:77::/64", 2, 256);
  route6("::/0", 2, 1024, "2001:db8:77::2");
  route6("2001:db8:9::/48", 3, 2000);
  route6("2001:db8:9::/48", 2, 1000, "2001:db8:77::3");
  EXPECT_EQ(lookup("2001:db8:77::5").idev, 2);
  EXPECT_TRUE(lookup("2001:db8:77::5").gateway.is_any());
  EXPECT_EQ(lookup("2001:4860::1").gateway, ip6("2001:db8:77::2"));
  EXPECT_EQ(lookup("2001:db8:9::1").gateway, ip6("2001:db8:77::3"));
  EXPECT_EQ(lookup("2001:db8:9::1", 3).idev, 3)
      << "a device that was asked for goes before the metric";
}

TEST_F(Fib6, RoutesThatRefuseHaveTheirErrno) {
  link(2, "va");
  route6("2001:db8:1::/48", 1, 1024, "::", RouteType::unreachable);
  route6("2001:db8:2::/48", 1, 1024, "::", RouteType::prohibit);
  route6("2001:db8:3::/48", 1, 1024, "::", RouteType::blackhole);
  EXPECT_EQ(lookup("2001:db8:1::1").error, EHOSTUNREACH);
  EXPECT_EQ(lookup("2001:db8:2::1").error, EACCES);
  EXPECT_EQ(lookup("2001:db8:3::1").error, EINVAL);
  EXPECT_EQ(lookup("2001:db8:4::1").error, ENETUNREACH);
}

TEST_F(Fib6, ARemovedRouteIsNotFoundAndTheOthersStay) {
  link(2, "va");
  route6("2001:db8:1::/48", 2);
  route6("2001:db8:2::/48", 2);
  EXPECT_EQ(net.fib6->all().size(), 2U);
  EXPECT_TRUE(net.fib6->remove(net.fib6->all().front()));
  EXPECT_EQ(lookup("2001:db8:1::1").error, ENETUNREACH);
  EXPECT_EQ(lookup("2001:db8:2::1").error, 0);
}

// RFC 6724, section 5, in the order of ipv6_get_saddr_eval().
TEST_F(Fib6, SourceByScopeDeprecationAndPrefix) {
  link(2, "va");
  addr6(2, "2001:db8:1::1");
  addr6(2, "2001:db8:2::1");
  addr6(2, "fe80::1");
  EXPECT_EQ(source(2, "2001:db8:1::9"), "2001:db8:1::1");
  EXPECT_EQ(source(2, "2001:db8:2::9"), "2001:db8:2::1");
  EXPECT_EQ(source(2, "fe80::9"), "fe80::1");
  EXPECT_EQ(source(2, "ff02::1"), "fe80::1");
  addr6(2, "2001:db8:3::1", 0x80 | 0x20);  // deprecated
  EXPECT_NE(source(2, "2001:db8:3::9"), "2001:db8:3::1");
  addr6(2, "2001:db8:3::2", 0x80 | 0x40);  // tentative
  EXPECT_NE(source(2, "2001:db8:3::9"), "2001:db8:3::2");
}

TEST_F(Fib6, SourceByTheOutgoingDeviceGoesBeforeThePrefix) {
  link(2, "va");
  link(3, "vc");
  addr6(2, "2001:db8:1::1");
  addr6(3, "2001:db8:9::1");
  EXPECT_EQ(source(2, "2001:db8:9::7"), "2001:db8:1::1");
}

TEST_F(Fib6, NoDeviceUnderTheLeastMtu) {
  link(2, "va", kIffUp, 1279);
  link(3, "vc", kIffUp, 1280);
  EXPECT_FALSE(has_in6_dev(*net.dev->by_index(2)));
  EXPECT_TRUE(has_in6_dev(*net.dev->by_index(3)));
}

TEST(Ip6Text, ThereAndBack) {
  for (const char* text : {"::", "::1", "2001:db8::1", "fe80::2", "::ffff:10.0.0.1",
                           "ff02::1:ff00:2", "2001:db8:0:1:1:1:1:1", "1:0:0:2::3"})
    EXPECT_EQ(ip6(text).str(), text);
  for (const char* text : {"", ":", "1:2", "::1::", "10.0.0.1", "2001:db8::g", "::1%lo"})
    EXPECT_FALSE(Ip6::parse(text)) << text;
}

TEST(Ip6Text, TypesAndCommonBits) {
  EXPECT_TRUE(ip6("fe80::1").is_linklocal());
  EXPECT_TRUE(ip6("ff02::1").is_multicast());
  EXPECT_TRUE(ip6("::ffff:1.2.3.4").is_v4mapped());
  EXPECT_EQ(ip6_common_bits(ip6("2001:db8::"), ip6("2001:db8:8000::")), 32);
  EXPECT_EQ(ip6_common_bits(ip6("::1"), ip6("::1")), 128);
  EXPECT_TRUE((Prefix6{ip6("2001:db8::"), 33}).contains(ip6("2001:db8:7fff::1")));
  EXPECT_FALSE((Prefix6{ip6("2001:db8::"), 33}).contains(ip6("2001:db8:8000::1")));
}

}  // namespace
}  // namespace txp
