// SPDX-License-Identifier: Apache-2.0
#include "mirror/decode.h"

#include <arpa/inet.h>
#include <gtest/gtest.h>
#include <linux/if_link.h>
#include <linux/netfilter.h>
#include <linux/netfilter/nf_tables.h>
#include <linux/netfilter/nfnetlink.h>
#include <linux/rtnetlink.h>

#include <cstring>

#include "mirror/namespace_reader.h"
#include "mirror/netlink.h"
#include "net.h"

namespace txp {
namespace {

std::span<const std::uint8_t> bytes_of(NlRequest& r) {
  const void* p = r.header();
  return {static_cast<const std::uint8_t*>(p), r.header()->nlmsg_len};
}

std::string error_of(MessageType type, NlRequest& r) {
  const auto decoded = decode({type, bytes_of(r), {}});
  return decoded ? "decoded" : decoded.error().what;
}

rtmsg* put_route(NlRequest& r, std::uint8_t dst_len) {
  auto* h = r.put_header<rtmsg>();
  h->rtm_family = AF_INET;
  h->rtm_dst_len = dst_len;
  h->rtm_type = RTN_UNICAST;
  h->rtm_table = RT_TABLE_MAIN;
  return h;
}

TEST(Decode, RouteWithEverything) {
  NlRequest r(RTM_NEWROUTE, 0);
  put_route(r, 16)->rtm_flags = RTNH_F_ONLINK;
  mnl_attr_put_u32(r.header(), RTA_DST, htonl(0x0a010000));
  mnl_attr_put_u32(r.header(), RTA_GATEWAY, htonl(0x0a4d0002));
  mnl_attr_put_u32(r.header(), RTA_OIF, 7);
  mnl_attr_put_u32(r.header(), RTA_TABLE, 3000);
  nlattr* metrics = mnl_attr_nest_start(r.header(), RTA_METRICS);
  mnl_attr_put_u32(r.header(), RTAX_MTU, 1400);
  mnl_attr_put_u32(r.header(), RTAX_LOCK, 1U << RTAX_MTU);
  mnl_attr_nest_end(r.header(), metrics);
  const auto d = decode({MessageType::new_route, bytes_of(r), {}});
  ASSERT_TRUE(d.has_value()) << d.error().what;
  const Route& route = std::get<Route>(d->what);
  EXPECT_EQ(route.dst.str(), "10.1.0.0/16");
  EXPECT_EQ(route.table, 3000U);
  EXPECT_EQ(route.metrics.value[kRtaxMtu], 1400U);
  EXPECT_EQ(route.metrics.lock, 1U << kRtaxMtu);
  ASSERT_EQ(route.nexthops.size(), 1U);
  EXPECT_EQ(route.nexthops[0].gateway.str(), "10.77.0.2");
  EXPECT_EQ(route.nexthops[0].oif, 7);
  EXPECT_EQ(route.nexthops[0].scope, kScopeLink);
  EXPECT_EQ(route.nexthops[0].flags, kNhfOnlink);
}

// RTM_NEWLINK of `kind`, its attributes put by `put`.
template <typename Put>
Result<Decoded> decode_kind(const char* kind, Put put) {
  NlRequest r(RTM_NEWLINK, 0);
  r.put_header<ifinfomsg>()->ifi_index = 7;
  mnl_attr_put_strz(r.header(), IFLA_IFNAME, "tun0");
  nlattr* info = mnl_attr_nest_start(r.header(), IFLA_LINKINFO);
  mnl_attr_put_strz(r.header(), IFLA_INFO_KIND, kind);
  nlattr* data = mnl_attr_nest_start(r.header(), IFLA_INFO_DATA);
  put(r.header());
  mnl_attr_nest_end(r.header(), data);
  mnl_attr_nest_end(r.header(), info);
  return decode({MessageType::new_link, bytes_of(r), {}});
}

TEST(Decode, TunnelsByTheirKind) {
  const auto vxlan = decode_kind("vxlan", [](nlmsghdr* h) {
    mnl_attr_put_u32(h, IFLA_VXLAN_ID, 5);
    mnl_attr_put_u32(h, IFLA_VXLAN_GROUP, htonl(0x0a000002));
    mnl_attr_put_u16(h, IFLA_VXLAN_PORT, htons(4789));
    mnl_attr_put_u8(h, IFLA_VXLAN_DF, 2);
    mnl_attr_put_u8(h, IFLA_VXLAN_UDP_CSUM, 0);
    mnl_attr_put_u8(h, IFLA_VXLAN_PROXY, 1);
    const std::uint16_t range[] = {htons(5000), htons(5001)};
    mnl_attr_put(h, IFLA_VXLAN_PORT_RANGE, sizeof range, range);
  });
  ASSERT_TRUE(vxlan.has_value()) << vxlan.error().what;
  const auto& v = *std::get<Link>(vxlan->what).as<VxlanInfo>();
  EXPECT_EQ(v.id, 5U);
  EXPECT_EQ(v.group, Ip4{0x0a000002});
  EXPECT_EQ(v.port, 4789);
  EXPECT_EQ(v.df, TunnelDf::inherit);
  EXPECT_FALSE(v.udp_csum);
  EXPECT_EQ(v.unknown, "proxy");
  EXPECT_EQ(v.port_max, 5001);

  constexpr std::uint16_t kOflags = 3, kOkey = 5, kRemote = 7, kTtl = 8, kPmtudisc = 10;
  const auto gre = decode_kind("gre", [](nlmsghdr* h) {  // IFLA_GRE_*
    mnl_attr_put_u16(h, kOflags, htons(0xa000));
    mnl_attr_put_u32(h, kOkey, htonl(0x01020304));
    mnl_attr_put_u32(h, kRemote, htonl(0x0a000002));
    mnl_attr_put_u8(h, kTtl, 9);
    mnl_attr_put_u8(h, kPmtudisc, 0);
  });
  ASSERT_TRUE(gre.has_value()) << gre.error().what;
  const auto& g = *std::get<Link>(gre->what).as<IpTunnelInfo>();
  EXPECT_EQ(g.o_flags, 0xa000);
  EXPECT_EQ(g.okey, 0x01020304U);
  EXPECT_EQ(g.remote, Ip4{0x0a000002});
  EXPECT_EQ(g.ttl, 9);
  EXPECT_FALSE(g.pmtudisc);

  const auto short_id = decode_kind("geneve", [](nlmsghdr* h) { mnl_attr_put_u8(h, 1, 5); });
  EXPECT_FALSE(short_id.has_value());
}

TEST(Decode, HostileRoutesAreRefused) {
  {
    NlRequest r(RTM_NEWROUTE, 0);
    put_route(r, 33);
    EXPECT_EQ(error_of(MessageType::new_route, r), "RTM_NEWROUTE: prefix length 33");
  }
  {
    NlRequest r(RTM_NEWROUTE, 0);
    put_route(r, 8);
    mnl_attr_put_u32(r.header(), RTA_DST, htonl(0x0a000001));
    EXPECT_EQ(error_of(MessageType::new_route, r),
              "RTM_NEWROUTE: 10.0.0.1/8 has bits beyond its prefix length");
  }
  {
    NlRequest r(RTM_NEWROUTE, 0);
    put_route(r, 8);
    mnl_attr_put_u16(r.header(), RTA_DST, 1);
    EXPECT_EQ(error_of(MessageType::new_route, r), "RTM_NEWROUTE: route: attribute 1 is too short");
  }
  {
    NlRequest r(RTM_NEWROUTE, 0);
    put_route(r, 0);
    mnl_attr_put_u32(r.header(), RTA_OIF, 0x80000000);
    EXPECT_EQ(error_of(MessageType::new_route, r),
              "RTM_NEWROUTE: route: attribute 4 is not an interface index");
  }
  {
    NlRequest r(RTM_NEWROUTE, 0);
    put_route(r, 0);
    rtnexthop nh{};
    nh.rtnh_len = 100;  // beyond the attribute
    mnl_attr_put(r.header(), RTA_MULTIPATH, sizeof nh, &nh);
    EXPECT_EQ(error_of(MessageType::new_route, r), "RTM_NEWROUTE: RTA_MULTIPATH is cut short");
  }
  {
    NlRequest r(RTM_NEWROUTE, 0);
    put_route(r, 0)->rtm_type = 99;
    EXPECT_EQ(error_of(MessageType::new_route, r), "RTM_NEWROUTE: route type 99");
  }
  {
    NlRequest r(RTM_NEWROUTE, 0);
    put_route(r, 0);
    mnl_attr_put_u32(r.header(), RTA_OIF, 1);
    nlattr* last = static_cast<nlattr*>(mnl_nlmsg_get_payload_offset(r.header(), sizeof(rtmsg)));
    last->nla_len = 3;
    EXPECT_EQ(error_of(MessageType::new_route, r),
              "RTM_NEWROUTE: route: an attribute is cut short");
  }
}

TEST(Decode, EveryTruncationOfAMessageIsAnErrorOrLess) {
  NlRequest r(RTM_NEWLINK, 0);
  auto* h = r.put_header<ifinfomsg>();
  h->ifi_index = 3;
  mnl_attr_put_strz(r.header(), IFLA_IFNAME, "va");
  nlattr* info = mnl_attr_nest_start(r.header(), IFLA_LINKINFO);
  mnl_attr_put_strz(r.header(), IFLA_INFO_KIND, "veth");
  mnl_attr_nest_end(r.header(), info);
  const auto whole = bytes_of(r);
  for (std::size_t n = 0; n < whole.size(); ++n) {
    std::vector<std::uint8_t> cut(whole.begin(), whole.begin() + static_cast<std::ptrdiff_t>(n));
    EXPECT_FALSE(decode({MessageType::new_link, cut, {}}).has_value()) << n;
    if (n < sizeof(nlmsghdr)) continue;
    // And with a header that tells the truth about it.
    const auto len = static_cast<std::uint32_t>(n);
    std::memcpy(cut.data(), &len, sizeof len);
    const auto d = decode({MessageType::new_link, cut, {}});
    EXPECT_TRUE(!d || std::get<Link>(d->what).name == "va") << n;
  }
}

TEST(Decode, OtherFamiliesAreIrrelevant) {
  NlRequest r(RTM_NEWROUTE, 0);
  put_route(r, 0)->rtm_family = RTNL_FAMILY_IPMR;
  const auto d = decode({MessageType::new_route, bytes_of(r), {}});
  ASSERT_TRUE(d.has_value());
  EXPECT_TRUE(std::holds_alternative<Irrelevant>(d->what));
}

TEST(Decode, NamesWithControlCharactersAreRefused) {
  NlRequest r(RTM_NEWLINK, 0);
  r.put_header<ifinfomsg>()->ifi_index = 3;
  mnl_attr_put_strz(r.header(), IFLA_IFNAME, "v\na");
  EXPECT_EQ(error_of(MessageType::new_link, r),
            "RTM_NEWLINK: link: attribute 3 has control characters");
}

TEST(Decode, ARuleWithoutWordsIsToldByItsExpressions) {
  NlRequest r(0, 0);
  r.put_header<nfgenmsg>()->nfgen_family = NFPROTO_INET;
  mnl_attr_put_strz(r.header(), NFTA_RULE_TABLE, "filter");
  mnl_attr_put_strz(r.header(), NFTA_RULE_CHAIN, "output");
  nlattr* list = mnl_attr_nest_start(r.header(), NFTA_RULE_EXPRESSIONS);
  for (const char* kind : {"meta", "cmp", "counter"}) {
    nlattr* element = mnl_attr_nest_start(r.header(), NFTA_LIST_ELEM);
    mnl_attr_put_strz(r.header(), NFTA_EXPR_NAME, kind);
    mnl_attr_nest_end(r.header(), element);
  }
  mnl_attr_nest_end(r.header(), list);
  const auto d = decode({MessageType::nft_rule, bytes_of(r), {}});
  ASSERT_TRUE(d.has_value()) << d.error().what;
  EXPECT_EQ(std::get<NftRule>(d->what).text, "[meta] [cmp] [counter]");
  const auto worded = decode({MessageType::nft_rule, bytes_of(r), "udp dport 53 accept"});
  EXPECT_EQ(std::get<NftRule>(worded->what).text, "udp dport 53 accept");
}

TEST(Decode, OurOwnMessagesComeBackAsTheyWent) {
  const auto back = [](MessageType type, const std::string& text) {
    const void* p = text.data();
    return decode({type, {static_cast<const std::uint8_t*>(p), text.size()}, {}});
  };
  const ForeignHook hook{NfHook::post_routing, -150, "iptables-legacy", "-t mangle, two words"};
  EXPECT_EQ(std::get<ForeignHook>(back(MessageType::nf_hook, encode(hook))->what), hook);
  const EgressHook egress{7, "tcx", "tcx egress program 9"};
  EXPECT_EQ(std::get<EgressHook>(back(MessageType::egress_hook, encode(egress))->what), egress);
  const PathObstacle obstacle{Stage::ip_finish_output, "cgroup-bpf", "cgroup / egress"};
  EXPECT_EQ(std::get<PathObstacle>(back(MessageType::obstacle, encode(obstacle))->what), obstacle);
  const auto xps = back(MessageType::xps, encode(LinkXps{3, {}}, {"", "3", "1,00000002"}));
  EXPECT_EQ(std::get<LinkXps>(xps->what).cpus,
            (std::vector<std::vector<std::uint32_t>>{{}, {3}, {2, 1}}));
  EXPECT_FALSE(back(MessageType::xps, "0 1").has_value());
  EXPECT_FALSE(back(MessageType::xps, "3 zz").has_value());
  EXPECT_FALSE(back(MessageType::obstacle, "nowhere x y").has_value());
  EXPECT_FALSE(back(MessageType::sysctl, "=1").has_value());
  EXPECT_FALSE(back(MessageType::sysctl, std::string(70'000, 'x')).has_value());
}

TEST(NftWords, AreReadFromNftsListing) {
  const NftWords words = parse_nft_listing(
      "table inet filter { # handle 3\n"
      "\tset s { # handle 9\n\t\ttype ipv4_addr\n\t}\n"
      "\n"
      "\tchain output { # handle 1\n"
      "\t\ttype filter hook output priority filter; policy accept;\n"
      "\t\tudp dport 53 counter accept # handle 7\n"
      "\t\tip daddr { 10.0.0.1, 10.0.0.2,\n"
      "\t\t\t     10.0.0.3 } drop # handle 8\n"
      "\t}\n"
      "}\n"
      "table ip nat { # handle 4\n"
      "\tchain post { # handle 1\n"
      "\t\ttype nat hook postrouting priority srcnat + 5; policy accept;\n"
      "\t\tmasquerade comment \"a # handle 5\" # handle 2\n"
      "\t}\n"
      "}\n");
  EXPECT_EQ(words.chains.at("inet filter output"),
            "type filter hook output priority filter; policy accept;");
  EXPECT_EQ(words.rules.at("inet filter 7"), "udp dport 53 counter accept");
  EXPECT_EQ(words.rules.at("inet filter 8"), "ip daddr { 10.0.0.1, 10.0.0.2, 10.0.0.3 } drop");
  EXPECT_EQ(words.rules.at("ip nat 2"), "masquerade comment \"a # handle 5\"");
  EXPECT_EQ(words.chains.size(), 2U);
  EXPECT_EQ(words.rules.size(), 3U);
}

}  // namespace
}  // namespace txp
