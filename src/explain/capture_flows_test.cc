// SPDX-License-Identifier: Apache-2.0
#include "explain/capture_flows.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <netinet/in.h>
#include <pcap/dlt.h>

#include <algorithm>
#include <iterator>

#include "wire/ethernet.h"
#include "wire/ipv4.h"
#include "wire/tcp.h"
#include "wire/udp.h"

namespace txp {
namespace {

using Frame = std::vector<std::uint8_t>;

Frame ethernet(const Ipv4Header& ip, const Frame& transport) {
  Frame f(kEthHlen + kIpHlen, 0);
  store_be16(&f[12], kEthPIp);
  Ipv4Header h = ip;
  h.saddr = Ip4{0x0a4d0001};
  h.daddr = Ip4{0x0a4d0002};
  h.ttl = 64;
  h.tot_len = static_cast<std::uint16_t>(kIpHlen + transport.size());
  h.emit(&f[kEthHlen]);
  std::ranges::copy(transport, std::back_inserter(f));
  return f;
}

Frame datagram(const Ipv4Header& extra = {}) {
  Frame udp(kUdpHlen, 0);
  UdpHeader{4000, 53, 11, 0}.emit(udp.data());
  for (const char c : {'a', 'b', 'c'}) udp.push_back(static_cast<std::uint8_t>(c));
  Ipv4Header ip = extra;
  ip.protocol = kIpProtoUdp;
  return ethernet(ip, udp);
}

Frame segment(std::uint8_t flags) {
  Frame tcp(kTcpHlen, 0);
  TcpHeader h;
  h.source = 1234;
  h.dest = 80;
  h.flags = flags;
  h.emit(tcp.data());
  Ipv4Header ip;
  ip.protocol = kIpProtoTcp;
  return ethernet(ip, tcp);
}

std::expected<CapturedFlow, std::string_view> read(const Frame& f, int dlt = DLT_EN10MB) {
  return captured_flow(dlt, f, f.size());
}

std::string_view passed_over(const Frame& f, int dlt = DLT_EN10MB) {
  const auto flow = read(f, dlt);
  return flow ? "read" : flow.error();
}

TEST(CapturedFlow, ADatagramIsAskedWithItsAddressesAndPayload) {
  Ipv4Header ip;
  ip.tos = 0x10;
  ip.frag_off = kIpDf;
  const auto flow = read(datagram(ip));
  ASSERT_TRUE(flow) << flow.error();
  const FlowQuestion& q = flow->question;
  EXPECT_EQ(q.proto, FlowProto::udp);
  EXPECT_EQ(q.from, Ip4{0x0a4d0001});
  EXPECT_EQ(q.from_port, 4000);
  EXPECT_EQ(q.to, Ip4{0x0a4d0002});
  EXPECT_EQ(q.to_port, 53);
  EXPECT_EQ(q.tos, 0x10);
  EXPECT_EQ(q.ttl, 64);
  EXPECT_EQ(q.df, IP_PMTUDISC_WANT);
  EXPECT_THAT(flow->payload, testing::ElementsAre('a', 'b', 'c'));
  EXPECT_EQ(flow->unknown, "");
}

TEST(CapturedFlow, PaddingBehindTheDatagramIsNoPayload) {
  Frame f = datagram();
  f.resize(60);
  EXPECT_EQ(read(f)->payload.size(), 3U);
}

TEST(CapturedFlow, VlanTagsAreSteppedOver) {
  Frame f = datagram();
  const std::uint8_t tag[] = {0x81, 0x00, 0x00, 0x07};
  f.insert(f.begin() + 12, std::begin(tag), std::end(tag));
  EXPECT_EQ(passed_over(f), "read");
}

TEST(CapturedFlow, TheFirstSynIsAskedAndOtherSegmentsAreUnknown) {
  EXPECT_EQ(read(segment(kTcpSyn))->question.proto, FlowProto::tcp);
  EXPECT_EQ(read(segment(kTcpSyn))->unknown, "");
  EXPECT_NE(read(segment(kTcpSyn | kTcpAck))->unknown, "");
  EXPECT_NE(read(segment(kTcpAck))->unknown, "");
}

TEST(CapturedFlow, WhatCannotBeAskedIsToldByKind) {
  Ipv4Header fragment;
  fragment.frag_off = kIpMf;
  EXPECT_EQ(passed_over(datagram(fragment)), "fragments");
  Frame arp = datagram();
  store_be16(&arp[12], kEthPArp);
  EXPECT_EQ(passed_over(arp), "not IPv4");
  Frame icmp = datagram();
  icmp[kEthHlen + 9] = kIpProtoIcmp;
  EXPECT_EQ(passed_over(icmp), "neither UDP nor TCP");
}

TEST(CapturedFlow, EveryCutIsToldAndNeverRead) {
  const Frame whole = datagram();
  for (std::size_t n = 0; n < whole.size(); ++n) {
    const Frame cut(whole.begin(), whole.begin() + static_cast<std::ptrdiff_t>(n));
    EXPECT_NE(passed_over(cut), "read") << n;
  }
  Frame long_udp = whole;
  store_be16(&long_udp[kEthHlen + kIpHlen + 4], 12);  // says one byte more than there is
  EXPECT_EQ(passed_over(long_udp), "malformed");
}

TEST(ReadCapture, WhatIsNoCaptureGetsOneError) {
  const auto read = read_capture("/dev/null", [](CapturedFlow&&) { return true; });
  ASSERT_FALSE(read);
  EXPECT_THAT(read.error().what, testing::HasSubstr("/dev/null"));
  EXPECT_FALSE(read_capture("/nonexistent.pcap", [](CapturedFlow&&) { return true; }));
}

}  // namespace
}  // namespace txp
