// SPDX-License-Identifier: Apache-2.0
#include <gtest/gtest.h>

#include "explain/explain.h"
#include "wire/ethernet.h"
#include "wire/ipv4.h"
#include "wire/udp.h"
#include "wire/vxlan.h"

namespace txp {
namespace {

constexpr Ip4 kSrc{0x0a4d0001};
constexpr Ip4 kDst{0x0a4d0002};

std::uint16_t udp_check(std::span<const std::uint8_t> datagram) {
  const std::uint16_t c = csum_fold(csum_tcpudp_nofold(kSrc.host, kDst.host,
                                                       static_cast<std::uint32_t>(datagram.size()),
                                                       kIpProtoUdp, csum_partial(datagram, 0)));
  return c == 0 ? kCsumMangled0 : c;
}

std::vector<std::uint8_t> datagram(std::uint16_t sport, std::size_t payload, std::uint8_t fill) {
  std::vector<std::uint8_t> d(kUdpHlen + payload, fill);
  UdpHeader h{sport, 53, static_cast<std::uint16_t>(d.size()), 0};
  h.emit(d.data());
  h.check = udp_check(d);
  h.emit(d.data());
  return d;
}

ReportFrame frame(std::span<const std::uint8_t> part, std::uint16_t id, std::uint16_t frag_off) {
  ReportFrame f;
  f.dev = "va";
  f.bytes.resize(kEthHlen + kIpHlen);
  Ipv4Header h;
  h.tot_len = static_cast<std::uint16_t>(kIpHlen + part.size());
  h.id = id;
  h.frag_off = frag_off;
  h.ttl = 64;
  h.protocol = kIpProtoUdp;
  h.saddr = kSrc;
  h.daddr = kDst;
  h.emit(f.bytes.data() + kEthHlen);
  Ipv4View(f.bytes.data() + kEthHlen).send_check();
  f.bytes.insert(f.bytes.end(), part.begin(), part.end());
  return f;
}

TEST(MaskFrames, EveryPortAndIdGivesTheFrameThatZerosWouldHaveGiven) {
  const std::vector<std::string> both{"udp.sport", "ip.id"};
  const ReportFrame expected = frame(datagram(0, 33, 0x5a), 0, 0);
  for (std::uint32_t port = 1; port <= 0xffff; port += 1) {
    std::vector<ReportFrame> frames{frame(datagram(static_cast<std::uint16_t>(port), 33, 0x5a),
                                          static_cast<std::uint16_t>(port * 7), 0)};
    mask_frames(frames, both);
    ASSERT_EQ(frames[0].bytes, expected.bytes) << port;
  }
}

TEST(MaskFrames, FragmentsKeepAChecksumOfTheWholeDatagram) {
  const std::vector<std::string> both{"udp.sport", "ip.id"};
  const auto cut = [](std::uint16_t sport, std::uint16_t id) {
    const auto d = datagram(sport, 40, 0x11);
    std::vector<ReportFrame> frames{frame(std::span(d).first(24), id, kIpMf),
                                    frame(std::span(d).subspan(24), id, 24 / 8)};
    return frames;
  };
  auto frames = cut(40000, 777);
  mask_frames(frames, both);
  const auto expected = cut(0, 0);
  ASSERT_EQ(frames.size(), 2U);
  EXPECT_EQ(frames[0].bytes, expected[0].bytes);
  EXPECT_EQ(frames[1].bytes, expected[1].bytes);
}

TEST(MaskFrames, OnlyTheNamedFieldsChange) {
  std::vector<ReportFrame> frames{frame(datagram(1234, 5, 1), 9, 0)};
  const auto before = frames[0].bytes;
  mask_frames(frames, {});
  EXPECT_EQ(frames[0].bytes, before);
  const std::vector<std::string> id{"ip.id"};
  mask_frames(frames, id);
  EXPECT_EQ(frames[0].bytes, frame(datagram(1234, 5, 1), 0, 0).bytes);
}

TEST(MaskFrames, AFrameThatIsNoIpPacketStays) {
  std::vector<ReportFrame> frames(2);
  frames[0].bytes = {1, 2, 3};
  frames[1].bytes.assign(60, 0xff);
  const std::vector<std::string> both{"udp.sport", "ip.id"};
  mask_frames(frames, both);
  EXPECT_EQ(frames[0].bytes.size(), 3U);
  EXPECT_EQ(frames[1].bytes, std::vector<std::uint8_t>(60, 0xff));
}

// A frame in VXLAN, as the engine makes it: the outer checksum over all of it.
ReportFrame in_vxlan(const ReportFrame& inner, std::uint16_t sport, std::uint16_t id) {
  std::vector<std::uint8_t> d(kUdpHlen + kVxlanHlen);
  VxlanHeader{kVxlanHfVni, 5}.emit(d.data() + kUdpHlen);
  d.insert(d.end(), inner.bytes.begin(), inner.bytes.end());
  UdpHeader h{sport, 4789, static_cast<std::uint16_t>(d.size()), 0};
  h.emit(d.data());
  h.check = udp_check(d);
  h.emit(d.data());
  ReportFrame f = frame(d, id, 0);
  f.encaps = inner.encaps + 1;
  return f;
}

TEST(MaskFrames, WhatATunnelCarriesAndItsHeadersAreAsZerosWouldHaveMadeThem) {
  const std::vector<std::string> all{"udp.sport", "ip.id", "outer.udp.sport", "outer.ip.id"};
  for (const bool no_check : {false, true}) {
    const auto inside = [no_check](std::uint16_t sport) {
      auto d = datagram(sport, 33, 0x5a);
      if (no_check) d[6] = d[7] = 0;
      return d;
    };
    const auto twice = [&](std::uint16_t a) {
      const auto id = static_cast<std::uint16_t>(a * 7);
      return in_vxlan(in_vxlan(frame(inside(a), id, 0), a, id), a, id);
    };
    const ReportFrame expected = twice(0);
    for (std::uint32_t port = 1; port <= 0xffff; port += 3) {
      std::vector<ReportFrame> frames{twice(static_cast<std::uint16_t>(port))};
      mask_frames(frames, all);
      ASSERT_EQ(frames[0].bytes, expected.bytes) << port;
    }
  }
}

}  // namespace
}  // namespace txp
