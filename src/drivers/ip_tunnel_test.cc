// SPDX-License-Identifier: Apache-2.0
// IPIP and GRE, written from the source of kernel 6.12: the kernel of this project's machine has
// neither to compare with.
#include <gtest/gtest.h>

#include <netinet/in.h>

#include "drivers/tunnel_bed.h"
#include "wire/gre.h"
#include "wire/ipv4.h"

namespace txp::test {
namespace {

constexpr std::uint16_t kTunnelType = 768;  // ARPHRD_TUNNEL
constexpr std::uint16_t kGreType = 778;     // ARPHRD_IPGRE

IpTunnelInfo to_peer() {
  IpTunnelInfo t;
  t.local = ip("10.0.0.1");
  t.remote = ip("10.0.0.2");
  t.ttl = 64;
  return t;
}

// The outer IP header of a frame.
Ipv4Header outer(const Bytes& f) { return *Ipv4Header::parse(std::span(f).subspan(14)); }
Ipv4Header at(const Bytes& f, std::size_t n) { return *Ipv4Header::parse(std::span(f).subspan(n)); }

std::uint64_t tx_errors(TunnelBed& bed) {
  return bed.host.net.dev->by_index(kTunnel)->tx[0]->tx_errors.load();
}

TEST(Ipip, ThePacketLiesBehindAnotherIpHeader) {
  TunnelBed bed("ipip", to_peer(), kTunnelType, 1480);
  EXPECT_EQ(bed.send(), 0);
  ASSERT_EQ(bed.wire->frames.size(), 1U);
  const Bytes& f = bed.wire->frames[0];
  ASSERT_EQ(f.size(), 14U + 20 + 20 + 8 + 4);
  EXPECT_EQ(outer(f).protocol, 4);
  EXPECT_EQ(outer(f).ttl, 64);
  EXPECT_EQ(outer(f).tot_len, 52);
  EXPECT_EQ(outer(f).daddr, ip("10.0.0.2"));
  EXPECT_EQ(outer(f).frag_off, kIpDf);  // pmtudisc
  EXPECT_EQ(at(f, 34).daddr, ip("10.1.0.2"));
  // It counts the inner packet.
  EXPECT_EQ(bed.host.net.dev->by_index(kTunnel)->tx[0]->tx_bytes(), 32U);
  EXPECT_TRUE(bed.host.net.totals().conserved());
}

TEST(Ipip, TtlAndTosAreTheInnersWhenSaidSo) {
  IpTunnelInfo t = to_peer();
  t.ttl = 0;
  t.tos = 1;
  TunnelBed bed("ipip", t, kTunnelType, 1480);
  Sock& sk = bed.host.sock();
  sk.uc_ttl = 7;
  sk.tos = 0xbb;  // DSCP 0x2e, congestion experienced: outside it is ECT(0)
  bed.host.send(sk, "10.1.0.2", 53);
  ASSERT_EQ(bed.wire->frames.size(), 1U);
  EXPECT_EQ(outer(bed.wire->frames[0]).ttl, 7);
  EXPECT_EQ(outer(bed.wire->frames[0]).tos, 0xba);
}

TEST(Ipip, WithoutARemoteItSendsToTheNextHop) {
  IpTunnelInfo t = to_peer();
  t.remote = Ip4{};
  t.pmtudisc = false;
  TunnelBed bed("ipip", t, kTunnelType, 1480);
  EXPECT_EQ(bed.send(), 0);  // 10.1.0.2 again, which is routed through the tunnel
  EXPECT_EQ(bed.wire->frames.size(), 0U);
  EXPECT_EQ(tx_errors(bed), 1U);
  EXPECT_TRUE(bed.host.net.totals().conserved());
}

TEST(Ipip, DontFragmentAndTooLongIsAnErrorThatTheSenderHears) {
  TunnelBed bed("ipip", to_peer(), kTunnelType, 1500);
  Sock& sk = bed.host.sock();
  sk.pmtudisc = IP_PMTUDISC_PROBE;
  EXPECT_EQ(bed.host.send(sk, "10.1.0.2", 53, 1472), 0);
  EXPECT_EQ(bed.wire->frames.size(), 0U);
  EXPECT_EQ(tx_errors(bed), 1U);
  EXPECT_EQ(bed.host.snmp(Snmp::IcmpOutDestUnreachs), 1U);
  EXPECT_TRUE(bed.host.net.totals().conserved());
}

TEST(Gre, KeyAndChecksumHaveTheirWords) {
  IpTunnelInfo t = to_peer();
  t.o_flags = kGreCsum | kGreKey;
  t.okey = 0x01020304;
  TunnelBed bed("gre", t, kGreType, 1464);
  EXPECT_EQ(bed.send(), 0);
  ASSERT_EQ(bed.wire->frames.size(), 1U);
  const Bytes& f = bed.wire->frames[0];
  ASSERT_EQ(f.size(), 14U + 20 + 12 + 20 + 8 + 4);
  EXPECT_EQ(outer(f).protocol, 47);
  EXPECT_EQ(Bytes(f.begin() + 34, f.begin() + 38), (Bytes{0xa0, 0x00, 0x08, 0x00}));
  EXPECT_EQ(Bytes(f.begin() + 42, f.begin() + 46), (Bytes{1, 2, 3, 4}));
  // All that it covers sums to nothing.
  EXPECT_EQ(csum_fold(csum_partial(std::span(f).subspan(34), 0)), 0);
  EXPECT_EQ(at(f, 46).daddr, ip("10.1.0.2"));
}

TEST(Gre, PlainIsFourBytes) {
  TunnelBed bed("gre", to_peer(), kGreType, 1476);
  EXPECT_EQ(bed.send(), 0);
  ASSERT_EQ(bed.wire->frames.size(), 1U);
  const Bytes& f = bed.wire->frames[0];
  EXPECT_EQ(Bytes(f.begin() + 34, f.begin() + 39), (Bytes{0, 0, 0x08, 0x00, 0x45}));
}

TEST(Gre, AWholeFrameOfGretap) {
  TunnelBed bed("gretap", to_peer(), 1, 1462);
  EXPECT_EQ(bed.send(), 0);
  ASSERT_EQ(bed.wire->frames.size(), 1U);
  const Bytes& f = bed.wire->frames[0];
  EXPECT_EQ(Bytes(f.begin() + 34, f.begin() + 38), (Bytes{0, 0, 0x65, 0x58}));
  EXPECT_EQ(Bytes(f.begin() + 38, f.begin() + 44), (Bytes{2, 0, 0, 0, 0, 0x99}));
}

TEST(IpTunnel, WhatIsNotDoneIsUnknown) {
  IpTunnelInfo seq = to_peer();
  seq.o_flags = kGreSeq;
  IpTunnelInfo many = to_peer();
  many.remote = Ip4{};
  IpTunnelInfo external = to_peer();
  external.collect_metadata = true;
  IpTunnelInfo fou = to_peer();
  fou.unknown = "encap";
  for (const IpTunnelInfo& t : {seq, many, external, fou}) {
    TunnelBed bed("gre", t, kGreType, 1464);
    bed.send();
    EXPECT_EQ(bed.host.drops(Stage::dev_queue_xmit, DropReason::TXPATH_UNKNOWN), 1U)
        << bed.host.net.last_unknown();
  }
}

}  // namespace
}  // namespace txp::test
