// SPDX-License-Identifier: Apache-2.0
// A link with a rate, byte queue limits on it, and the transmit timeout.
#include "drivers/link_rate.h"

#include <gtest/gtest.h>

#include "drivers/scripted_driver.h"
#include "sched/shaper_bed.h"

namespace txp {
namespace {

using testing::Bed;
using testing::fifo_limit;
using testing::root_qdisc;
using testing::ShaperBed;

// A wire of 0.368 Mbit: a frame of 46 bytes a millisecond.
struct WireBed : ShaperBed {
  WireBed() {
    auto made = std::make_unique<testing::ScriptedDriver>();
    wire = made.get();
    const std::lock_guard guard(net.rtnl);
    net.dev->attach(*dev, make_link_rate(std::move(made), LinkRateOptions{0.368, 256}));
  }
  testing::ScriptedDriver* wire = nullptr;
};

TEST(LinkRate, SendsAFrameAtATime) {
  WireBed bed;
  bed.qdisc(root_qdisc("pfifo", fifo_limit(100)));
  for (std::uint8_t i = 0; i < 10; ++i) ASSERT_TRUE(bed.send(i).ok());
  EXPECT_EQ(bed.net.totals().queued, 10U);
  bed.run_until(4 * kMillisecond);
  EXPECT_EQ(bed.wire->frames.size(), 4U);
  EXPECT_TRUE(bed.net.totals().conserved());
  bed.run_until(20 * kMillisecond);
  EXPECT_EQ(bed.wire->frames.size(), 10U);
  EXPECT_EQ(bed.net.totals().queued, 0U);
  EXPECT_TRUE(bed.net.totals().conserved());
}

TEST(LinkRate, TheByteLimitKeepsTheRingShortAndTheWireBusy) {
  WireBed bed;
  bed.wire->keep = false;
  bed.qdisc(root_qdisc("pfifo", fifo_limit(500)));
  for (int ms = 0; ms < 3000; ++ms) {
    while (bed.q().qlen() < 300) ASSERT_TRUE(bed.send(1).ok());
    bed.run_until(ms * kMillisecond);
  }
  const std::uint64_t before = bed.wire->taken;
  for (int ms = 3000; ms < 4000; ++ms) {
    while (bed.q().qlen() < 300) ASSERT_TRUE(bed.send(1).ok());
    bed.run_until(ms * kMillisecond);
    EXPECT_LE(bed.dev->tx[0]->dql.inflight(), 10U * 46) << ms;
  }
  EXPECT_NEAR(static_cast<double>(bed.wire->taken - before), 1000, 3) << "never starved";
  EXPECT_LE(bed.dev->tx[0]->dql.limit(), 10U * 46);
  EXPECT_TRUE(bed.net.totals().conserved());
}

TEST(Dql, GrowsWhenStarvedAndShrinksByTheSlackAfterTheHoldTime) {
  Dql dql;
  dql.reset(0);
  dql.queued(1000);
  EXPECT_LT(dql.avail(), 0);
  dql.completed(1000, 1);  // over its limit of 0, and ran empty
  EXPECT_EQ(dql.limit(), 1000U);
  for (int i = 0; i < 50; ++i) {
    dql.queued(1000);
    dql.queued(1000);
    dql.completed(2000, i);
  }
  const std::uint32_t grown = dql.limit();
  EXPECT_GE(grown, 2000U);
  // Ever busy with less: after hold_time what was never needed goes.
  Nanos now = kSecond;
  dql.queued(2000);
  for (int i = 0; i < 3000; ++i, now += kMillisecond) {
    dql.queued(100);
    dql.completed(100, now);
  }
  EXPECT_LT(dql.limit(), grown);
}

TEST(Dql, WrapsAround) {
  Dql dql;
  dql.reset(0);
  for (int i = 0; i < 5000; ++i) {
    dql.queued(2000000);
    dql.completed(2000000, i);
  }
  EXPECT_EQ(dql.inflight(), 0U);
  EXPECT_GE(dql.avail(), 0);
}

TEST(DevWatchdog, AQueueThatStandsStillIsCountedAndWoken) {
  ShaperBed bed;
  bed.qdisc(root_qdisc("pfifo", fifo_limit(10)));
  bed.dev->tx[0]->stopped = true;  // and nobody will wake it
  ASSERT_TRUE(bed.send(1).ok());
  bed.run_until(kWatchdogTimeo - 1);
  EXPECT_TRUE(bed.sent().empty());
  EXPECT_EQ(bed.dev->tx[0]->trans_timeout.load(), 0U);
  bed.run_until(kWatchdogTimeo);
  EXPECT_EQ(bed.dev->tx[0]->trans_timeout.load(), 1U);
  EXPECT_EQ(bed.sent(), std::vector<int>{1});
  bed.run_until(3 * kWatchdogTimeo);
  EXPECT_EQ(bed.net.timers.next(), -1) << "nothing waits: it looks no more";
}

TEST(LinkRate, BadOptionsAreOneError) {
  EXPECT_FALSE(LinkRateOptions::parse("mbit=0"));
  EXPECT_FALSE(LinkRateOptions::parse("mbit=x"));
  EXPECT_FALSE(LinkRateOptions::parse("slots=0"));
  EXPECT_FALSE(LinkRateOptions::parse("colour=blue"));
  EXPECT_TRUE(LinkRateOptions::parse("mbit=10,slots=64"));
}

}  // namespace
}  // namespace txp
