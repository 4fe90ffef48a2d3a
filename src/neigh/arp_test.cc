// SPDX-License-Identifier: Apache-2.0
// What ARP packets do: who is answered, who is learnt, what is refused.
#include <gtest/gtest.h>

#include "tests/support/two_nets.h"
#include "wire/arp.h"

namespace txp::test {
namespace {

class Arp : public ::testing::Test {
 protected:
  static Bytes frame(std::uint16_t op, std::string_view sip, std::string_view tip,
                     const MacAddr& sha, const MacAddr& dest, const MacAddr& tha = {}) {
    ArpPacket p;
    p.op = op;
    p.sha = sha;
    p.sip = ip(sip);
    p.tha = tha;
    p.tip = ip(tip);
    Bytes f(kEthHlen + kArpLen);
    EthernetHeader{dest, sha, kEthPArp}.emit(f.data());
    p.emit(f.data() + kEthHlen);
    return f;
  }
  void request(std::string_view sip, std::string_view tip) {
    host.receive(frame(kArpRequest, sip, tip, mac(9), MacAddr::broadcast()));
  }
  // The answers sent so far.
  std::size_t answers() const {
    std::size_t n = 0;
    for (const Bytes& f : host.wire.sent) n += load_be16(&f[kEthHlen + 6]) == kArpReply ? 1 : 0;
    return n;
  }
  void add_address(std::string_view addr, std::uint8_t len, std::uint8_t scope = kScopeUniverse,
                   int ifindex = 2) {
    const std::lock_guard guard(host.net.rtnl);
    host.add(Host::address(ifindex, addr, len, scope), ifindex == 1);
  }
  Host host{"10.0.0.1", 1};
};

TEST_F(Arp, RequestForUsIsAnsweredAndTheAskerLearnt) {
  request("10.0.0.9", "10.0.0.1");
  ASSERT_EQ(host.wire.sent.size(), 1U);
  const Bytes& f = host.wire.sent[0];
  EXPECT_EQ(EthernetHeader::parse(f)->dest, mac(9));
  const auto reply = ArpPacket::parse(std::span(f).subspan(kEthHlen));
  EXPECT_EQ(reply->op, kArpReply);
  EXPECT_EQ(reply->sha, mac(1));
  EXPECT_EQ(reply->sip, ip("10.0.0.1"));
  EXPECT_EQ(reply->tha, mac(9));
  EXPECT_EQ(reply->tip, ip("10.0.0.9"));
  EXPECT_EQ(host.state("10.0.0.9"), Nud::stale);
  EXPECT_TRUE(host.net.totals().conserved());
}

TEST_F(Arp, RequestForAnotherIsLeftAlone) {
  request("10.0.0.9", "10.0.0.7");
  EXPECT_EQ(answers(), 0U);
  EXPECT_EQ(host.neigh("10.0.0.9"), nullptr);
}

TEST_F(Arp, DuplicateAddressDetectionIsAnsweredAndNotLearnt) {
  request("0.0.0.0", "10.0.0.1");
  EXPECT_EQ(answers(), 1U);
  EXPECT_EQ(host.neigh("0.0.0.0"), nullptr);
}

TEST_F(Arp, UnsolicitedRepliesAreNotLearntUnlessAccepted) {
  const Bytes f = frame(kArpReply, "10.0.0.9", "10.0.0.1", mac(9), mac(1), mac(1));
  host.receive(f);
  EXPECT_EQ(host.neigh("10.0.0.9"), nullptr);
  InDevConf c;
  c.arp_accept = true;
  host.conf(c);
  host.receive(f);
  EXPECT_EQ(host.state("10.0.0.9"), Nud::reachable);
}

TEST_F(Arp, GratuitousOneChangesAKnownEntryWithinLocktime) {
  host.set_neigh("10.0.0.9", Nud::reachable, mac(8));
  host.receive(frame(kArpRequest, "10.0.0.9", "10.0.0.9", mac(9), MacAddr::broadcast()));
  EXPECT_EQ(host.neigh("10.0.0.9")->mac(), mac(9));
  EXPECT_EQ(host.state("10.0.0.9"), Nud::stale);
}

TEST_F(Arp, GratuitousReplyNeedsItsOwnTargetAddress) {
  host.set_neigh("10.0.0.9", Nud::reachable, mac(8));
  host.receive(frame(kArpReply, "10.0.0.9", "10.0.0.9", mac(9), MacAddr::broadcast(), mac(7)));
  EXPECT_EQ(host.neigh("10.0.0.9")->mac(), mac(8));
}

TEST_F(Arp, RepliesToOthersDoNotConcernUs) {
  host.send(host.sock(), "10.0.0.9", 9);
  Bytes f = frame(kArpReply, "10.0.0.9", "10.0.0.5", mac(9), mac(5), mac(5));
  host.receive(f);  // PACKET_OTHERHOST
  EXPECT_EQ(host.state("10.0.0.9"), Nud::incomplete);
}

TEST_F(Arp, IgnoreLevels) {
  add_address("192.168.7.1", 24, kScopeUniverse, 1);  // on lo
  add_address("10.0.0.50", 32, kScopeHost);
  struct Case {
    std::uint8_t level;
    const char* sip;
    const char* tip;
    bool answered;
  };
  const Case cases[] = {
      {0, "10.0.0.9", "192.168.7.1", true}, {1, "10.0.0.9", "192.168.7.1", false},
      {1, "10.0.0.9", "10.0.0.1", true},    {2, "10.0.0.9", "10.0.0.1", true},
      {2, "172.16.0.9", "10.0.0.1", false}, {3, "10.0.0.9", "10.0.0.1", true},
      {3, "10.0.0.9", "10.0.0.50", false},  {8, "10.0.0.9", "10.0.0.1", false},
  };
  for (const Case& c : cases) {
    InDevConf conf;
    conf.arp_ignore = c.level;
    host.conf(conf);
    host.wire.sent.clear();
    request(c.sip, c.tip);
    EXPECT_EQ(answers(), c.answered ? 1U : 0U)
        << int{c.level} << " " << c.sip << " asks for " << c.tip;
  }
}

TEST_F(Arp, AnnounceLevelsChooseTheSource) {
  add_address("10.0.0.77", 24);                       // a secondary of the same subnet
  add_address("192.168.7.1", 24, kScopeUniverse, 1);  // elsewhere
  struct Case {
    std::uint8_t level;
    const char* from;
    const char* sip;
  };
  const Case cases[] = {{0, "10.0.0.77", "10.0.0.77"}, {0, "192.168.7.1", "192.168.7.1"},
                        {1, "10.0.0.77", "10.0.0.77"}, {1, "192.168.7.1", "10.0.0.1"},
                        {2, "10.0.0.77", "10.0.0.1"},  {2, "192.168.7.1", "10.0.0.1"}};
  int last = 100;
  for (const Case& c : cases) {
    InDevConf conf;
    conf.arp_announce = c.level;
    host.conf(conf);
    host.wire.sent.clear();
    Sock& sk = host.bound(0, c.from);
    host.send(sk, "10.0.0." + std::to_string(last++), 9);
    ASSERT_EQ(host.wire.sent.size(), 1U);
    EXPECT_EQ(ArpPacket::parse(std::span(host.wire.sent[0]).subspan(kEthHlen))->sip, ip(c.sip))
        << int{c.level} << " from " << c.from;
  }
}

TEST_F(Arp, ProxyEntriesAreAnsweredWhenForwarding) {
  Link eth1 = host.dev().link();
  eth1.ifindex = 3;
  eth1.name = "eth1";
  {
    const std::lock_guard guard(host.net.rtnl);
    host.net.dev->set_link(eth1);
    NeighSpec proxy;
    proxy.ifindex = 2;
    proxy.dst = ip("10.1.0.5");
    proxy.proxy = true;
    host.net.neigh->set(proxy);
  }
  add_address("10.1.0.1", 24, kScopeUniverse, 3);
  request("10.0.0.9", "10.1.0.5");
  EXPECT_EQ(answers(), 0U) << "not forwarding";
  InDevConf c;
  c.forwarding = true;
  host.conf(c);
  request("10.0.0.9", "10.1.0.5");
  EXPECT_EQ(answers(), 1U);
  request("10.0.0.9", "10.1.0.6");
  EXPECT_EQ(answers(), 1U) << "no entry for this one";
  c.proxy_arp = true;
  host.conf(c);
  request("10.0.0.9", "10.1.0.6");
  EXPECT_EQ(answers(), 2U);
  request("10.0.0.9", "10.0.0.7");
  EXPECT_EQ(answers(), 2U) << "it lies on the asker's own link";
}

TEST_F(Arp, MalformedPacketsAreOneDropEach) {
  const Bytes good = frame(kArpRequest, "10.0.0.9", "10.0.0.1", mac(9), MacAddr::broadcast());
  std::uint64_t expected = 0;
  for (std::size_t len = kEthHlen; len < good.size(); ++len, ++expected)
    host.receive(Bytes(good.begin(), good.begin() + static_cast<std::ptrdiff_t>(len)));
  EXPECT_EQ(host.rx_drops(DropReason::PKT_TOO_SMALL), expected);
  expected = 0;
  for (const std::size_t at : {0U, 2U, 4U, 5U, 6U}) {  // hardware, protocol, lengths, operation
    Bytes bad = good;
    bad[kEthHlen + at] = 0xee;
    host.receive(bad);
    ++expected;
  }
  Bytes to_multicast = good;
  to_multicast[kEthHlen + 24] = 224;
  host.receive(to_multicast);
  Bytes to_loopback = good;
  to_loopback[kEthHlen + 24] = 127;
  host.receive(to_loopback);
  expected += 2;
  EXPECT_EQ(host.rx_drops(DropReason::NOT_SPECIFIED), expected);
  EXPECT_EQ(answers(), 0U);
  EXPECT_TRUE(host.net.neigh->all().empty());
}

}  // namespace
}  // namespace txp::test
