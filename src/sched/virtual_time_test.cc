// SPDX-License-Identifier: Apache-2.0
// A Net on a simulated clock: an hour of a shaped link in seconds, and the same seed gives the same
// bytes at the same times.
#include <gtest/gtest.h>

#include "sched/shaper_bed.h"
#include "tap/taps.h"

namespace txp {
namespace {

using testing::attr;
using testing::octets;
using testing::operator+;
using testing::root_qdisc;
using testing::ShaperBed;

struct Story {
  std::vector<std::pair<Nanos, std::vector<std::uint8_t>>> frames;
  friend bool operator==(const Story&, const Story&) = default;
};

// Random sends through netem over fq_codel, for `time`.
Story simulate(std::uint64_t seed, Nanos time) {
  Story story;
  CallbackTap tap([&](const TapFrame& f) { story.frames.emplace_back(f.wall, f.bytes); });
  ShaperBed bed;
  bed.driver->keep = false;
  bed.net.random.seed(seed);
  tc_netem_qopt q{};
  q.limit = 1000;
  q.loss = 42949672;  // one per cent
  const Nanos delay = 20 * kMillisecond, jitter = 5 * kMillisecond;
  QdiscSpec leaf = root_qdisc("fq_codel");
  leaf.parent = 0x80010001;
  leaf.handle = 0x100000;
  {
    const std::lock_guard guard(bed.net.rtnl);
    bed.net.dev->set_qdiscs(
        2, {root_qdisc("netem", octets(q) + attr(TCA_NETEM_LATENCY64, octets(delay)) +
                                    attr(TCA_NETEM_JITTER64, octets(jitter))),
            leaf});
    bed.net.dev->add_tap(nullptr, &tap);
  }
  const Nanos end = bed.net.clock.now() + time;
  while (bed.net.clock.now() < end) {
    (void)bed.send(bed.of_flow(bed.net.random.below(5),
                               static_cast<std::uint8_t>(bed.net.random.u32()),
                               4 + bed.net.random.below(100)));
    bed.run_until(bed.net.clock.now() + bed.net.random.below(2000000));
  }
  EXPECT_TRUE(bed.net.totals().conserved());
  const std::lock_guard guard(bed.net.rtnl);
  bed.net.dev->remove_tap(&tap);
  return story;
}

TEST(VirtualTime, TheSameSeedGivesTheSameBytesAtTheSameTimes) {
  const Story a = simulate(7, 3 * kSecond);
  EXPECT_GT(a.frames.size(), 1000U);
  EXPECT_EQ(a, simulate(7, 3 * kSecond));
  EXPECT_NE(a, simulate(8, 3 * kSecond));
}

TEST(VirtualTime, AnHourOfAShapedLink) {
  ShaperBed bed;
  bed.driver->keep = false;
  bed.qdisc(root_qdisc("tbf", testing::tbf(460, 200, 460)));  // ten frames a second
  constexpr Nanos kHour = 3600 * kSecond;
  while (bed.net.clock.now() < kHour) {
    while (bed.q().qlen() < 9) ASSERT_TRUE(bed.send(1).ok());
    bed.run_until(bed.net.clock.now() + 500 * kMillisecond);
  }
  EXPECT_NEAR(static_cast<double>(bed.q().stats.packets.get()), 36000, 20);
  EXPECT_TRUE(bed.net.totals().conserved());
}

}  // namespace
}  // namespace txp
