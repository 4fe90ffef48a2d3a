// SPDX-License-Identifier: Apache-2.0
// codel and fq_codel by what RFC 8289 and RFC 8290 say, red and sfq, on a manual clock.
#include <gtest/gtest.h>

#include "sched/codel.h"
#include "sched/red.h"
#include "sched/shaper_bed.h"
#include "wire/ipv4.h"

namespace txp {
namespace {

using testing::attr_u32;
using testing::octets;
using testing::operator+;
using testing::root_qdisc;
using testing::ShaperBed;

// Keeps the queue at `depth` packets for `time` of a link that sends one a millisecond.
void load(ShaperBed& bed, std::size_t depth, Nanos time, std::size_t len = 1000) {
  const Nanos end = bed.net.clock.now() + time;
  while (bed.net.clock.now() < end) {
    while (bed.q().qlen() < depth) (void)bed.send(bed.of_flow(1, 0, len));
    bed.run_until(bed.net.clock.now() + kMillisecond);
  }
}

TEST(Codel, AShortQueueLosesNothing) {
  ShaperBed bed;
  bed.driver->keep = false;
  bed.qdisc(root_qdisc("codel"));
  bed.slow_link(kMillisecond);
  load(bed, 4, 2 * kSecond);  // 4 ms, below the target of 5
  EXPECT_EQ(bed.q().stats.drops.get(), 0U);
}

TEST(Codel, DropsAfterAnIntervalThenBySquareRoot) {
  ShaperBed bed;
  bed.driver->keep = false;
  bed.qdisc(root_qdisc("codel"));
  bed.slow_link(kMillisecond);
  load(bed, 50, 95 * kMillisecond);
  EXPECT_EQ(bed.q().stats.drops.get(), 0U) << "not before an interval is over";
  // After the first drop at about 100 ms the next come at 100/sqrt(n) ms (RFC 8289, section 5.4),
  // as well as one step of Newton's a drop can tell: the second comes after 50 ms instead of 71.
  constexpr double kMs[] = {0, 100, 50, 100 / 1.732, 50, 100 / 2.236};
  std::vector<Nanos> at;
  std::uint64_t seen = 0;
  while (at.size() < 6) {
    load(bed, 50, kMillisecond);
    const std::uint64_t drops = bed.q().stats.drops.get();
    if (drops != seen) at.push_back(bed.net.clock.now());
    seen = drops;
  }
  for (std::size_t n = 1; n < at.size(); ++n)
    EXPECT_NEAR(static_cast<double>(at[n] - at[n - 1]) / 1e6, kMs[n], 3) << n;
  EXPECT_TRUE(bed.net.totals().conserved());
}

TEST(Codel, MarksInsteadOfDroppingWithEcn) {
  ShaperBed bed;
  bed.qdisc(root_qdisc("codel", attr_u32(TCA_CODEL_ECN, 1)));
  bed.slow_link(kMillisecond);
  for (int i = 0; i < 300; ++i) {
    SkbPtr skb = bed.of_flow(1, 0, 100);
    skb->network()[1] = 2;  // ECT(0)
    Ipv4View(skb->network()).send_check();
    (void)bed.send(std::move(skb));
  }
  bed.run_until(kSecond);
  EXPECT_EQ(bed.q().stats.drops.get(), 0U);
  EXPECT_GT(bed.xstat("ecn_mark"), 2U);
  std::uint64_t marked = 0;
  for (const auto& f : bed.driver->frames) {
    std::vector<std::uint8_t> ip(f.begin() + 14, f.begin() + 34);
    marked += (ip[1] & 3) == 3;
    const std::vector<std::uint8_t> before = ip;
    Ipv4View(ip.data()).send_check();
    EXPECT_EQ(before, ip) << "the checksum follows the mark";
  }
  EXPECT_EQ(marked, bed.xstat("ecn_mark"));
}

TEST(FqCodel, FlowsShareEquallyAndASparseOneGoesFirst) {
  ShaperBed bed;
  bed.qdisc(root_qdisc("fq_codel"));
  bed.slow_link(kMillisecond);
  for (int i = 0; i < 300; ++i)
    for (const std::uint32_t flow : {1U, 2U}) (void)bed.send(bed.of_flow(flow, 0, 1000));
  for (int i = 0; i < 600; ++i) (void)bed.send(bed.of_flow(3, 3, 460));  // half as long
  bed.run_until(20 * kMillisecond);
  (void)bed.send(bed.of_flow(4, 4, 100));  // sparse
  const std::size_t before = bed.driver->frames.size();
  bed.run_until(24 * kMillisecond);
  bool first = false;
  for (std::size_t i = before; i < bed.driver->frames.size(); ++i)
    first |= bed.driver->frames[i][42] == 4;
  EXPECT_TRUE(first) << "a new flow goes before the old ones";
  bed.run_until(500 * kMillisecond);
  double bytes[2] = {0, 0};
  for (const auto& f : bed.driver->frames)
    if (f[42] != 4) bytes[f[42] == 3] += static_cast<double>(f.size());
  EXPECT_NEAR(bytes[1] / (bytes[0] / 2), 1.0, 0.1) << "by bytes, not by packets";
}

TEST(FqCodel, BeyondTheLimitTheFattestFlowPays) {
  ShaperBed bed;
  bed.qdisc(root_qdisc("fq_codel", attr_u32(TCA_FQ_CODEL_LIMIT, 100)));
  bed.slow_link(kSecond);
  for (int i = 0; i < 10; ++i) ASSERT_TRUE(bed.send(bed.of_flow(2, 2)).ok());
  int told = 0;
  for (int i = 0; i < 120; ++i) told += bed.send(bed.of_flow(1, 1)) == TxResult::cn();
  EXPECT_GT(told, 0) << "the flow that filled the queue is told of congestion";
  EXPECT_EQ(bed.drops(Stage::qdisc_enqueue, DropReason::QDISC_OVERLIMIT),
            bed.q().stats.drops.get());
  EXPECT_GE(bed.xstat("drop_overlimit"), 29U);
  EXPECT_LE(bed.q().qlen(), 100U);
  bed.driver->on_frame = nullptr;
  netif_tx_wake_queue(bed.net, *bed.dev->tx[0]);
  net_tx_action(bed.net);
  EXPECT_TRUE(bed.net.drain(kSecond));
  EXPECT_EQ(std::ranges::count(bed.sent(), 2), 10) << "the thin flow lost nothing";
  EXPECT_TRUE(bed.net.totals().conserved());
}

TEST(FqCodel, HoldsTheQueueNearItsTargetWhereAPfifoDoesNot) {
  // RFC 8290: a bulk flow that sends 1.1 times the link's rate.
  const auto worst_wait = [](const char* kind) {
    ShaperBed bed;
    bed.driver->keep = false;
    bed.qdisc(root_qdisc(kind));
    bed.slow_link(kMillisecond);
    std::uint32_t longest = 0;
    for (Nanos t = 0; t < 20 * kSecond; t += 10 * kMillisecond) {
      for (int i = 0; i < 11; ++i) (void)bed.send(bed.of_flow(1, 0, 1000));
      bed.run_until(t + 10 * kMillisecond);
      if (t > 15 * kSecond) longest = std::max(longest, bed.q().qlen());
    }
    EXPECT_TRUE(bed.net.totals().conserved());
    return longest;
  };
  EXPECT_GT(worst_wait("pfifo"), 950U);
  EXPECT_LT(worst_wait("fq_codel"), 200U);
}

TEST(FqCodel, AsAChildOfHtbItsOwnDropsReachTheParents) {
  ShaperBed bed;
  QdiscSpec leaf = root_qdisc("fq_codel", attr_u32(TCA_FQ_CODEL_LIMIT, 5));
  leaf.parent = 0x80010010;
  leaf.handle = 0x100000;
  {
    const std::lock_guard guard(bed.net.rtnl);
    bed.net.dev->set_qdiscs(2, {root_qdisc("htb", testing::htb(0x10)), leaf},
                            {testing::htb_class(0x80010010, 0xffffffff, 46, 46, 50)}, {});
  }
  for (int i = 0; i < 40; ++i) (void)bed.send(bed.of_flow(static_cast<std::uint32_t>(i % 2), 1));
  const CounterTotals t = bed.net.totals();
  EXPECT_EQ(t.queued, bed.q().qlen());
  EXPECT_EQ(bed.q().backlog(), bed.q().qlen() * 46);
  EXPECT_EQ(bed.q().stats.drops.get(), t.dropped);
  EXPECT_TRUE(t.conserved());
  EXPECT_TRUE(bed.net.drain(100 * kSecond));
  EXPECT_EQ(bed.q().qlen(), 0U);
}

TEST(Sfq, FlowsTakeTurnsAndTheLongestPays) {
  ShaperBed bed;
  tc_sfq_qopt_v1 o{};
  o.v0.quantum = 46;
  o.v0.limit = 20;
  bed.qdisc(root_qdisc("sfq", octets(o)));
  bed.slow_link(kSecond);
  (void)bed.send(bed.of_flow(9, 9));  // past the empty queue, as the next, which comes back
  for (std::uint8_t i = 0; i < 3; ++i) ASSERT_TRUE(bed.send(bed.of_flow(2, 2)).ok());
  for (int i = 0; i < 30; ++i) (void)bed.send(bed.of_flow(1, 1));
  EXPECT_EQ(bed.q().qlen(), 20U);
  EXPECT_EQ(bed.q().stats.drops.get(), 13U);
  bed.driver->on_frame = nullptr;
  netif_tx_wake_queue(bed.net, *bed.dev->tx[0]);
  net_tx_action(bed.net);
  const std::vector<int> sent = bed.sent();
  ASSERT_EQ(sent.size(), 21U);
  EXPECT_EQ(std::vector(sent.begin(), sent.begin() + 7), (std::vector<int>{9, 2, 2, 1, 2, 1, 1}));
  EXPECT_TRUE(bed.net.totals().conserved());
}

TEST(Red, TheAverageFollowsAndTheUpperThresholdDropsAll) {
  RedParms p;
  ASSERT_TRUE(p.set(1000, 3000, 2, 10, 8, 0));
  RedVars v;
  v.restart();
  Random random(1);
  for (int i = 0; i < 40; ++i) v.update(p, 2000, 0);
  EXPECT_NEAR(static_cast<double>(v.average(p)), 2000, 5);
  int marks = 0;
  for (int i = 0; i < 20000; ++i) {
    v.update(p, 2000, 0);
    marks += v.decide(p, random) == RedVars::Action::mark_by_chance;
  }
  // Half way between the thresholds: half of max_p = delta / 2^Plog, spread evenly (two thirds).
  EXPECT_GT(marks, 5);
  for (int i = 0; i < 40; ++i) v.update(p, 5000, 0);
  EXPECT_EQ(v.decide(p, random), RedVars::Action::mark);
  v.idle(0);
  v.update(p, 0, kSecond);
  EXPECT_LT(v.average(p), 5000U);
}

TEST(Red, DropsEarlyAndTellsNobody) {
  ShaperBed bed;
  tc_red_qopt o{};
  o.limit = 100000;
  o.qth_min = 460;
  o.qth_max = 920;
  o.Wlog = 1;
  o.Plog = 4;
  o.Scell_log = 8;
  bed.qdisc(root_qdisc("red", testing::attr(TCA_RED_PARMS, octets(o))));
  bed.slow_link(kSecond);
  int cn = 0;
  for (int i = 0; i < 200; ++i) cn += bed.send(1) == TxResult::cn();
  EXPECT_GT(cn, 100);
  EXPECT_EQ(bed.drops(Stage::qdisc_enqueue, DropReason::QDISC_CONGESTED),
            static_cast<std::uint64_t>(cn));
  EXPECT_LE(bed.q().backlog(), 1500U);
  EXPECT_TRUE(bed.net.totals().conserved());
}

}  // namespace
}  // namespace txp
