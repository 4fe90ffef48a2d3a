// SPDX-License-Identifier: Apache-2.0
// The receive side over IPv6 in Nets that stand alone: delivery, reassembly, ICMPv6 both ways, path
// MTU.
#include <gtest/gtest.h>

#include <netinet/in.h>

#include <algorithm>
#include <span>

#include "ip/inet_fragment.h"
#include "ip6/icmpv6.h"
#include "ip6/ip6.h"
#include "route/ip6_route.h"
#include "socket/inet6_sock.h"
#include "tests/support/two_nets.h"
#include "wire/icmp.h"
#include "wire/ipv4.h"
#include "wire/ipv6.h"
#include "wire/udp.h"

namespace txp::test {
namespace {

Ip6 ip6(std::string_view text) { return Ip6::parse(text).value(); }

// rtnl held: the address, and the routes that come with it.
void add6(Net& net, int ifindex, std::string_view local, std::uint8_t len) {
  In6Addr a;
  a.ifindex = ifindex;
  a.local = a.peer = ip6(local);
  a.prefixlen = len;
  a.flags = 0x80;
  net.dev->change_inet6(ifindex, [&](Inet6Dev& d) { d.addrs.push_back(a); });
  Route6 own;
  own.table = kTableLocal;
  own.dst = {a.local, 128};
  own.type = RouteType::local;
  own.priority = 0;
  own.nexthops.push_back({.oif = ifindex});
  net.fib6->add(own);
  if (len == 128) return;
  Route6 link;
  link.dst = {{a.local.hi, 0}, len};
  link.priority = 256;
  link.nexthops.push_back({.oif = ifindex});
  net.fib6->add(link);
}

void make_ipv6(Host& host, std::string_view addr) {
  const std::lock_guard guard(host.net.rtnl);
  add6(host.net, 1, "::1", 128);
  add6(host.net, 2, addr, 64);
  const Ip6 own = ip6(addr);
  // Whoever has an address is in its solicited-node group (addrconf_join_solict()).
  host.net.dev->change_inet6(
      2, [&](Inet6Dev& d) { d.mc_groups.push_back(solicited_node_group(own)); });
}

struct Packet6 {
  std::string_view saddr = "2001:db8::9";
  std::string_view daddr = "2001:db8::1";
  std::uint8_t nexthdr = kIpProtoUdp;
  std::uint8_t tclass = 0;
};

Bytes udp6(const Packet6& p, const Bytes& payload, std::uint16_t sport = 7,
           std::uint16_t dport = 53) {
  Bytes b(kUdpHlen);
  b.insert(b.end(), payload.begin(), payload.end());
  UdpHeader{sport, dport, static_cast<std::uint16_t>(b.size()), 0}.emit(b.data());
  store_be16(&b[6], csum_fold(csum_ipv6_nofold(ip6(p.saddr), ip6(p.daddr),
                                               static_cast<std::uint32_t>(b.size()), kIpProtoUdp,
                                               csum_partial(b, 0))));
  return b;
}

Bytes icmp6(const Packet6& p, std::uint8_t type, std::uint8_t code, std::uint32_t rest,
            std::span<const std::uint8_t> data) {
  Bytes b(kIcmpHlen);
  IcmpHeader{type, code, 0, rest}.emit(b.data());
  b.insert(b.end(), data.begin(), data.end());
  store_be16(&b[2], csum_fold(csum_ipv6_nofold(ip6(p.saddr), ip6(p.daddr),
                                               static_cast<std::uint32_t>(b.size()), kNexthdrIcmpv6,
                                               csum_partial(b, 0))));
  return b;
}

Bytes frame6(const Packet6& p, const Bytes& body) {
  Bytes f(kEthHlen + kIpv6Hlen);
  EthernetHeader{mac(1), mac(9), kEthPIpv6}.emit(f.data());
  Ipv6Header h;
  h.tclass = p.tclass;
  h.payload_len = static_cast<std::uint16_t>(body.size());
  h.nexthdr = p.nexthdr;
  h.hop_limit = 64;
  h.saddr = ip6(p.saddr);
  h.daddr = ip6(p.daddr);
  h.emit(&f[kEthHlen]);
  f.insert(f.end(), body.begin(), body.end());
  return f;
}

// [from, to) of `body` as a fragment; what is not the last ends on eight bytes.
Bytes fragment6(const Bytes& body, std::size_t from, std::size_t to, std::uint32_t id = 1,
                std::uint8_t tclass = 0) {
  Bytes b(kFragHdrLen);
  FragHeader{kIpProtoUdp, static_cast<std::uint16_t>(from | (to < body.size() ? kIp6Mf : 0U)), id}
      .emit(b.data());
  b.insert(b.end(), body.begin() + static_cast<std::ptrdiff_t>(from),
           body.begin() + static_cast<std::ptrdiff_t>(to));
  return frame6({.nexthdr = kNexthdrFragment, .tclass = tclass}, b);
}

Bytes numbers6(std::size_t n) {
  Bytes b(n);
  for (std::size_t i = 0; i < n; ++i) b[i] = static_cast<std::uint8_t>(i * 7 + i / 256);
  return b;
}

Sock& socket6(Host& host, std::uint16_t port) {
  Sock* sk = inet6_create(host.net, 0);
  sk->nonblocking = true;
  host.socks.push_back(sk);
  EXPECT_TRUE(inet6_bind(*sk, {Ip6{}, port}));
  return *sk;
}

// 0, or the call's errno.
int send6(Host& host, Sock& sk, std::string_view to, std::uint16_t port, const Bytes& payload) {
  const iovec iov{const_cast<std::uint8_t*>(payload.data()), payload.size()};
  const SockAddr6 name{ip6(to), port};
  MsgHdr msg;
  msg.name6 = &name;
  msg.namelen = sizeof(sockaddr_in6);
  msg.iov = {&iov, 1};
  const auto sent = sock_sendmsg(host.net, sk, msg);
  return sent ? 0 : sent.error().code;
}

class Ip6Rcv : public ::testing::Test {
 protected:
  Ip6Rcv() { make_ipv6(host, "2001:db8::1"); }
  ~Ip6Rcv() override { EXPECT_TRUE(host.net.totals().conserved()); }
  void neighbour(std::string_view addr) {
    NeighSpec s;
    s.ifindex = 2;
    s.dst6 = ip6(addr);
    s.state = Nud::permanent;
    s.lladdr = mac(9);
    s.has_lladdr = true;
    const std::lock_guard guard(host.net.rtnl);
    host.net.neigh6->set(s);
  }
  // The type and code of the newest ICMPv6 message that left; 0, 0: none did.
  std::pair<int, int> newest_icmp6() const {
    for (auto f = host.wire.sent.rbegin(); f != host.wire.sent.rend(); ++f)
      if ((*f)[12] == 0x86 && (*f)[20] == kNexthdrIcmpv6) return {(*f)[54], (*f)[55]};
    return {0, 0};
  }
  Host host{"10.0.0.1", 1};
};

TEST_F(Ip6Rcv, DatagramReachesItsSocketWithAddresses) {
  Sock& sk = socket6(host, 53);
  host.receive(frame6({}, udp6({}, {1, 2, 3})));
  const auto d = udp_recvmsg(sk);
  ASSERT_TRUE(d);
  EXPECT_EQ(d->payload, (Bytes{1, 2, 3}));
  ASSERT_TRUE(d->from6);
  EXPECT_EQ(d->from6->addr, ip6("2001:db8::9"));
  EXPECT_EQ(d->from6->port, 7);
  EXPECT_EQ(host.snmp(Snmp::Udp6InDatagrams), 1U);
  EXPECT_EQ(host.snmp(Snmp::Ip6InDelivers), 1U);
}

TEST_F(Ip6Rcv, BadPacketsAreOneCountedDropEach) {
  Sock& sk = socket6(host, 53);
  neighbour("2001:db8::9");
  const Bytes good = frame6({}, udp6({}, {1, 2, 3}));
  struct Case {
    const char* what;
    void (*spoil)(Bytes&);
    DropReason reason;
    Snmp counter;
  };
  const Case cases[] = {
      {"half a header", [](Bytes& f) { f.resize(kEthHlen + 39); }, DropReason::IP_INHDR,
       Snmp::Ip6InHdrErrors},
      {"cut short", [](Bytes& f) { f.pop_back(); }, DropReason::IP_INHDR, Snmp::Ip6InHdrErrors},
      {"version 4", [](Bytes& f) { f[kEthHlen] = 0x40; }, DropReason::UNHANDLED_PROTO,
       Snmp::Ip6InHdrErrors},
      {"from a group", [](Bytes& f) { f[kEthHlen + 8] = 0xff; }, DropReason::IP_INHDR,
       Snmp::Ip6InHdrErrors},
      {"a stranger's", [](Bytes& f) { f[kEthHlen + 39] = 2; }, DropReason::IP_INADDRERRORS,
       Snmp::Ip6InAddrErrors},
      {"a wrong checksum", [](Bytes& f) { f.back() ^= 1; }, DropReason::UDP_CSUM,
       Snmp::Udp6InCsumErrors},
      {"no checksum", [](Bytes& f) { f[60] = f[61] = 0; }, DropReason::UDP_CSUM,
       Snmp::Udp6InCsumErrors},
      {"an unknown protocol", [](Bytes& f) { f[20] = 200; }, DropReason::IP_NOPROTO,
       Snmp::Ip6InUnknownProtos},
      {"a cut extension header",
       [](Bytes& f) {
         f[20] = kNexthdrDest;
         f[55] = 9;
       },
       DropReason::IP_INHDR, Snmp::Ip6InHdrErrors},
  };
  for (const Case& c : cases) {
    SCOPED_TRACE(c.what);
    Bytes bad = good;
    c.spoil(bad);
    const std::uint64_t drops = host.rx_drops(c.reason);
    const std::uint64_t counted = host.snmp(c.counter);
    host.receive(bad);
    EXPECT_EQ(host.rx_drops(c.reason), drops + 1);
    EXPECT_EQ(host.snmp(c.counter), counted + 1);
  }
  EXPECT_TRUE(sk.rx_queue.empty());
}

TEST_F(Ip6Rcv, ClosedPortIsAnswered) {
  neighbour("2001:db8::9");
  host.receive(frame6({}, udp6({}, {1, 2, 3})));
  EXPECT_EQ(newest_icmp6(), std::pair(int{kIcmpv6DestUnreach}, int{kIcmpv6PortUnreach}));
  EXPECT_EQ(host.snmp(Snmp::Udp6NoPorts), 1U);
  EXPECT_EQ(host.snmp(Snmp::Icmp6OutDestUnreachs), 1U);
}

TEST_F(Ip6Rcv, EchoRequestIsAnswered) {
  neighbour("2001:db8::9");
  const Packet6 p{.nexthdr = kNexthdrIcmpv6};
  host.receive(frame6(p, icmp6(p, kIcmpv6EchoRequest, 0, 0x00010002, Bytes{1, 2, 3})));
  EXPECT_EQ(newest_icmp6(), std::pair(int{kIcmpv6EchoReply}, 0));
  const Bytes& reply = host.wire.sent.back();
  EXPECT_EQ(Bytes(reply.begin() + 58, reply.end()), (Bytes{0, 1, 0, 2, 1, 2, 3}));
}

TEST_F(Ip6Rcv, FragmentsInAnyOrderAreOneDatagram) {
  Sock& sk = socket6(host, 53);
  const Bytes payload = numbers6(3000);
  const Bytes body = udp6({}, payload);
  const std::size_t cuts[] = {0, 1000, 2000, body.size()};
  std::vector<std::size_t> order{0, 1, 2};
  std::uint32_t id = 0;
  do {
    ++id;
    for (const std::size_t i : order) host.receive(fragment6(body, cuts[i], cuts[i + 1], id));
    const auto d = udp_recvmsg(sk);
    ASSERT_TRUE(d);
    EXPECT_EQ(d->payload, payload);
  } while (std::ranges::next_permutation(order).found);
  EXPECT_EQ(host.snmp(Snmp::Ip6ReasmOKs), 6U);
  EXPECT_EQ(host.snmp(Snmp::Ip6ReasmReqds), 18U);
  EXPECT_EQ(host.net.frags6->queues(), 0U);
  EXPECT_EQ(host.net.frags6->memory(), 0U);
}

TEST_F(Ip6Rcv, OverlappingFragmentsEndTheDatagram) {
  Sock& sk = socket6(host, 53);
  const Bytes body = udp6({}, numbers6(3000));
  host.receive(fragment6(body, 0, 1000));
  host.receive(fragment6(body, 992, 2000));
  host.receive(fragment6(body, 2000, body.size()));
  EXPECT_TRUE(sk.rx_queue.empty());
  EXPECT_EQ(host.snmp(Snmp::Ip6ReasmFails), 1U);
}

TEST_F(Ip6Rcv, FragmentThatIsWholeGoesOnAtOnce) {
  Sock& sk = socket6(host, 53);
  const Bytes body = udp6({}, numbers6(100));
  host.receive(fragment6(body, 0, body.size()));
  EXPECT_EQ(sk.rx_queue.size(), 1U);
}

TEST_F(Ip6Rcv, FragmentOfOddLengthIsComplainedAbout) {
  neighbour("2001:db8::9");
  host.receive(fragment6(udp6({}, numbers6(3000)), 0, 1001));
  EXPECT_EQ(newest_icmp6(), std::pair(int{kIcmpv6Paramprob}, int{kIcmpv6HdrField}));
  EXPECT_EQ(host.net.frags6->queues(), 0U);
}

TEST_F(Ip6Rcv, SenderHearsThatTimeRanOut) {
  neighbour("2001:db8::9");
  const Bytes body = udp6({}, numbers6(3000));
  host.receive(fragment6(body, 0, 1000));
  host.advance(Ip6Frags::kTimeout - kMillisecond);
  EXPECT_EQ(host.net.frags6->queues(), 1U);
  host.advance(2 * kMillisecond);
  EXPECT_EQ(host.net.frags6->queues(), 0U);
  EXPECT_EQ(newest_icmp6(), std::pair(int{kIcmpv6TimeExceed}, int{kIcmpv6ExcFragtime}));
  EXPECT_EQ(host.snmp(Snmp::Ip6ReasmTimeout), 1U);
  EXPECT_EQ(host.rx_drops(DropReason::FRAG_REASM_TIMEOUT), 1U);
}

TEST_F(Ip6Rcv, PathMtuIsLearntUsedAndForgotten) {
  neighbour("2001:db8::9");
  Sock& sk = socket6(host, 4000);
  ASSERT_EQ(send6(host, sk, "2001:db8::9", 53, numbers6(1400)), 0);
  ASSERT_EQ(host.wire.sent.size(), 1U);
  const Packet6 p{.nexthdr = kNexthdrIcmpv6};
  const std::span quoted = std::span(host.wire.sent[0]).subspan(kEthHlen, 1200);
  host.receive(frame6(p, icmp6(p, kIcmpv6PktToobig, 0, 1300, quoted)));
  ASSERT_EQ(send6(host, sk, "2001:db8::9", 53, numbers6(1400)), 0);
  EXPECT_EQ(host.wire.sent.size(), 3U) << "in two fragments";
  host.advance(601 * kSecond);
  ASSERT_EQ(send6(host, sk, "2001:db8::9", 53, numbers6(1400)), 0);
  EXPECT_EQ(host.wire.sent.size(), 4U);
}

TEST_F(Ip6Rcv, ErrorAboutAStrangersDatagramIsCounted) {
  const Packet6 p{.nexthdr = kNexthdrIcmpv6};
  const Bytes quoted = frame6({.saddr = "2001:db8::1", .daddr = "2001:db8::9"}, udp6({}, {1}));
  host.receive(frame6(
      p, icmp6(p, kIcmpv6DestUnreach, kIcmpv6PortUnreach, 0, std::span(quoted).subspan(kEthHlen))));
  EXPECT_EQ(host.snmp(Snmp::Icmp6InErrors), 1U);
}

// Two Nets that stand alone, joined: they find each other by neighbour discovery.
TEST(TwoNets6, DatagramsLargeAndSmallAndErrorsGoBothWays) {
  TwoNets t;
  make_ipv6(t.a, "2001:db8::1");
  make_ipv6(t.b, "2001:db8::2");
  Sock& a = socket6(t.a, 4000);
  Sock& b = socket6(t.b, 5000);
  for (const std::size_t len : {0U, 10U, 1452U, 1453U, 5000U, 60000U}) {
    const Bytes payload = numbers6(len);
    ASSERT_EQ(send6(t.a, a, "2001:db8::2", 5000, payload), 0);
    t.settle();
    const auto d = udp_recvmsg(b);
    ASSERT_TRUE(d) << len;
    EXPECT_EQ(d->payload, payload);
    ASSERT_EQ(send6(t.b, b, "2001:db8::1", 4000, payload), 0);
    t.settle();
    EXPECT_TRUE(udp_recvmsg(a)) << len;
  }
  ASSERT_TRUE(ip6_datagram_connect(a, {ip6("2001:db8::2"), 9}));
  ASSERT_EQ(send6(t.a, a, "2001:db8::2", 9, {1}), 0);
  t.settle();
  EXPECT_EQ(a.sk_err.load(), ECONNREFUSED);
  EXPECT_TRUE(t.a.net.totals().conserved());
  EXPECT_TRUE(t.b.net.totals().conserved());
}

}  // namespace
}  // namespace txp::test
