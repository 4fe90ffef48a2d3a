// SPDX-License-Identifier: Apache-2.0
#include <gtest/gtest.h>

#include <thread>

#include "drivers/scripted_driver.h"
#include "observe/trace.h"
#include "sched/registry.h"
#include "softirq/net_tx_action.h"

namespace txp {
namespace {

using testing::Bed;
using testing::fifo_limit;
using testing::root_qdisc;
using testing::test_link;
using Numbers = std::vector<int>;

TEST(Qdisc, BypassCountsBytesAndPackets) {
  Bed bed;
  bed.qdisc(root_qdisc("pfifo", fifo_limit(5)));
  ASSERT_TRUE(bed.send(1).ok());
  EXPECT_EQ(bed.q().stats.packets.get(), 1U);
  EXPECT_EQ(bed.q().stats.bytes.get(), 46U);
  EXPECT_EQ(bed.sent(), Numbers{1});
  EXPECT_EQ(bed.dev->tx[0]->tx_packets(), 1U);
  EXPECT_EQ(bed.dev->tx[0]->tx_bytes(), 46U);
  EXPECT_TRUE(bed.net.totals().conserved());
}

TEST(Qdisc, RequeuedPacketGoesFirstAndCountsOnce) {
  Bed bed;
  bed.qdisc(root_qdisc("pfifo", fifo_limit(5)));
  bed.driver->busy = 1;
  EXPECT_TRUE(bed.send(1).ok());  // the device refuses; the send succeeds
  EXPECT_EQ(bed.q().stats.requeues.get(), 1U);
  EXPECT_EQ(bed.q().qlen(), 1U);
  EXPECT_EQ(bed.q().backlog(), 46U);
  EXPECT_EQ(bed.net.totals().queued, 1U);
  EXPECT_TRUE(bed.net.totals().conserved());
  EXPECT_TRUE(bed.send(2).ok());  // no bypass past a waiting packet
  EXPECT_EQ(bed.sent(), (Numbers{1, 2}));
  EXPECT_EQ(bed.q().stats.packets.get(), 2U);
  EXPECT_EQ(bed.q().qlen(), 0U);
  EXPECT_EQ(bed.q().backlog(), 0U);
  EXPECT_TRUE(bed.net.totals().conserved());
}

TEST(Qdisc, NetTxActionRunsWhatTheDeviceRefusedOncePerCall) {
  Bed bed;
  bed.qdisc(root_qdisc("pfifo", fifo_limit(5)));
  bed.driver->busy = 3;
  EXPECT_TRUE(bed.send(1).ok());
  const int calls = bed.driver->calls;
  EXPECT_EQ(net_tx_action(bed.net), 0U);  // still busy: one attempt, no progress
  EXPECT_EQ(bed.driver->calls, calls + 1);
  EXPECT_EQ(net_tx_action(bed.net), 0U);
  EXPECT_EQ(net_tx_action(bed.net), 1U);
  EXPECT_EQ(bed.sent(), Numbers{1});
  EXPECT_EQ(bed.q().stats.requeues.get(), 3U);
  EXPECT_EQ(net_tx_action(bed.net), 0U);
  EXPECT_TRUE(bed.net.totals().conserved());
}

TEST(Qdisc, PfifoDropsBeyondItsLimitRequeuedOnesCounted) {
  Bed bed;
  bed.qdisc(root_qdisc("pfifo", fifo_limit(2)));
  bed.dev->tx[0]->stopped = true;
  EXPECT_TRUE(bed.send(1).ok());  // bypass finds the queue stopped: requeued
  EXPECT_TRUE(bed.send(2).ok());
  EXPECT_EQ(bed.send(3), TxResult::drop());
  EXPECT_EQ(bed.q().stats.drops.get(), 1U);
  EXPECT_EQ(bed.q().stats.requeues.get(), 1U);
  EXPECT_EQ(bed.drops(Stage::qdisc_enqueue, DropReason::QDISC_DROP), 1U);
  EXPECT_EQ(bed.dev->tx_dropped.load(), 0U);
  EXPECT_EQ(bed.net.totals().queued, 2U);
  EXPECT_TRUE(bed.net.totals().conserved());
  netif_tx_wake_queue(bed.net, *bed.dev->tx[0]);
  EXPECT_EQ(net_tx_action(bed.net), 1U);
  EXPECT_EQ(bed.sent(), (Numbers{1, 2}));
}

TEST(Qdisc, PfifoOfNoLimitTakesNothing) {
  Bed bed;
  bed.qdisc(root_qdisc("pfifo", fifo_limit(0)));
  EXPECT_EQ(bed.send(1), TxResult::drop());
  EXPECT_EQ(bed.q().stats.drops.get(), 1U);
  EXPECT_EQ(bed.q().stats.packets.get(), 0U);
}

TEST(Qdisc, BfifoBoundsBytes) {
  Bed bed;
  bed.qdisc(root_qdisc("bfifo", fifo_limit(100)));  // below one MTU: no bypass
  bed.dev->tx[0]->stopped = true;
  EXPECT_TRUE(bed.send(1).ok());
  EXPECT_TRUE(bed.send(2).ok());
  EXPECT_EQ(bed.q().backlog(), 92U);
  EXPECT_EQ(bed.send(3), TxResult::drop());
  netif_tx_wake_queue(bed.net, *bed.dev->tx[0]);
  net_tx_action(bed.net);
  EXPECT_EQ(bed.sent(), (Numbers{1, 2}));
}

TEST(Qdisc, DefaultLimitsComeFromTheTransmitQueueLength) {
  Link link = test_link();
  link.txqlen = 3;
  EXPECT_EQ(make_qdisc(root_qdisc("pfifo"), link)->limit, 3U);
  EXPECT_EQ(make_qdisc(root_qdisc("bfifo"), link)->limit, 3U * 1514U);
}

TEST(Qdisc, PfifoFastSendsBandsInOrderAndBoundsEach) {
  Link link = test_link();
  link.txqlen = 3;
  Bed bed(link);
  bed.qdisc(root_qdisc("pfifo_fast"));
  bed.dev->tx[0]->stopped = true;
  EXPECT_TRUE(bed.send(1, 0).ok());  // band 1, requeued from the bypass
  // Priorities 2 (bulk) band 2, 0 (best effort) band 1, 6 (interactive) band 0.
  for (std::uint8_t i = 0; i < 3; ++i) {
    EXPECT_TRUE(bed.send(static_cast<std::uint8_t>(20 + i), 2).ok());
    EXPECT_TRUE(bed.send(static_cast<std::uint8_t>(10 + i), 0).ok());
    EXPECT_TRUE(bed.send(static_cast<std::uint8_t>(30 + i), 6).ok());
  }
  EXPECT_EQ(bed.send(99, 2), TxResult::drop());
  EXPECT_EQ(bed.send(99, 6), TxResult::drop());
  EXPECT_EQ(bed.drops(Stage::qdisc_enqueue, DropReason::QDISC_OVERLIMIT), 2U);
  EXPECT_EQ(bed.q().qlen(), 10U);
  netif_tx_wake_queue(bed.net, *bed.dev->tx[0]);
  net_tx_action(bed.net);
  EXPECT_EQ(bed.sent(), (Numbers{1, 30, 31, 32, 10, 11, 12, 20, 21, 22}));
  EXPECT_TRUE(bed.net.totals().conserved());
}

TEST(Qdisc, PfifoFastFreesRingSlotsLate) {
  Link link = test_link();
  link.txqlen = 32;
  Bed bed(link);
  bed.qdisc(root_qdisc("pfifo_fast"));
  Qdisc& q = bed.q();
  const auto enqueue = [&] {
    SkbPtr skb = bed.numbered(1);
    skb->pkt_len = skb->len;
    born(bed.net);
    return q.enqueue(bed.net, std::move(skb));
  };
  for (int i = 0; i < 32; ++i) ASSERT_TRUE(enqueue().ok());
  for (int i = 0; i < 15; ++i) consume(q.dequeue(bed.net));
  EXPECT_FALSE(enqueue().ok());  // 17 wait, and 15 slots are not free yet
  consume(q.dequeue(bed.net));   // the sixteenth frees the batch
  for (int i = 0; i < 16; ++i) EXPECT_TRUE(enqueue().ok());
  EXPECT_FALSE(enqueue().ok());
  qdisc_reset(bed.net, q, DropReason::QUEUE_PURGE);
}

TEST(Qdisc, QuotaLeavesTheRestToTheSoftirq) {
  Bed bed;
  {
    const std::lock_guard guard(bed.net.rtnl);
    Sysctls s;
    s.dev_weight = 4;
    bed.net.set_sysctls(s);
  }
  bed.qdisc(root_qdisc("pfifo", fifo_limit(100)));
  bed.dev->tx[0]->stopped = true;
  for (std::uint8_t i = 0; i < 10; ++i) (void)bed.send(i);
  netif_tx_wake_queue(bed.net, *bed.dev->tx[0]);
  EXPECT_EQ(net_tx_action(bed.net), 1U);
  EXPECT_EQ(bed.driver->frames.size(), 4U);
  EXPECT_EQ(net_tx_action(bed.net), 1U);
  EXPECT_EQ(bed.driver->frames.size(), 8U);
  EXPECT_EQ(net_tx_action(bed.net), 1U);
  EXPECT_EQ(bed.driver->frames.size(), 10U);
  EXPECT_EQ(net_tx_action(bed.net), 0U);
  EXPECT_EQ(bed.sent(), (Numbers{0, 1, 2, 3, 4, 5, 6, 7, 8, 9}));
}

TEST(Qdisc, BatchingDriverGetsSeveralPerDoorbell) {
  Bed bed(test_link(), {.batch = true});
  bed.qdisc(root_qdisc("pfifo", fifo_limit(100)));
  bed.dev->tx[0]->stopped = true;
  for (std::uint8_t i = 0; i < 4; ++i) (void)bed.send(i);
  netif_tx_wake_queue(bed.net, *bed.dev->tx[0]);
  net_tx_action(bed.net);
  EXPECT_EQ(bed.sent(), (Numbers{0, 1, 2, 3}));
  // The requeued one alone, then three in a chain.
  EXPECT_EQ(bed.driver->mores, (std::vector<bool>{false, true, true, false}));
}

TEST(Qdisc, ChainThatStopsInTheMiddleKeepsItsOrder) {
  Bed bed(test_link(), {.batch = true});
  bed.qdisc(root_qdisc("pfifo", fifo_limit(100)));
  bed.dev->tx[0]->stopped = true;
  for (std::uint8_t i = 0; i < 6; ++i) (void)bed.send(i);
  bed.driver->stop_after = 3;
  netif_tx_wake_queue(bed.net, *bed.dev->tx[0]);
  net_tx_action(bed.net);
  EXPECT_EQ(bed.driver->frames.size(), 3U);
  EXPECT_EQ(bed.q().qlen(), 3U);
  (void)bed.send(6);
  EXPECT_EQ(bed.driver->frames.size(), 3U);  // stopped
  netif_tx_wake_queue(bed.net, *bed.dev->tx[0]);
  net_tx_action(bed.net);
  EXPECT_EQ(bed.sent(), (Numbers{0, 1, 2, 3, 4, 5, 6}));
  EXPECT_TRUE(bed.net.totals().conserved());
}

TEST(Qdisc, UnknownKindAnswersUnknownWithItsText) {
  Bed bed;
  bed.qdisc(root_qdisc("tbf"));
  Trace trace(bed.net.clock);
  SkbPtr skb = bed.numbered(1);
  skb->trace = &trace;
  EXPECT_EQ(bed.send(std::move(skb)).errno_code(), kUnknown);
  ASSERT_EQ(trace.unknowns().size(), 1U);
  EXPECT_EQ(trace.unknowns()[0].kind, "qdisc");
  EXPECT_EQ(trace.unknowns()[0].text, "qdisc tbf 8001: dev d0 root");
  EXPECT_TRUE(bed.driver->frames.empty());
  EXPECT_TRUE(bed.net.totals().conserved());
}

TEST(Qdisc, MqHasAChildByQueue) {
  Bed bed(test_link("", 2));
  QdiscSpec child = root_qdisc("pfifo", fifo_limit(7));
  child.parent = 0x80010002;
  child.handle = 0x80020000;
  bed.qdiscs({root_qdisc("mq"), child});
  EXPECT_EQ(bed.q(0).spec.kind, "pfifo_fast");
  EXPECT_EQ(bed.q(0).spec.text, "qdisc pfifo_fast 0: dev d0 parent :1");
  EXPECT_EQ(bed.q(1).limit, 7U);
  ASSERT_EQ(bed.dev->qdiscs.size(), 3U);
  EXPECT_EQ(bed.dev->qdiscs[0]->spec.kind, "mq");
}

TEST(Qdisc, OneRootOverSeveralQueuesSendsEachPacketOnItsOwn) {
  Bed bed(test_link("", 2));
  bed.qdisc(root_qdisc("pfifo", fifo_limit(7)));
  EXPECT_EQ(&bed.q(0), &bed.q(1));
  for (std::uint8_t i = 0; i < 32; ++i) {
    SkbPtr skb = bed.numbered(i);
    skb->hash = i * 0x08000000U + 1;
    ASSERT_TRUE(bed.send(std::move(skb)).ok());
  }
  std::vector<unsigned> wanted(16, 0);
  wanted.insert(wanted.end(), 16, 1);
  EXPECT_EQ(bed.driver->queues, wanted);
}

TEST(Qdisc, EqualListKeepsPacketsAndCounts) {
  Bed bed;
  bed.qdisc(root_qdisc("pfifo", fifo_limit(5)));
  bed.dev->tx[0]->stopped = true;
  (void)bed.send(1);
  bed.qdisc(root_qdisc("pfifo", fifo_limit(5)));
  EXPECT_EQ(bed.q().qlen(), 1U);
  bed.qdisc(root_qdisc("pfifo", fifo_limit(6)));  // another one: what waited is purged
  EXPECT_EQ(bed.drops(Stage::qdisc_enqueue, DropReason::QUEUE_PURGE), 1U);
  EXPECT_TRUE(bed.net.totals().conserved());
  net_tx_action(bed.net);  // the old one is scheduled still, and held alive
}

TEST(Qdisc, TraceOfAPacketLeftBehindSaysQueued) {
  Bed bed;
  bed.qdisc(root_qdisc("pfifo", fifo_limit(5)));
  bed.driver->busy = 1;
  auto trace = std::make_unique<Trace>(bed.net.clock);
  SkbPtr skb = bed.numbered(1);
  skb->trace = trace.get();
  EXPECT_TRUE(bed.send(std::move(skb)).ok());
  EXPECT_EQ(trace->queued_at(), Stage::qdisc_enqueue);
  EXPECT_TRUE(trace->frames().empty());
  trace.reset();  // the packet may not know it any more
  EXPECT_EQ(net_tx_action(bed.net), 1U);
  EXPECT_EQ(bed.sent(), Numbers{1});
}

TEST(Qdisc, NestedSendOfTheDriverIsQueuedNotLost) {
  Bed bed;
  bed.qdisc(root_qdisc("pfifo", fifo_limit(5)));
  bed.driver->on_frame = [&](Net&, NetDevice&) {
    if (bed.driver->frames.size() == 1) {
      EXPECT_TRUE(bed.send(2).ok());
    }
  };
  EXPECT_TRUE(bed.send(1).ok());
  EXPECT_EQ(bed.sent(), (Numbers{1, 2}));
}

TEST(Qdisc, NoAllocationPerPacketAfterWarmUp) {
  Bed bed;
  bed.qdisc(root_qdisc("pfifo_fast"));
  bed.driver->keep = false;
  const auto burst = [&] {
    bed.driver->busy = 3;
    for (int i = 0; i < 100; ++i) (void)bed.send(1);
    while (bed.net.totals().queued > 0) net_tx_action(bed.net);
  };
  burst();
  const std::uint64_t before = bed.net.this_cpu().pool.allocations();
  burst();
  EXPECT_EQ(bed.net.this_cpu().pool.allocations(), before);
}

TEST(Qdisc, FourThreadsIntoOnePfifoLoseNothingUncounted) {
  Bed bed;
  bed.qdisc(root_qdisc("pfifo", fifo_limit(50)));
  bed.driver->keep = false;
  constexpr int kEach = 5000;
  std::vector<std::thread> threads;
  for (int t = 0; t < 4; ++t)
    threads.emplace_back([&] {
      for (int i = 0; i < kEach; ++i) (void)bed.send(1);
    });
  for (auto& t : threads) t.join();
  while (net_tx_action(bed.net) > 0) {
  }
  const CounterTotals totals = bed.net.totals();
  EXPECT_EQ(totals.sent, 4U * kEach);
  EXPECT_EQ(totals.queued, 0U);
  EXPECT_TRUE(totals.conserved());
  EXPECT_EQ(bed.driver->taken, totals.delivered);
  EXPECT_EQ(bed.dev->tx[0]->tx_packets(), totals.delivered);
  EXPECT_EQ(bed.dev->qdiscs[0]->stats.packets.get(), totals.delivered);
  EXPECT_EQ(bed.dev->qdiscs[0]->stats.drops.get(), totals.dropped);
}

}  // namespace
}  // namespace txp
