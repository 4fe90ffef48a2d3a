// SPDX-License-Identifier: Apache-2.0
#include "dev/skb_gso_segment.h"

#include <gtest/gtest.h>

#include <numeric>

#include "drivers/scripted_driver.h"
#include "observe/trace.h"

namespace txp {
namespace {

using testing::Bed;
using testing::root_qdisc;
using testing::test_link;

constexpr std::size_t kHeaders = kEthHlen + kIpHlen + kUdpHlen;

SkbPtr gso_frame(Bed& bed, std::size_t payload, std::uint16_t size) {
  std::vector<std::uint8_t> bytes(payload);
  std::iota(bytes.begin(), bytes.end(), std::uint8_t{0});
  SkbPtr skb = bed.frame(bytes);
  skb->gso_size = size;
  skb->gso_type = GsoType::udp_l4;
  skb->gso_segs = static_cast<std::uint16_t>((payload + size - 1) / size);
  return skb;
}

bool udp_checksum_right(std::span<const std::uint8_t> frame) {
  const auto ip = Ipv4Header::parse(frame.subspan(kEthHlen));
  const auto udp = frame.subspan(kEthHlen + kIpHlen);
  const Csum sum =
      csum_tcpudp_nofold(ip->saddr.host, ip->daddr.host, static_cast<std::uint32_t>(udp.size()),
                         kIpProtoUdp, csum_partial(udp, 0));
  return csum_fold(sum) == 0;
}

TEST(Gso, SegmentsAreWholeDatagrams) {
  Bed bed;
  ASSERT_TRUE(bed.send(gso_frame(bed, 25, 10)).ok());
  ASSERT_EQ(bed.driver->frames.size(), 3U);
  std::vector<std::uint8_t> payload;
  std::uint16_t id = 0xfffe;  // counts up by one, and over
  for (const auto& f : bed.driver->frames) {
    const auto ip = Ipv4Header::parse(std::span(f).subspan(kEthHlen));
    const auto udp = UdpHeader::parse(std::span(f).subspan(kEthHlen + kIpHlen));
    ASSERT_TRUE(ip && udp);
    EXPECT_EQ(ip->tot_len, f.size() - kEthHlen);
    EXPECT_EQ(ip->id, id++);
    EXPECT_EQ(ip_fast_csum(std::span(f).subspan(kEthHlen, kIpHlen)), 0);
    EXPECT_EQ(udp->len, f.size() - kEthHlen - kIpHlen);
    EXPECT_TRUE(udp_checksum_right(f));
    payload.insert(payload.end(), f.begin() + kHeaders, f.end());
  }
  std::vector<std::uint8_t> wanted(25);
  std::iota(wanted.begin(), wanted.end(), std::uint8_t{0});
  EXPECT_EQ(payload, wanted);
  const CounterTotals t = bed.net.totals();
  EXPECT_EQ(t.sent, 3U);
  EXPECT_EQ(t.delivered, 3U);
  EXPECT_TRUE(t.conserved());
}

// One segment by hand: 10.0.0.1:1 to 10.0.0.2:2, payload 00 01, then 02.
TEST(Gso, BytesOfAFrameMadeByHand) {
  Bed bed;
  ASSERT_TRUE(bed.send(gso_frame(bed, 3, 2)).ok());
  const std::vector<std::uint8_t> first = {
      2,    0, 0, 0,  0,    2,    2,    0,    0,  0,  0,    1,    8,  0,  // Ethernet
      0x45, 0, 0, 30, 0xff, 0xfe, 0,    0,    64, 17, 0x66, 0xce, 10, 0, 0, 1, 10, 0, 0, 2,  // IP
      0,    1, 0, 2,  0,    10,   0xeb, 0xd3, 0,  1};                                        // UDP
  ASSERT_EQ(bed.driver->frames.size(), 2U);
  EXPECT_EQ(bed.driver->frames[0], first);
  EXPECT_EQ(bed.driver->frames[1].size(), kHeaders + 1);
}

TEST(Gso, FragListIsReadAcrossItsParts) {
  Bed bed;
  SkbPtr whole = gso_frame(bed, 2000, 700);
  SkbPtr head = gso_frame(bed, 2000, 700);
  // Moves the last 1001 bytes to two parts of the frag_list, at odd places.
  const std::size_t cut = head->len - 1001;
  Skb** tail = &head->frag_list;
  for (const auto& [from, n] : {std::pair<std::size_t, std::size_t>{cut, 333}, {cut + 333, 668}}) {
    SkbPtr part = alloc_skb(bed.net, n);
    std::memcpy(part->put(n), head->data + from, n);
    *tail = part.release();
    tail = &(*tail)->next;
  }
  head->tail -= 1001;
  head->data_len = 1001;
  ASSERT_TRUE(bed.send(std::move(whole)).ok());
  ASSERT_TRUE(bed.send(std::move(head)).ok());
  ASSERT_EQ(bed.driver->frames.size(), 6U);
  for (std::size_t i = 0; i < 3; ++i)
    EXPECT_EQ(bed.driver->frames[i], bed.driver->frames[i + 3]) << i;
}

TEST(Gso, DriverThatSegmentsGetsThePacketWhole) {
  Bed bed(test_link(), {.csum = true, .gso_udp_l4 = true});
  Trace trace(bed.net.clock);
  SkbPtr skb = gso_frame(bed, 25, 10);
  skb->trace = &trace;
  ASSERT_TRUE(bed.send(std::move(skb)).ok());
  EXPECT_EQ(bed.driver->frames.size(), 1U);
  EXPECT_EQ(trace.frames().size(), 3U);  // as on the wire
  EXPECT_EQ(bed.net.totals().sent, 1U);
  EXPECT_TRUE(bed.net.totals().conserved());
}

TEST(Gso, DisciplineCountsSegmentsAndTheirHeaders) {
  Bed bed;
  bed.qdisc(root_qdisc("pfifo_fast"));
  ASSERT_TRUE(bed.send(gso_frame(bed, 25, 10)).ok());
  EXPECT_EQ(bed.q().stats.packets.get(), 3U);
  EXPECT_EQ(bed.q().stats.bytes.get(), 3 * kHeaders + 25);
}

TEST(Gso, BusyInTheMiddleKeepsTheRest) {
  Bed bed;
  bed.qdisc(root_qdisc("pfifo_fast"));
  bed.driver->stop_after = 1;
  ASSERT_TRUE(bed.send(gso_frame(bed, 25, 10)).ok());
  EXPECT_EQ(bed.driver->frames.size(), 1U);
  EXPECT_EQ(bed.q().qlen(), 2U);
  EXPECT_EQ(bed.q().stats.requeues.get(), 2U);
  EXPECT_TRUE(bed.net.totals().conserved());
  const std::lock_guard guard(bed.net.rtnl);
  bed.net.dev->remove_link(2);
  bed.net.retired.flush();
  EXPECT_TRUE(bed.net.totals().conserved());
}

TEST(Gso, PacketWithoutAPartialChecksumIsDropped) {
  Bed bed(test_link("veth"));
  SkbPtr skb = gso_frame(bed, 25, 10);
  skb->ip_summed = IpSummed::none;
  EXPECT_FALSE(bed.send(std::move(skb)).ok());
  EXPECT_EQ(bed.drops(Stage::dev_hard_start_xmit, DropReason::SKB_GSO_SEG), 1U);
  EXPECT_EQ(bed.dev->tx_dropped.load(), 1U);
}

TEST(Checksum, ComputedZeroBecomesAllOnes) {
  Bed bed;
  // The sum over pseudo-header, ports, length and payload is 0xffff: its complement would be 0.
  std::vector<std::uint8_t> payload(2);
  const Csum rest = csum_tcpudp_nofold(0x0a000001, 0x0a000002, 10, kIpProtoUdp, 1 + 2 + 10);
  const auto fill = static_cast<std::uint16_t>(csum_fold(rest));
  payload[0] = static_cast<std::uint8_t>(fill >> 8);
  payload[1] = static_cast<std::uint8_t>(fill);
  ASSERT_TRUE(bed.send(bed.frame(payload)).ok());
  const auto udp = UdpHeader::parse(std::span(bed.driver->frames[0]).subspan(kEthHlen + kIpHlen));
  EXPECT_EQ(udp->check, 0xffff);
}

TEST(Checksum, OddPartsJoin) {
  Bed bed;
  std::vector<std::uint8_t> payload(101);
  std::iota(payload.begin(), payload.end(), std::uint8_t{7});
  SkbPtr whole = bed.frame(payload);
  SkbPtr split = bed.frame(payload);
  SkbPtr part = alloc_skb(bed.net, 50);
  std::memcpy(part->put(50), split->tail - 50, 50);
  split->tail -= 50;
  split->data_len = 50;
  split->frag_list = part.release();
  ASSERT_TRUE(skb_checksum_help(*whole));
  ASSERT_TRUE(skb_checksum_help(*split));
  EXPECT_EQ(UdpHeader::parse({whole->transport(), 8})->check,
            UdpHeader::parse({split->transport(), 8})->check);
  free_skb(std::move(whole));
  free_skb(std::move(split));
}

TEST(Checksum, FieldOutsideThePacketIsRefused) {
  Bed bed(test_link("veth"));
  SkbPtr skb = bed.numbered(1);
  skb->csum_offset = 400;
  EXPECT_FALSE(bed.send(std::move(skb)).ok());
  EXPECT_EQ(bed.drops(Stage::dev_hard_start_xmit, DropReason::SKB_CSUM), 1U);
}

}  // namespace
}  // namespace txp
