// SPDX-License-Identifier: Apache-2.0
#include <gtest/gtest.h>

#include "drivers/scripted_driver.h"
#include "observe/trace.h"
#include "sched/ratecfg.h"
#include "sched/registry.h"
#include "sched/tc_options.h"
#include "softirq/net_tx_action.h"

namespace txp {
namespace {

using testing::Bed;
using testing::root_qdisc;
using Numbers = std::vector<int>;

// Frames of 46 bytes (scripted_driver.h).
constexpr std::uint32_t kFrame = 46;

// Until nothing waits, the clock jumping from timer to timer; answers how long it took.
Nanos drain_all(Bed& bed) {
  const Nanos start = bed.net.clock.now();
  EXPECT_TRUE(bed.net.drain(100 * kSecond));
  return bed.net.clock.now() - start;
}

TEST(Ratecfg, TakesTheLargestFactorOf32Bits) {
  tc_ratespec spec{};
  spec.rate = 125000;  // 1 Mbit
  const Ratecfg r(spec, 0);
  EXPECT_EQ(r.l2t_ns(1500), 12000000);
  EXPECT_EQ(r.mult >> 31, 1U);
  EXPECT_EQ(r.ns_t2l(12000000), 1500U);
}

TEST(Ratecfg, OverheadMpuAndAtmCells) {
  tc_ratespec spec{};
  spec.rate = 1000;
  spec.overhead = 10;
  spec.mpu = 64;
  EXPECT_EQ(Ratecfg(spec, 0).l2t_ns(20), 64000000);
  EXPECT_EQ(Ratecfg(spec, 0).l2t_ns(100), 110000000);
  spec.linklayer = TC_LINKLAYER_ATM;
  EXPECT_EQ(Ratecfg(spec, 0).l2t_ns(100), 3 * 53 * 1000000);  // 110 bytes in three cells
}

TEST(Tbf, BurstGoesAtOnceThenTheRate) {
  Bed bed;
  // 46,000 bytes a second: a frame a millisecond; a bucket of two frames.
  bed.qdisc(root_qdisc("tbf", testing::tbf(46000, 2 * kFrame, 100000)));
  for (std::uint8_t i = 1; i <= 5; ++i) ASSERT_TRUE(bed.send(i).ok());
  EXPECT_EQ(bed.sent(), (Numbers{1, 2}));
  EXPECT_EQ(bed.q().qlen(), 3U);
  EXPECT_EQ(bed.q().stats.overlimits.get(), 3U);
  EXPECT_EQ(bed.net.totals().queued, 3U);
  EXPECT_TRUE(bed.net.totals().conserved());
  EXPECT_NEAR(static_cast<double>(drain_all(bed)), 3e6, 10);
  EXPECT_EQ(bed.sent(), (Numbers{1, 2, 3, 4, 5}));
  EXPECT_EQ(bed.q().stats.packets.get(), 5U);
  EXPECT_TRUE(bed.net.totals().conserved());
}

TEST(Tbf, RateIsExactOverTenSeconds) {
  Bed bed;
  bed.driver->keep = false;
  bed.qdisc(root_qdisc("tbf", testing::tbf(100000, 10 * kFrame, 100000)));
  const Nanos end = bed.net.clock.now() + 10 * kSecond;
  while (bed.net.clock.now() < end) {
    while (bed.q().qlen() < 50) ASSERT_TRUE(bed.send(1).ok());
    const Nanos next = bed.net.timers.next();
    ASSERT_GE(next, 0);
    bed.net.clock.advance(std::max<Nanos>(next - bed.net.clock.now(), 0));
    bed.net.poll();
  }
  const double bytes = static_cast<double>(bed.q().stats.bytes.get());
  EXPECT_NEAR(bytes, 100000.0 * 10 + 10 * kFrame, 100000.0 * 10 * 0.001);
}

TEST(Tbf, PeakRateSpacesTheBurst) {
  Bed bed;
  bed.qdisc(root_qdisc("tbf", testing::tbf(46000, 10 * kFrame, 100000, 460000, kFrame)));
  for (std::uint8_t i = 1; i <= 3; ++i) ASSERT_TRUE(bed.send(i).ok());
  EXPECT_EQ(bed.sent(), Numbers{1});
  EXPECT_NEAR(static_cast<double>(drain_all(bed)), 200000,
              10);  // a tenth of a millisecond each, out of the burst
}

TEST(Tbf, DropsWhatTheBucketCannotHoldAndWhatTheQueueCannot) {
  Bed bed;
  bed.qdisc(root_qdisc("tbf", testing::tbf(46000, kFrame, 2 * kFrame)));
  std::vector<std::uint8_t> payload(100);
  EXPECT_EQ(bed.send(bed.frame(payload)), TxResult::drop());
  for (std::uint8_t i = 1; i <= 3; ++i) ASSERT_TRUE(bed.send(i).ok());
  EXPECT_EQ(bed.send(4), TxResult::drop());  // one went, two wait, the bfifo is full
  EXPECT_EQ(bed.q().stats.drops.get(), 2U);
  EXPECT_TRUE(bed.net.totals().conserved());
}

TEST(Tbf, SegmentsASuperframeThatIsTooLong) {
  Bed bed;
  bed.qdisc(root_qdisc("tbf", testing::tbf(1000000, 200, 100000)));
  std::vector<std::uint8_t> payload(300);
  SkbPtr skb = bed.frame(payload);
  skb->gso_size = 100;
  skb->gso_segs = 3;
  skb->gso_type = GsoType::udp_l4;
  EXPECT_TRUE(bed.send(std::move(skb)).ok());
  drain_all(bed);
  ASSERT_EQ(bed.driver->frames.size(), 3U);
  EXPECT_EQ(bed.driver->frames[0].size(), 142U);
  EXPECT_EQ(bed.q().stats.packets.get(), 3U);
  EXPECT_EQ(bed.q().stats.bytes.get(), 3U * 142);
  EXPECT_EQ(bed.q().qlen(), 0U);
  EXPECT_EQ(bed.q().backlog(), 0U);
  EXPECT_TRUE(bed.net.totals().conserved());
}

TEST(Tbf, TraceOfAPacketThatMustWaitSaysQueued) {
  Bed bed;
  bed.qdisc(root_qdisc("tbf", testing::tbf(46000, kFrame, 100000)));
  ASSERT_TRUE(bed.send(1).ok());
  Trace trace(bed.net.clock);
  SkbPtr skb = bed.numbered(2);
  skb->trace = &trace;
  ASSERT_TRUE(bed.send(std::move(skb)).ok());
  EXPECT_EQ(trace.queued_at(), Stage::qdisc_enqueue);
}

TEST(Tbf, PurgedWhenTheDeviceGoesDownAndFullAfterwards) {
  Bed bed;
  bed.qdisc(root_qdisc("tbf", testing::tbf(46000, kFrame, 100000)));
  for (std::uint8_t i = 1; i <= 3; ++i) ASSERT_TRUE(bed.send(i).ok());
  Link link = bed.dev->link();
  const auto set = [&](std::uint32_t flags) {
    link.flags = flags;
    const std::lock_guard guard(bed.net.rtnl);
    bed.net.dev->set_link(link);
  };
  const std::uint32_t up = link.flags;
  set(up & ~kIffUp);
  EXPECT_EQ(bed.drops(Stage::qdisc_enqueue, DropReason::QUEUE_PURGE), 2U);
  EXPECT_TRUE(bed.net.totals().conserved());
  EXPECT_EQ(bed.net.timers.next(), -1);
  set(up);
  ASSERT_TRUE(bed.send(4).ok());
  EXPECT_EQ(bed.sent(), (Numbers{1, 4}));
}

TEST(Tbf, ABurstIsReadBackFromItsTicks) {
  // As the kernel dumps it: no TCA_TBF_BURST. A packet of just the burst passes, one byte more not.
  Bed bed;
  tc_tbf_qopt o{};
  o.limit = 100000;
  o.rate.rate = 125;  // 1 kbit: the bucket is deeper than 32 bits of nanoseconds
  o.rate.linklayer = TC_LINKLAYER_ETHERNET;
  o.buffer = static_cast<std::uint32_t>(Ratecfg(o.rate, 0).l2t_ns(2000) / 64);
  bed.qdisc(root_qdisc("tbf", testing::attr(TCA_TBF_PARMS, testing::octets(o))));
  const std::vector<std::uint8_t> whole(2000 - 42), more(2001 - 42);
  EXPECT_EQ(bed.send(bed.frame(more)), TxResult::drop());
  EXPECT_TRUE(bed.send(bed.frame(whole)).ok());
  EXPECT_EQ(bed.driver->frames.size(), 1U);
}

TEST(Tbf, WhatTheKernelWouldRefuseIsUnknown) {
  const Link link = testing::test_link();
  const auto kind_of = [&](testing::Octets o) {
    return make_qdisc(root_qdisc("tbf", std::move(o)), link)->state_is_shared;
  };
  EXPECT_TRUE(kind_of(testing::tbf(1000, 100, 1000)));
  EXPECT_FALSE(kind_of(testing::tbf(1000, 0, 1000)));              // no depth
  EXPECT_FALSE(kind_of(testing::tbf(1000, 100, 1000, 1000, 50)));  // a peak no higher
  EXPECT_FALSE(kind_of({}));
}

}  // namespace
}  // namespace txp
