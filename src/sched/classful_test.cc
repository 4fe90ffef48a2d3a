// SPDX-License-Identifier: Apache-2.0
// prio, htb and their filters.
#include <gtest/gtest.h>

#include "drivers/scripted_driver.h"
#include "observe/trace.h"
#include "sched/registry.h"
#include "sched/tc_options.h"
#include "softirq/net_tx_action.h"

namespace txp {
namespace {

using testing::Bed;
using testing::fifo_limit;
using testing::htb_class;
using testing::operator+;
using testing::root_qdisc;
using testing::u32_dport;
using Numbers = std::vector<int>;
constexpr std::uint32_t kMajor = 0x80010000;
constexpr std::uint32_t kFrameLen = 46;

struct ClassBed : Bed {
  void tree(QdiscSpec root, std::vector<ClassSpec> classes, std::vector<FilterSpec> filters,
            const std::vector<QdiscSpec>& children = {}) {
    std::vector<QdiscSpec> all{std::move(root)};
    all.insert(all.end(), children.begin(), children.end());
    const std::lock_guard guard(net.rtnl);
    net.dev->set_qdiscs(2, all, classes, filters);
  }
  ClassfulQdisc& classful() { return dynamic_cast<ClassfulQdisc&>(q()); }
  TcClass& cl(std::uint32_t minor) { return *classful().find(kMajor | minor); }
  // Sends with the queue stopped, so that all wait, and then lets them go.
  void hold() { dev->tx[0]->stopped = true; }
  void let_go() {
    netif_tx_wake_queue(net, *dev->tx[0]);
    net_tx_action(net);
  }
};

TEST(Prio, LowerBandsGoFirst) {
  ClassBed bed;
  bed.tree(root_qdisc("prio", testing::prio(3)), {}, {});
  bed.hold();
  ASSERT_TRUE(bed.send(20, 2).ok());           // bulk: band 2
  ASSERT_TRUE(bed.send(10, 0).ok());           // best effort: band 1
  ASSERT_TRUE(bed.send(30, 6).ok());           // interactive: band 0
  ASSERT_TRUE(bed.send(33, kMajor | 1).ok());  // named by its class
  EXPECT_EQ(bed.q().qlen(), 4U);
  bed.let_go();
  EXPECT_EQ(bed.sent(), (Numbers{30, 33, 10, 20}));
  EXPECT_EQ(bed.cl(1).leaf->stats.packets.get(), 2U);
  EXPECT_TRUE(bed.net.totals().conserved());
}

TEST(Prio, AFilterChoosesAndAnActionDrops) {
  ClassBed bed;
  bed.tree(root_qdisc("prio", testing::prio(3)), {}, {u32_dport(kMajor, 1, 2, kMajor | 1)});
  bed.hold();
  ASSERT_TRUE(bed.send(1, 2).ok());
  EXPECT_EQ(bed.cl(1).leaf->qlen(), 1U);
  tc_gact shot{};
  shot.action = TC_ACT_SHOT;
  const auto drop = testing::attr(
      1, testing::attr_text(TCA_ACT_KIND, "gact") +
             testing::attr(TCA_ACT_OPTIONS, testing::attr(TCA_GACT_PARMS, testing::octets(shot))));
  bed.tree(root_qdisc("prio", testing::prio(3)), {}, {u32_dport(kMajor, 1, 2, 0, drop)});
  EXPECT_EQ(bed.cl(1).leaf->qlen(), 1U) << "a new filter keeps what waits";
  EXPECT_TRUE(bed.send(2, 2).ok()) << "the kernel's sender is not told";
  EXPECT_EQ(bed.q().stats.drops.get(), 1U);
  EXPECT_EQ(bed.drops(Stage::qdisc_enqueue, DropReason::QDISC_DROP), 1U);
  bed.let_go();
  EXPECT_EQ(bed.sent(), Numbers{1});
  EXPECT_TRUE(bed.net.totals().conserved());
}

TEST(Prio, AnUnknownFilterMakesOnlyItsPacketsUnknown) {
  ClassBed bed;
  FilterSpec bpf;
  bpf.ifindex = 2;
  bpf.parent = kMajor;
  bpf.kind = "bpf";
  bpf.prio = 2;
  bpf.protocol = 0x0800;
  bpf.text = "filter parent 8001: bpf";
  bed.tree(root_qdisc("prio", testing::prio(3)), {}, {u32_dport(kMajor, 1, 2, kMajor | 1), bpf});
  EXPECT_TRUE(bed.send(1).ok()) << "matched before it";
  bed.tree(root_qdisc("prio", testing::prio(3)), {}, {u32_dport(kMajor, 1, 3, kMajor | 1), bpf});
  EXPECT_EQ(bed.send(1).errno_code(), kUnknown);
  EXPECT_EQ(bed.net.last_unknown(), "filter filter parent 8001: bpf");
  EXPECT_TRUE(bed.net.totals().conserved());
}

TEST(Htb, UnclassifiedPacketsGoStraightThrough) {
  ClassBed bed;
  bed.tree(root_qdisc("htb", testing::htb(0)), {htb_class(kMajor | 1, 0xffffffff, 1000, 1000, 100)},
           {});
  for (std::uint8_t i = 0; i < 10; ++i) ASSERT_TRUE(bed.send(i).ok());
  EXPECT_EQ(bed.driver->frames.size(), 10U);
  EXPECT_EQ(bed.q().xstats.front().value->get(), 10U);
}

TEST(Htb, LeafKeepsItsRateAndTheParentLends) {
  // 1:1 has 92,000 bytes a second; 1:10 half of it, and all of it while 1:20 is silent.
  ClassBed bed;
  bed.driver->keep = false;
  bed.tree(root_qdisc("htb", testing::htb(0x10)),
           {htb_class(kMajor | 1, 0xffffffff, 92000, 92000, 200),
            htb_class(kMajor | 0x10, kMajor | 1, 46000, 92000, 200),
            htb_class(kMajor | 0x20, kMajor | 1, 46000, 92000, 200)},
           {});
  const auto run = [&](Nanos time, bool both) {
    const Nanos end = bed.net.clock.now() + time;
    while (bed.net.clock.now() < end) {
      for (const std::uint32_t minor : {0x10U, 0x20U})
        while ((minor == 0x10 || both) && bed.cl(minor).leaf->qlen() < 20)
          ASSERT_TRUE(bed.send(1, kMajor | minor).ok());
      bed.net.clock.advance(std::max<Nanos>(bed.net.timers.next() - bed.net.clock.now(), 1));
      bed.net.poll();
    }
  };
  run(10 * kSecond, false);
  const double alone = static_cast<double>(bed.cl(0x10).bytes.get());
  EXPECT_NEAR(alone, 920000, 9200);
  EXPECT_NEAR(static_cast<double>(bed.cl(1).bytes.get()), alone, 1);
  auto lended = [&](std::uint32_t minor) { return bed.cl(minor).xstats[0].value->get(); };
  auto borrowed = [&](std::uint32_t minor) { return bed.cl(minor).xstats[1].value->get(); };
  EXPECT_NEAR(static_cast<double>(borrowed(0x10)), 10000, 200);
  EXPECT_EQ(lended(1), borrowed(0x10));
  run(10 * kSecond, true);
  EXPECT_NEAR(static_cast<double>(bed.cl(0x10).bytes.get()) - alone, 460000, 9200);
  EXPECT_NEAR(static_cast<double>(bed.cl(0x20).bytes.get()), 460000, 9200);
  EXPECT_TRUE(bed.net.totals().conserved());
}

TEST(Htb, BorrowersShareByQuantumAndLowerPriorityWaits) {
  ClassBed bed;
  bed.driver->keep = false;
  bed.tree(root_qdisc("htb", testing::htb(0)),
           {htb_class(kMajor | 1, 0xffffffff, 460000, 460000, 500),
            htb_class(kMajor | 0x10, kMajor | 1, 460, 460000, 100, 0, 3000),
            htb_class(kMajor | 0x20, kMajor | 1, 460, 460000, 100, 0, 1000),
            htb_class(kMajor | 0x30, kMajor | 1, 460, 460000, 100, 1, 1000)},
           {});
  const Nanos end = bed.net.clock.now() + 5 * kSecond;
  while (bed.net.clock.now() < end) {
    for (const std::uint32_t minor : {0x10U, 0x20U, 0x30U})
      while (bed.cl(minor).leaf->qlen() < 20) ASSERT_TRUE(bed.send(1, kMajor | minor).ok());
    bed.net.clock.advance(std::max<Nanos>(bed.net.timers.next() - bed.net.clock.now(), 1));
    bed.net.poll();
  }
  const auto bytes = [&](std::uint32_t minor) {
    return static_cast<double>(bed.cl(minor).bytes.get());
  };
  EXPECT_NEAR(bytes(0x10) / bytes(0x20), 3.0, 0.05);
  EXPECT_LT(bytes(0x30), 5000) << "only what its own rate gives";
}

TEST(Htb, InnerClassHasFiltersOfItsOwn) {
  ClassBed bed;
  bed.hold();
  bed.tree(root_qdisc("htb", testing::htb(0x30)),
           {htb_class(kMajor | 1, 0xffffffff, 460000, 460000, 500),
            htb_class(kMajor | 0x10, kMajor | 1, 46000, 46000, 500),
            htb_class(kMajor | 0x30, kMajor | 1, 46000, 46000, 500)},
           {u32_dport(kMajor, 1, 2, kMajor | 1), u32_dport(kMajor | 1, 1, 2, kMajor | 0x10)});
  ASSERT_TRUE(bed.send(1).ok());
  EXPECT_EQ(bed.cl(0x10).leaf->qlen(), 1U);
  bed.let_go();
  EXPECT_EQ(bed.sent(), Numbers{1});
}

TEST(Htb, ALeafOfItsOwnDropsAndBothCount) {
  ClassBed bed;
  QdiscSpec leaf = root_qdisc("pfifo", fifo_limit(1));
  leaf.parent = kMajor | 0x10;
  leaf.handle = 0x100000;
  bed.tree(root_qdisc("htb", testing::htb(0x10)),
           {htb_class(kMajor | 0x10, 0xffffffff, 460, 460, 100)}, {}, {leaf});
  for (std::uint8_t i = 1; i <= 3; ++i) ASSERT_TRUE(bed.send(i).ok());
  EXPECT_EQ(bed.sent(), (Numbers{1, 2, 3})) << "the bucket, and one packet into debt";
  ASSERT_TRUE(bed.send(4).ok());
  EXPECT_EQ(bed.send(5), TxResult::drop());
  EXPECT_EQ(bed.q().stats.drops.get(), 1U);
  EXPECT_EQ(bed.cl(0x10).drops.get(), 1U);
  EXPECT_EQ(bed.cl(0x10).leaf->stats.drops.get(), 1U);
  EXPECT_EQ(bed.q().backlog(), kFrameLen);
  EXPECT_EQ(bed.q().stats.overlimits.get(), 1U);
  EXPECT_TRUE(bed.net.drain(10 * kSecond));
  EXPECT_EQ(bed.sent().back(), 4);
  EXPECT_TRUE(bed.net.totals().conserved());
}

TEST(Htb, HostileTreesAreUnknown) {
  const Link link = testing::test_link();
  const auto known = [&](std::vector<ClassSpec> classes) {
    QdiscTree tree(root_qdisc("htb", testing::htb(0)));
    tree.classes = std::move(classes);
    return make_qdisc(tree, link)->state_is_shared;
  };
  EXPECT_TRUE(known({}));
  // Two that are each other's parent, one whose parent is not there, one twice, one without a rate.
  EXPECT_FALSE(known({htb_class(kMajor | 1, kMajor | 2, 1000, 1000, 100),
                      htb_class(kMajor | 2, kMajor | 1, 1000, 1000, 100)}));
  EXPECT_FALSE(known({htb_class(kMajor | 1, kMajor | 9, 1000, 1000, 100)}));
  EXPECT_FALSE(known({htb_class(kMajor | 1, 0xffffffff, 1000, 1000, 100),
                      htb_class(kMajor | 1, 0xffffffff, 1000, 1000, 100)}));
  ClassSpec none = htb_class(kMajor | 1, 0xffffffff, 1000, 1000, 100);
  none.options.clear();
  EXPECT_FALSE(known({none}));
}

TEST(SharedState, OfAShaperUnderMqToo) {
  ClassBed bed;
  bed.qdisc(root_qdisc("pfifo", fifo_limit(5)));
  EXPECT_FALSE(qdisc_state_is_shared(*bed.dev));
  bed.qdisc(root_qdisc("prio", testing::prio(3)));
  EXPECT_FALSE(qdisc_state_is_shared(*bed.dev));
  QdiscSpec leaf = root_qdisc("tbf", testing::tbf(1000, 100, 1000));
  leaf.parent = kMajor | 1;
  leaf.handle = 0x100000;
  bed.tree(root_qdisc("prio", testing::prio(3)), {}, {}, {leaf});
  EXPECT_TRUE(qdisc_state_is_shared(*bed.dev));
}

}  // namespace
}  // namespace txp
