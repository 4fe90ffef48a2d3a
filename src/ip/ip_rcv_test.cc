// SPDX-License-Identifier: Apache-2.0
// The receive side as a whole: a table of bad frames, delivery, reassembly, ICMP both ways.
#include <gtest/gtest.h>

#include <netinet/in.h>

#include <algorithm>

#include "ip/icmp.h"
#include "ip/inet_fragment.h"
#include "route/fib_exceptions.h"
#include "tests/support/two_nets.h"
#include "wire/icmp.h"
#include "wire/ipv4.h"
#include "wire/udp.h"

namespace txp::test {
namespace {

struct Packet {
  std::string_view saddr = "10.0.0.9";
  std::string_view daddr = "10.0.0.1";
  std::uint16_t sport = 7;
  std::uint16_t dport = 53;
  std::uint16_t id = 1;
  std::uint16_t frag_off = 0;
  std::uint8_t protocol = kIpProtoUdp;
  std::uint8_t tos = 0;
  Bytes options{};
  MacAddr dest = mac(1);
};

Bytes udp(const Packet& p, const Bytes& payload) {
  Bytes b(kUdpHlen);
  b.insert(b.end(), payload.begin(), payload.end());
  UdpHeader{p.sport, p.dport, static_cast<std::uint16_t>(b.size()), 0}.emit(b.data());
  const Csum sum =
      csum_tcpudp_nofold(ip(p.saddr).host, ip(p.daddr).host, static_cast<std::uint32_t>(b.size()),
                         kIpProtoUdp, csum_partial(b, 0));
  store_be16(&b[6], csum_fold(sum));
  return b;
}

Bytes icmp(std::uint8_t type, std::uint8_t code, std::uint32_t rest, const Bytes& data) {
  Bytes b(kIcmpHlen);
  IcmpHeader{type, code, 0, rest}.emit(b.data());
  b.insert(b.end(), data.begin(), data.end());
  store_be16(&b[2], csum_fold(csum_partial(b, 0)));
  return b;
}

Bytes ip_packet(const Packet& p, const Bytes& body) {
  const std::size_t hlen = kIpHlen + p.options.size();
  Bytes b(hlen);
  Ipv4Header h;
  h.ihl = static_cast<std::uint8_t>(hlen / 4);
  h.tos = p.tos;
  h.tot_len = static_cast<std::uint16_t>(hlen + body.size());
  h.id = p.id;
  h.frag_off = p.frag_off;
  h.ttl = 64;
  h.protocol = p.protocol;
  h.saddr = ip(p.saddr);
  h.daddr = ip(p.daddr);
  h.emit(b.data());
  std::copy(p.options.begin(), p.options.end(), b.begin() + kIpHlen);
  Ipv4View(b.data()).send_check();
  b.insert(b.end(), body.begin(), body.end());
  return b;
}

Bytes frame(const Packet& p, const Bytes& body) {
  Bytes f(kEthHlen);
  EthernetHeader{p.dest, mac(9), kEthPIp}.emit(f.data());
  const Bytes b = ip_packet(p, body);
  f.insert(f.end(), b.begin(), b.end());
  return f;
}

Bytes numbers(std::size_t n) {
  Bytes b(n);
  for (std::size_t i = 0; i < n; ++i) b[i] = static_cast<std::uint8_t>(i * 7 + i / 256);
  return b;
}

class IpRcv : public ::testing::Test {
 protected:
  ~IpRcv() override { EXPECT_TRUE(host.net.totals().conserved()); }
  // A part of `body`, [from, to), as a fragment of the datagram `id`.
  Bytes fragment(const Bytes& body, std::size_t from, std::size_t to, std::uint16_t id = 1,
                 std::uint8_t tos = 0) {
    Packet p;
    p.id = id;
    p.tos = tos;
    p.frag_off = static_cast<std::uint16_t>(from / 8);
    if (to < body.size()) p.frag_off |= kIpMf;
    return frame(p, Bytes(body.begin() + static_cast<std::ptrdiff_t>(from),
                          body.begin() + static_cast<std::ptrdiff_t>(to)));
  }
  std::size_t waiting(Sock& sk) { return sk.rx_queue.size(); }
  Host host{"10.0.0.1", 1};
};

TEST_F(IpRcv, DatagramReachesItsSocketWithAddresses) {
  Sock& sk = host.bound(53);
  host.receive(frame({}, udp({}, {1, 2, 3})));
  const auto d = udp_recvmsg(sk);
  ASSERT_TRUE(d);
  EXPECT_EQ(d->payload, (Bytes{1, 2, 3}));
  EXPECT_EQ(d->from.addr, ip("10.0.0.9"));
  EXPECT_EQ(d->from.port, 7);
  EXPECT_EQ(d->to.addr, ip("10.0.0.1"));
  EXPECT_EQ(d->to.port, 53);
  EXPECT_EQ(host.snmp(Snmp::UdpInDatagrams), 1U);
  EXPECT_EQ(host.snmp(Snmp::IpInDelivers), 1U);
  EXPECT_EQ(host.snmp(Snmp::IpExtInOctets), 31U);
  EXPECT_EQ(host.dev().rx_packets.load(), 1U);
  EXPECT_EQ(sk.rmem_alloc.load(), 0U);
  EXPECT_EQ(host.wire.received.size(), 1U);
}

TEST_F(IpRcv, BadFramesAreOneCountedDropEach) {
  Sock& sk = host.bound(53);
  const Bytes good = frame({}, udp({}, {1, 2, 3}));
  struct Case {
    const char* what;
    void (*spoil)(Bytes&);
    DropReason reason;
    Snmp counter;
  };
  const auto resum = [](Bytes& f) { Ipv4View(&f[kEthHlen]).send_check(); };
  static const auto again = resum;
  const Case cases[] = {
      {"empty", [](Bytes& f) { f.clear(); }, DropReason::HDR_TRUNC, Snmp::IcmpInErrors},
      {"half an Ethernet header", [](Bytes& f) { f.resize(13); }, DropReason::HDR_TRUNC,
       Snmp::IcmpInErrors},
      {"no IP header", [](Bytes& f) { f.resize(kEthHlen); }, DropReason::IP_INHDR,
       Snmp::IpInHdrErrors},
      {"half an IP header", [](Bytes& f) { f.resize(kEthHlen + 19); }, DropReason::IP_INHDR,
       Snmp::IpInHdrErrors},
      {"version 5", [](Bytes& f) { f[kEthHlen] = 0x55; }, DropReason::IP_INHDR,
       Snmp::IpInHdrErrors},
      {"short header length", [](Bytes& f) { f[kEthHlen] = 0x44; }, DropReason::IP_INHDR,
       Snmp::IpInHdrErrors},
      {"options beyond the end", [](Bytes& f) { f[kEthHlen] = 0x4f; }, DropReason::IP_INHDR,
       Snmp::IpInHdrErrors},
      {"header checksum", [](Bytes& f) { f[kEthHlen + 8] ^= 1; }, DropReason::IP_CSUM,
       Snmp::IpExtInCsumErrors},
      {"total length too long",
       [](Bytes& f) {
         store_be16(&f[kEthHlen + 2], 32);
         again(f);
       },
       DropReason::PKT_TOO_SMALL, Snmp::IpExtInTruncatedPkts},
      {"total length too short",
       [](Bytes& f) {
         store_be16(&f[kEthHlen + 2], 19);
         again(f);
       },
       DropReason::IP_INHDR, Snmp::IpInHdrErrors},
      {"another host's", [](Bytes& f) { f[5] = 0x77; }, DropReason::OTHERHOST, Snmp::IpInReceives},
      {"IPv6, and too short", [](Bytes& f) { store_be16(&f[12], 0x86dd); }, DropReason::IP_INHDR,
       Snmp::Ip6InHdrErrors},
      {"802.3 length", [](Bytes& f) { store_be16(&f[12], 40); }, DropReason::UNHANDLED_PROTO,
       Snmp::IpInReceives},
      {"no UDP header",
       [](Bytes& f) {
         store_be16(&f[kEthHlen + 2], 27);
         again(f);
       },
       DropReason::NOT_SPECIFIED, Snmp::UdpInErrors},
      {"UDP length too long", [](Bytes& f) { store_be16(&f[kEthHlen + 24], 12); },
       DropReason::PKT_TOO_SMALL, Snmp::UdpInErrors},
      {"UDP length too short", [](Bytes& f) { store_be16(&f[kEthHlen + 24], 7); },
       DropReason::PKT_TOO_SMALL, Snmp::UdpInErrors},
      {"UDP checksum", [](Bytes& f) { f.back() ^= 1; }, DropReason::UDP_CSUM,
       Snmp::UdpInCsumErrors},
      {"multicast source",
       [](Bytes& f) {
         f[kEthHlen + 12] = 224;
         again(f);
       },
       DropReason::IP_INVALID_SOURCE, Snmp::IpInReceives},
      {"our own source",
       [](Bytes& f) {
         f[kEthHlen + 15] = 1;
         again(f);
       },
       DropReason::IP_LOCAL_SOURCE, Snmp::IpInReceives},
      {"loopback source",
       [](Bytes& f) {
         f[kEthHlen + 12] = 127;
         again(f);
       },
       DropReason::IP_LOCALNET, Snmp::IpInReceives},
      {"loopback destination",
       [](Bytes& f) {
         f[kEthHlen + 16] = 127;
         again(f);
       },
       DropReason::IP_LOCALNET, Snmp::IpInReceives},
      {"zero source",
       [](Bytes& f) {
         store_be32(&f[kEthHlen + 12], 0);
         again(f);
       },
       DropReason::IP_INVALID_SOURCE, Snmp::IpInReceives},
      {"a stranger's address",
       [](Bytes& f) {
         f[kEthHlen + 19] = 99;
         again(f);
       },
       DropReason::IP_INADDRERRORS, Snmp::IpInAddrErrors},
      {"a group not joined",
       [](Bytes& f) {
         f[kEthHlen + 16] = 239;
         again(f);
       },
       DropReason::NOT_SPECIFIED, Snmp::IpInReceives},
      {"no such protocol",
       [](Bytes& f) {
         f[kEthHlen + 9] = 6;
         again(f);
       },
       DropReason::IP_NOPROTO, Snmp::IpInUnknownProtos},
  };
  for (const Case& c : cases) {
    Bytes bad = good;
    c.spoil(bad);
    const std::uint64_t drops = host.rx_drops(c.reason);
    const std::uint64_t counted = host.snmp(c.counter);
    std::uint64_t all_before = 0;
    for (const std::uint64_t d : host.net.totals().rx_drops) all_before += d;
    host.receive(bad);
    std::uint64_t all_after = 0;
    for (const std::uint64_t d : host.net.totals().rx_drops) all_after += d;
    EXPECT_EQ(host.rx_drops(c.reason), drops + 1) << c.what;
    EXPECT_EQ(all_after, all_before + 1) << c.what;
    if (c.counter != Snmp::IcmpInErrors && c.counter != Snmp::IpInReceives) {
      EXPECT_EQ(host.snmp(c.counter), counted + 1) << c.what;
    }
    EXPECT_EQ(waiting(sk), 0U) << c.what;
  }
}

TEST_F(IpRcv, EveryTruncationAndEveryFlippedByteIsSurvived) {
  host.bound(53);
  const Bytes good = frame({}, udp({}, numbers(40)));
  for (std::size_t n = 0; n <= good.size(); ++n)
    host.receive(Bytes(good.begin(), good.begin() + static_cast<std::ptrdiff_t>(n)));
  for (std::size_t i = 0; i < good.size(); ++i)
    for (const std::uint8_t flip : Bytes{0x01, 0x80, 0xff}) {
      Bytes bad = good;
      bad[i] ^= flip;
      host.receive(bad);
    }
  host.net.poll();
}

TEST_F(IpRcv, OptionsAreCheckedAndSourceRoutesRefused) {
  Sock& sk = host.bound(53);
  const auto with = [](Bytes options) {
    Packet p;
    p.options = std::move(options);
    return frame(p, udp({}, {1}));
  };
  host.receive(with({1, 1, 1, 0}));
  host.receive(with({7, 7, 4, 0, 0, 0, 0, 0}));
  EXPECT_EQ(waiting(sk), 2U);
  host.receive(with({7, 1, 0, 0}));
  host.receive(with({7, 9, 0, 0}));
  host.receive(with({1, 1, 1, 7}));
  EXPECT_EQ(host.rx_drops(DropReason::IP_INHDR), 3U);
  host.receive(with({0x83, 7, 4, 10, 0, 0, 9, 0}));
  EXPECT_EQ(host.rx_drops(DropReason::NOT_SPECIFIED), 1U);
  EXPECT_EQ(host.snmp(Snmp::IcmpOutParmProbs), 3U);
  EXPECT_EQ(waiting(sk), 2U);
}

TEST_F(IpRcv, StrictReversePathFilter) {
  InDevConf c;
  c.rp_filter = true;
  host.conf(c);
  Sock& sk = host.bound(53);
  host.receive(frame({}, udp({}, {1})));
  EXPECT_EQ(waiting(sk), 1U);
  Packet stranger;
  stranger.saddr = "172.16.0.1";
  host.receive(frame(stranger, udp(stranger, {1})));
  EXPECT_EQ(host.rx_drops(DropReason::IP_RPFILTER), 1U);
  c.rp_filter = false;
  host.conf(c);
  host.receive(frame(stranger, udp(stranger, {1})));
  EXPECT_EQ(waiting(sk), 2U);
}

TEST_F(IpRcv, WhatWouldBeForwardedIsUnknown) {
  InDevConf c;
  c.forwarding = true;
  host.conf(c);
  Packet p;
  p.daddr = "10.0.0.77";
  host.receive(frame(p, udp(p, {1})));
  EXPECT_EQ(host.rx_drops(DropReason::TXPATH_UNKNOWN), 1U);
}

TEST_F(IpRcv, BroadcastAndMulticastGoToEverySocket) {
  Sock& one = host.sock();
  Sock& two = host.sock();
  for (Sock* sk : {&one, &two}) {
    sk->reuse = true;
    ASSERT_TRUE(inet_bind(*sk, {Ip4{}, 53}));
  }
  Packet p;
  p.daddr = "10.0.0.255";
  p.dest = MacAddr::broadcast();
  host.receive(frame(p, udp(p, {1})));
  p.daddr = "224.0.0.1";
  p.dest = ip_eth_mc_map(ip(p.daddr));
  {
    const std::lock_guard guard(host.net.rtnl);
    host.net.dev->set_mc_groups(2, {ip("224.0.0.1")});
  }
  host.receive(frame(p, udp(p, {1})));
  EXPECT_EQ(waiting(one), 2U);
  EXPECT_EQ(waiting(two), 2U);
  EXPECT_EQ(host.snmp(Snmp::IpExtInBcastPkts), 1U);
  EXPECT_EQ(host.snmp(Snmp::IpExtInMcastPkts), 1U);
  p.dport = 54;
  host.receive(frame(p, udp(p, {1})));
  EXPECT_EQ(host.snmp(Snmp::UdpIgnoredMulti), 1U);
  EXPECT_TRUE(host.wire.sent.empty()) << "no ICMP about a multicast";
}

TEST_F(IpRcv, FullReceiveBufferDropsButOneAlwaysFits) {
  Sock& sk = host.bound(53);
  sk.rcvbuf = 1;
  host.receive(frame({}, udp({}, {1})));
  host.receive(frame({}, udp({}, {1})));
  EXPECT_EQ(waiting(sk), 1U);
  EXPECT_EQ(host.snmp(Snmp::UdpRcvbufErrors), 1U);
  EXPECT_EQ(host.snmp(Snmp::UdpInErrors), 1U);
  EXPECT_EQ(sk.drops.load(), 1U);
  EXPECT_EQ(host.rx_drops(DropReason::SOCKET_RCVBUFF), 1U);
}

// ---- reassembly ----

TEST_F(IpRcv, FragmentsInAnyOrderMakeTheDatagram) {
  const Bytes body = udp({}, numbers(3000));
  const std::vector<std::pair<std::size_t, std::size_t>> parts = {
      {0, 1000}, {1000, 2000}, {2000, body.size()}};
  std::vector<std::size_t> order = {0, 1, 2};
  Sock& sk = host.bound(53);
  std::uint16_t id = 1;
  do {
    for (const std::size_t i : order)
      host.receive(fragment(body, parts[i].first, parts[i].second, id));
    const auto d = udp_recvmsg(sk);
    ASSERT_TRUE(d);
    EXPECT_EQ(d->payload, numbers(3000));
    ++id;
  } while (std::next_permutation(order.begin(), order.end()));
  EXPECT_EQ(host.snmp(Snmp::IpReasmOKs), 6U);
  EXPECT_EQ(host.snmp(Snmp::IpReasmReqds), 18U);
  EXPECT_EQ(host.net.frags->memory(), 0U);
  EXPECT_EQ(host.net.frags->queues(), 0U);
}

TEST_F(IpRcv, DuplicateFragmentsAreDroppedAndTheRestGoesOn) {
  const Bytes body = udp({}, numbers(2000));
  Sock& sk = host.bound(53);
  host.receive(fragment(body, 0, 1000));
  host.receive(fragment(body, 0, 1000));
  host.receive(fragment(body, 8, 400));
  EXPECT_EQ(host.rx_drops(DropReason::DUP_FRAG), 2U);
  host.receive(fragment(body, 1000, body.size()));
  EXPECT_EQ(waiting(sk), 1U);
}

TEST_F(IpRcv, OverlappingFragmentsSpoilTheDatagram) {
  const Bytes body = udp({}, numbers(2000));
  Sock& sk = host.bound(53);
  host.receive(fragment(body, 0, 1000));
  host.receive(fragment(body, 992, 1992));
  EXPECT_EQ(host.rx_drops(DropReason::NOT_SPECIFIED), 2U);
  EXPECT_EQ(host.snmp(Snmp::IpExtReasmOverlaps), 1U);
  EXPECT_EQ(host.snmp(Snmp::IpReasmFails), 1U);
  EXPECT_EQ(host.net.frags->queues(), 0U);
  host.receive(fragment(body, 1992, body.size()));
  EXPECT_EQ(waiting(sk), 0U);
  EXPECT_EQ(host.net.frags->queues(), 1U) << "the rest begins anew";
}

TEST_F(IpRcv, ContradictingEndsSpoilTheDatagram) {
  const Bytes body = udp({}, numbers(2000));
  const Bytes shorter(body.begin(), body.begin() + 1600);
  host.receive(fragment(body, 1000, body.size()));
  host.receive(fragment(shorter, 800, 1600));
  EXPECT_EQ(host.snmp(Snmp::IpReasmFails), 1U);
  host.receive(fragment(shorter, 800, 1600, 2));
  host.receive(fragment(body, 1600, 1800, 2));
  EXPECT_EQ(host.snmp(Snmp::IpReasmFails), 2U);
  EXPECT_EQ(host.net.frags->queues(), 0U);
}

TEST_F(IpRcv, ReassemblyTimesOutAndTellsTheSender) {
  const Bytes body = udp({}, numbers(2000));
  host.set_neigh("10.0.0.9", Nud::permanent, mac(9));
  host.bound(53);
  host.receive(fragment(body, 0, 1000, 1));
  host.net.clock.advance(kSecond);
  host.receive(fragment(body, 1000, body.size(), 2));
  host.advance(28 * kSecond);
  EXPECT_EQ(host.net.frags->queues(), 2U);
  host.advance(kSecond);
  EXPECT_EQ(host.net.frags->queues(), 1U);
  ASSERT_EQ(host.wire.sent.size(), 1U);
  const Bytes& f = host.wire.sent[0];
  EXPECT_EQ(f[kEthHlen + kIpHlen], kIcmpTimeExceeded);
  EXPECT_EQ(f[kEthHlen + kIpHlen + 1], kIcmpExcFragtime);
  host.advance(kSecond);
  EXPECT_EQ(host.net.frags->queues(), 0U);
  EXPECT_EQ(host.wire.sent.size(), 1U) << "without its first fragment nobody is told";
  EXPECT_EQ(host.rx_drops(DropReason::FRAG_REASM_TIMEOUT), 2U);
  EXPECT_EQ(host.snmp(Snmp::IpReasmTimeout), 2U);
  EXPECT_EQ(host.net.timers.next(), -1);
}

TEST_F(IpRcv, ReassemblyIsBoundedInMemory) {
  const Bytes body = numbers(1480);
  std::uint64_t sent = 0;
  for (std::uint32_t id = 0; id < 4000; ++id, ++sent)
    host.receive(fragment(numbers(4000), 8, 1480, static_cast<std::uint16_t>(id)));
  EXPECT_LE(host.net.frags->memory(), IpFrags::kHighThresh + 65536);
  EXPECT_GT(host.rx_drops(DropReason::NOMEM), 0U);
  EXPECT_EQ(host.net.frags->queues() + host.rx_drops(DropReason::NOMEM), sent);
}

TEST_F(IpRcv, ADatagramBeyond64KIsRefused) {
  Packet p;
  p.frag_off = 8189;  // the last possible place
  host.receive(frame(p, numbers(400)));
  p.frag_off = kIpMf;
  for (std::size_t at = 0; at < 8189UL * 8; at += 1400) {
    const std::size_t n = std::min<std::size_t>(1400, 8189UL * 8 - at);
    p.frag_off = static_cast<std::uint16_t>(kIpMf | (at / 8));
    host.receive(frame(p, Bytes(n)));
  }
  EXPECT_EQ(host.snmp(Snmp::IpReasmOKs), 0U);
  EXPECT_EQ(host.snmp(Snmp::IpReasmFails), 1U);
  EXPECT_EQ(host.net.frags->memory(), 0U);
}

TEST_F(IpRcv, EcnOfTheFragmentsIsJoined) {
  const Bytes body = udp({}, numbers(2000));
  Sock& sk = host.bound(53);
  host.receive(fragment(body, 0, 1000, 1, 2));
  host.receive(fragment(body, 1000, body.size(), 1, 3));
  EXPECT_EQ(waiting(sk), 1U);
  host.receive(fragment(body, 0, 1000, 2, 0));
  host.receive(fragment(body, 1000, body.size(), 2, 3));
  EXPECT_EQ(waiting(sk), 1U) << "not-ECT and CE contradict each other";
}

// ---- ICMP ----

TEST_F(IpRcv, UnusedPortIsAnsweredWithPortUnreachable) {
  host.set_neigh("10.0.0.9", Nud::permanent, mac(9));
  const Bytes body = udp({}, numbers(1000));
  Packet p;
  p.tos = 0x28;
  host.receive(frame(p, body));
  EXPECT_EQ(host.snmp(Snmp::UdpNoPorts), 1U);
  ASSERT_EQ(host.wire.sent.size(), 1U);
  const Bytes& f = host.wire.sent[0];
  const auto h = Ipv4Header::parse(std::span(f).subspan(kEthHlen));
  ASSERT_TRUE(h);
  EXPECT_EQ(h->tot_len, 576);
  EXPECT_EQ(h->tos, 0xc8);
  EXPECT_EQ(h->ttl, 64);
  EXPECT_EQ(h->frag_off, 0);
  EXPECT_EQ(h->saddr, ip("10.0.0.1"));
  EXPECT_EQ(h->daddr, ip("10.0.0.9"));
  EXPECT_EQ(f[34], kIcmpDestUnreach);
  EXPECT_EQ(f[35], kIcmpPortUnreach);
  const auto message = std::span(f).subspan(34);
  EXPECT_EQ(csum_fold(csum_partial(message, 0)), 0);
  const Bytes quoted = ip_packet(p, body);
  EXPECT_TRUE(std::equal(message.begin() + 8, message.end(), quoted.begin()));
}

TEST_F(IpRcv, NoIcmpAboutIcmpErrorsFragmentsOrBroadcasts) {
  host.set_neigh("10.0.0.9", Nud::permanent, mac(9));
  Packet p;
  p.daddr = "10.0.0.255";
  p.dest = MacAddr::broadcast();
  host.receive(frame(p, udp(p, {1})));
  Packet to_broadcast_mac;
  to_broadcast_mac.dest = MacAddr::broadcast();
  host.receive(frame(to_broadcast_mac, udp({}, {1})));
  EXPECT_TRUE(host.wire.sent.empty());
}

TEST_F(IpRcv, EchoIsAnswered) {
  host.set_neigh("10.0.0.9", Nud::permanent, mac(9));
  Packet p;
  p.protocol = kIpProtoIcmp;
  host.receive(frame(p, icmp(kIcmpEcho, 0, 0x12340001, numbers(56))));
  ASSERT_EQ(host.wire.sent.size(), 1U);
  const auto message = std::span(host.wire.sent[0]).subspan(34);
  EXPECT_EQ(message[0], kIcmpEchoReply);
  EXPECT_EQ(csum_fold(csum_partial(message, 0)), 0);
  EXPECT_EQ(load_be32(&message[4]), 0x12340001U);
  EXPECT_EQ(Bytes(message.begin() + 8, message.end()), numbers(56));
  EXPECT_EQ(host.snmp(Snmp::IcmpInEchos), 1U);
  EXPECT_EQ(host.snmp(Snmp::IcmpOutEchoReps), 1U);
  p.daddr = "10.0.0.255";
  p.dest = MacAddr::broadcast();
  host.receive(frame(p, icmp(kIcmpEcho, 0, 1, {})));
  EXPECT_EQ(host.wire.sent.size(), 1U);
  EXPECT_EQ(host.rx_drops(DropReason::INVALID_PROTO), 1U);
}

TEST_F(IpRcv, InAMirroredNamespaceTheKernelAnswers) {
  host.net.neigh->owner = NeighOwner::kernel;
  host.set_neigh("10.0.0.9", Nud::permanent, mac(9));
  host.receive(frame({}, udp({}, {1})));
  Packet p;
  p.protocol = kIpProtoIcmp;
  host.receive(frame(p, icmp(kIcmpEcho, 0, 1, {})));
  EXPECT_TRUE(host.wire.sent.empty());
}

TEST_F(IpRcv, BadIcmpIsCounted) {
  Packet p;
  p.protocol = kIpProtoIcmp;
  Bytes bad = icmp(kIcmpEcho, 0, 1, {});
  bad[0] ^= 1;
  host.receive(frame(p, bad));
  EXPECT_EQ(host.rx_drops(DropReason::ICMP_CSUM), 1U);
  EXPECT_EQ(host.snmp(Snmp::IcmpInCsumErrors), 1U);
  host.receive(frame(p, Bytes{0xff, 0xff}));
  EXPECT_EQ(host.rx_drops(DropReason::NOT_SPECIFIED), 1U);
  host.receive(frame(p, icmp(kIcmpExtEcho, 0, 0, {})));
  EXPECT_EQ(host.snmp(Snmp::IcmpInErrors), 2U);
  host.receive(frame(p, icmp(40, 0, 0, {})));
  EXPECT_EQ(host.rx_drops(DropReason::UNHANDLED_PROTO), 1U);
  host.receive(frame(p, icmp(kIcmpDestUnreach, 3, 0, Bytes(12))));
  EXPECT_EQ(host.rx_drops(DropReason::NOT_SPECIFIED), 2U);
  Bytes short_header(20);
  short_header[0] = 0x41;
  host.receive(frame(p, icmp(kIcmpDestUnreach, 3, 0, short_header)));
  EXPECT_EQ(host.rx_drops(DropReason::IP_INHDR), 1U);
  Packet inner;
  inner.saddr = "10.0.0.1";
  inner.daddr = "10.0.0.9";
  host.receive(frame(p, icmp(kIcmpDestUnreach, 3, 0, ip_packet(inner, Bytes(7)))));
  EXPECT_EQ(host.snmp(Snmp::IcmpInErrors), 6U);
}

class UdpErr : public IpRcv {
 protected:
  UdpErr() {
    sk.inet_num = 0;
    EXPECT_TRUE(inet_bind(sk, {ip("10.0.0.1"), 1000}));
  }
  void connect() { ASSERT_TRUE(inet_dgram_connect(sk, {ip("10.0.0.9"), 9})); }
  // An ICMP error about a datagram from our port 1000 to 10.0.0.9:9.
  void error(std::uint8_t type, std::uint8_t code, std::uint32_t rest = 0) {
    Packet inner;
    inner.saddr = "10.0.0.1";
    inner.daddr = "10.0.0.9";
    inner.sport = 1000;
    inner.dport = 9;
    Packet outer;
    outer.saddr = "10.0.0.254";
    outer.protocol = kIpProtoIcmp;
    host.receive(frame(outer, icmp(type, code, rest, ip_packet(inner, udp(inner, {1})))));
  }
  int take() { return sk.sk_err.exchange(0); }
  Sock& sk = host.sock();
};

TEST_F(UdpErr, ConvertsEveryCodeAsTheKernel) {
  struct Case {
    std::uint8_t type, code;
    int recverr, connected;  // the errno with IP_RECVERR, and without it on a connected socket
  };
  const Case cases[] = {
      {3, 0, ENETUNREACH, 0},
      {3, 1, EHOSTUNREACH, 0},
      {3, 2, ENOPROTOOPT, ENOPROTOOPT},
      {3, 3, ECONNREFUSED, ECONNREFUSED},
      {3, 5, EOPNOTSUPP, 0},
      {3, 6, ENETUNREACH, ENETUNREACH},
      {3, 7, EHOSTDOWN, EHOSTDOWN},
      {3, 8, ENONET, ENONET},
      {3, 9, ENETUNREACH, ENETUNREACH},
      {3, 10, EHOSTUNREACH, EHOSTUNREACH},
      {3, 11, ENETUNREACH, 0},
      {3, 12, EHOSTUNREACH, 0},
      {3, 13, EHOSTUNREACH, EHOSTUNREACH},
      {3, 14, EHOSTUNREACH, EHOSTUNREACH},
      {3, 15, EHOSTUNREACH, EHOSTUNREACH},
      {3, 16, 0, 0},
      {4, 0, 0, 0},
      {11, 0, EHOSTUNREACH, 0},
      {11, 1, 0, 0},
      {12, 0, EPROTO, EPROTO},
  };
  for (const Case& c : cases) {
    error(c.type, c.code);
    EXPECT_EQ(take(), 0) << "unconnected " << int{c.type} << "/" << int{c.code};
  }
  sk.recverr = true;
  for (const Case& c : cases) {
    error(c.type, c.code);
    EXPECT_EQ(take(), c.recverr) << "recverr " << int{c.type} << "/" << int{c.code};
  }
  sk.recverr = false;
  connect();
  for (const Case& c : cases) {
    error(c.type, c.code);
    EXPECT_EQ(take(), c.connected) << "connected " << int{c.type} << "/" << int{c.code};
  }
}

TEST_F(UdpErr, FragNeededLowersThePathMtu) {
  connect();
  error(kIcmpDestUnreach, kIcmpFragNeeded, 1200);
  EXPECT_EQ(take(), EMSGSIZE);
  ASSERT_EQ(host.net.exceptions->all().size(), 1U);
  EXPECT_EQ(host.net.exceptions->all()[0].mtu, 1200U);
  sk.pmtudisc = IP_PMTUDISC_DONT;
  error(kIcmpDestUnreach, kIcmpFragNeeded, 1100);
  EXPECT_EQ(take(), 0);
  EXPECT_EQ(host.net.exceptions->all()[0].mtu, 1100U);
  sk.pmtudisc = IP_PMTUDISC_OMIT;
  error(kIcmpDestUnreach, kIcmpFragNeeded, 1000);
  EXPECT_EQ(take(), EMSGSIZE);
  EXPECT_EQ(host.net.exceptions->all()[0].mtu, 1100U);
}

TEST_F(UdpErr, NoPmtuDiscForbidsToListen) {
  connect();
  Sysctls s;
  s.ip_no_pmtu_disc = 2;
  {
    const std::lock_guard guard(host.net.rtnl);
    host.net.set_sysctls(s);
  }
  error(kIcmpDestUnreach, kIcmpFragNeeded, 1200);
  EXPECT_EQ(take(), 0);
  EXPECT_TRUE(host.net.exceptions->all().empty());
}

TEST_F(UdpErr, AboutNobodysDatagramIsAnInError) {
  host.net.udp->unhash(sk);
  error(kIcmpDestUnreach, kIcmpPortUnreach);
  EXPECT_EQ(host.snmp(Snmp::IcmpInErrors), 1U);
  EXPECT_EQ(host.snmp(Snmp::IcmpInDestUnreachs), 1U);
}

// ---- two Nets, and this host to itself ----

TEST(TwoNetsIp, PortUnreachableBecomesConnectionRefused) {
  TwoNets n;
  Sock& sk = n.a.sock();
  ASSERT_TRUE(inet_dgram_connect(sk, {ip("10.0.0.2"), 9}));
  EXPECT_EQ(n.a.send_connected(sk), 0);
  n.settle();
  EXPECT_EQ(n.a.send_connected(sk), ECONNREFUSED);
  EXPECT_EQ(n.a.send_connected(sk), 0);
  EXPECT_EQ(n.b.snmp(Snmp::UdpNoPorts), 1U);
  EXPECT_TRUE(n.a.net.totals().conserved());
  EXPECT_TRUE(n.b.net.totals().conserved());
}

TEST(TwoNetsIp, AFragmentedDatagramArrivesWhole) {
  TwoNets n(64, 600);
  Sock& rx = n.b.bound(53);
  Sock& tx = n.a.sock();
  tx.pmtudisc = IP_PMTUDISC_DONT;
  EXPECT_EQ(n.a.send(tx, "10.0.0.2", 53, 5000), 0);
  n.settle();
  const auto d = udp_recvmsg(rx);
  ASSERT_TRUE(d);
  EXPECT_EQ(d->payload, Bytes(5000, 'x'));
  EXPECT_EQ(n.b.snmp(Snmp::IpReasmOKs), 1U);
}

}  // namespace
}  // namespace txp::test
