// SPDX-License-Identifier: Apache-2.0
#include "observe/latency.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <nlohmann/json.hpp>

#include "observe/stat.h"
#include "tests/support/small_net.h"

namespace txp::test {
namespace {

// Takes 700 ns to take a frame.
class SlowDriver final : public Driver {
 public:
  NetdevTx ndo_start_xmit(Net& net, NetDevice&, unsigned, SkbPtr& skb, bool) override {
    net.clock.advance(700);
    consume(std::move(skb));
    return NetdevTx::ok;
  }
};

struct SlowNet : SmallNet {
  SlowNet() {
    net.clock.advance(1000);  // at 0 a call could not be told from none
    const std::lock_guard guard(net.rtnl);
    net.dev->attach(*net.dev->by_name("va"), std::make_unique<SlowDriver>());
  }
};

TEST(Latency, OffNothingIsMeasured) {
  SlowNet small;
  TestSocket s(small.net);
  ASSERT_TRUE(s.send_to("10.77.0.2", 53, pattern(10)));
  EXPECT_TRUE(stat_report(small.net)["ns"]["p50"].is_null());
  EXPECT_EQ(small.net.latency().call.count(), 0U);
}

TEST(Latency, FromTheCallToTheDriver) {
  SlowNet small;
  small.net.measure_latency(LatencyMode::call);
  TestSocket s(small.net);
  for (int i = 0; i < 5; ++i) ASSERT_TRUE(s.send_to("10.77.0.2", 53, pattern(10)));
  const LatencyTotals t = small.net.latency();
  EXPECT_EQ(t.call.count(), 5U);
  EXPECT_EQ(t.call.sum(), 5U * 700);
  EXPECT_NEAR(static_cast<double>(t.call.quantile(0.5)), 700, 14);
  EXPECT_EQ(t.stages[static_cast<std::size_t>(Stage::ip_output)].count(), 0U);
}

TEST(Latency, EveryFragmentHasItsOwn) {
  SlowNet small;
  small.net.measure_latency(LatencyMode::call);
  TestSocket s(small.net);
  ASSERT_TRUE(s.send_to("10.77.0.2", 53, pattern(4000)));
  EXPECT_EQ(small.net.latency().call.count(), 3U);
  EXPECT_EQ(small.net.latency().call.sum(), 700U + 1400 + 2100);
}

TEST(Latency, FromStageToStage) {
  SlowNet small;
  small.net.measure_latency(LatencyMode::stage);
  TestSocket s(small.net);
  for (int i = 0; i < 3; ++i) ASSERT_TRUE(s.send_to("10.77.0.2", 53, pattern(10)));
  const LatencyTotals t = small.net.latency();
  EXPECT_EQ(t.stages[static_cast<std::size_t>(Stage::ndo_start_xmit)].sum(), 3U * 700);
  EXPECT_EQ(t.stages[static_cast<std::size_t>(Stage::ip_output)].count(), 3U);
  EXPECT_EQ(t.stages[static_cast<std::size_t>(Stage::ip_output)].sum(), 0U);
}

TEST(Latency, APacketThatWaitsForItsNeighbourIsMeasuredWhenItLeaves) {
  SlowNet small;
  small.net.measure_latency(LatencyMode::stage);
  TestSocket s(small.net);
  ASSERT_TRUE(s.send_to("10.77.0.3", 53, pattern(10)));
  const std::uint64_t before = small.net.latency().call.count();  // the ARP question is no call's
  small.net.clock.advance(50'000);
  {
    const std::lock_guard guard(small.net.rtnl);
    small.add_neigh(2, "10.77.0.3", "02:00:00:00:00:03");
  }
  EXPECT_EQ(small.net.latency().call.count(), before + 1);
  EXPECT_GE(small.net.latency().call.sum(), 50'000U);
}

TEST(Latency, ReportsOfSeveralProcessesAddUp) {
  SlowNet one, two;
  for (SlowNet* small : {&one, &two}) {
    small->net.measure_latency(LatencyMode::call);
    TestSocket s(small->net);
    for (int i = 0; i < 2; ++i) ASSERT_TRUE(s.send_to("10.77.0.2", 53, pattern(10)));
  }
  Json sum = nullptr;
  add_report(sum, stat_report(one.net));
  add_report(sum, stat_report(two.net));
  EXPECT_EQ(sum["ns"]["count"], 4);
  EXPECT_EQ(sum["ns"]["sum"], 4 * 700);
  EXPECT_NEAR(sum["ns"]["p50"].get<double>(), 700, 14);
  EXPECT_EQ(sum["ns"]["p50"], stat_report(one.net)["ns"]["p50"]);
  EXPECT_TRUE(sum["stages"]["ip_output"]["ns"]["p50"].is_null());
  const std::string text = format_stat(sum, StatFormat::prometheus);
  EXPECT_THAT(text, ::testing::HasSubstr("# TYPE txpath_latency_seconds histogram\n"));
  EXPECT_THAT(text, ::testing::HasSubstr(
                        "txpath_latency_seconds_bucket{source=\"txpath\",le=\"5.12e-07\"} 0\n"));
  EXPECT_THAT(text, ::testing::HasSubstr(
                        "txpath_latency_seconds_bucket{source=\"txpath\",le=\"1.024e-06\"} 4\n"));
  EXPECT_THAT(text, ::testing::HasSubstr("txpath_latency_seconds_count{source=\"txpath\"} 4\n"));
}

TEST(Clock, TicksAreNanosecondsOnceCalibrated) {
  Clock clock = Clock::monotonic();
  clock.calibrate();
  const Nanos start = clock.now();
  const std::uint64_t first = clock.ticks();
  while (clock.now() - start < 5 * kMillisecond) {
  }
  const auto measured = static_cast<double>(clock.ns_of(clock.ticks() - first));
  EXPECT_NEAR(measured, 5e6, 5e6 * 0.05 + static_cast<double>(clock.now() - start) - 5e6);
}

}  // namespace
}  // namespace txp::test
