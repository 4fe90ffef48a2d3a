// SPDX-License-Identifier: Apache-2.0
#include <gtest/gtest.h>

#include "drivers/scripted_driver.h"
#include "observe/trace.h"

namespace txp {
namespace {

using testing::Bed;
using testing::fifo_limit;
using testing::root_qdisc;
using testing::test_link;

TEST(DevQueueXmit, NoqueueDeviceSendsAtOnce) {
  Bed bed(test_link("veth"));
  EXPECT_EQ(bed.q().spec.kind, "noqueue");
  EXPECT_TRUE(bed.send(1).ok());
  EXPECT_EQ(bed.driver->frames.size(), 1U);
  EXPECT_TRUE(bed.net.totals().conserved());
}

TEST(DevQueueXmit, NoqueueDeviceThatIsStoppedOrBusyDropsWithEnetdown) {
  Bed bed(test_link("veth"));
  bed.dev->tx[0]->stopped = true;
  EXPECT_EQ(bed.send(1), TxResult::error(ENETDOWN));
  bed.dev->tx[0]->stopped = false;
  bed.driver->busy = 1;
  EXPECT_EQ(bed.send(2), TxResult::error(ENETDOWN));
  EXPECT_EQ(bed.drops(Stage::dev_queue_xmit, DropReason::DEV_READY), 2U);
  EXPECT_EQ(bed.dev->tx_dropped.load(), 2U);
  EXPECT_TRUE(bed.net.totals().conserved());
}

// As observed on a veth and a TAP without a carrier: sendto() succeeds, tx_dropped counts.
TEST(DevQueueXmit, DeviceWithoutCarrierSwallows) {
  for (const char* kind : {"veth", "tun"}) {
    Bed bed(test_link(kind));
    Link link = test_link(kind);
    link.carrier = false;
    {
      const std::lock_guard guard(bed.net.rtnl);
      bed.net.dev->set_link(link);
    }
    EXPECT_EQ(bed.send(1).errno_code(), 0);
    EXPECT_EQ(bed.dev->tx_dropped.load(), 1U);
    EXPECT_EQ(bed.drops(Stage::qdisc_enqueue, DropReason::QDISC_DROP), 1U);
    EXPECT_TRUE(bed.driver->frames.empty());
    {
      const std::lock_guard guard(bed.net.rtnl);
      bed.net.dev->set_link(test_link(kind));
    }
    EXPECT_TRUE(bed.send(2).ok());
    EXPECT_EQ(bed.driver->frames.size(), 1U);
    EXPECT_TRUE(bed.net.totals().conserved());
  }
}

TEST(DevQueueXmit, GoingDownPurgesWhatWaits) {
  Bed bed;
  bed.qdisc(root_qdisc("pfifo", fifo_limit(5)));
  bed.dev->tx[0]->stopped = true;
  (void)bed.send(1);
  (void)bed.send(2);
  Link link = test_link();
  link.flags &= ~kIffUp;
  {
    const std::lock_guard guard(bed.net.rtnl);
    bed.net.dev->set_link(link);
  }
  EXPECT_EQ(bed.drops(Stage::qdisc_enqueue, DropReason::QUEUE_PURGE), 2U);
  EXPECT_EQ(bed.net.totals().queued, 0U);
  EXPECT_TRUE(bed.net.totals().conserved());
}

TEST(DevQueueXmit, DeviceThatSendsIntoItselfMeetsTheRecursionLimit) {
  Bed bed(test_link("dummy"), {.lltx = true});
  int depth = 0;
  TxResult last = TxResult::success();
  bed.driver->on_frame = [&](Net&, NetDevice&) {
    ++depth;
    if (const TxResult r = bed.send(1); !r.ok()) last = r;
  };
  EXPECT_TRUE(bed.send(1).ok());
  EXPECT_EQ(depth, 9);  // XMIT_RECURSION_LIMIT is 8, and the first is no recursion
  EXPECT_EQ(last, TxResult::error(ENETDOWN));
  EXPECT_EQ(bed.drops(Stage::dev_queue_xmit, DropReason::RECURSION_LIMIT), 1U);
  EXPECT_TRUE(bed.net.totals().conserved());
}

TEST(DevQueueXmit, SameQueueUnderItsOwnLockIsADeadLoop) {
  Bed bed(test_link("dummy"));
  bed.driver->on_frame = [&](Net&, NetDevice&) {
    EXPECT_EQ(bed.send(2), TxResult::error(ENETDOWN));
  };
  EXPECT_TRUE(bed.send(1).ok());
  EXPECT_EQ(bed.drops(Stage::dev_queue_xmit, DropReason::RECURSION_LIMIT), 1U);
}

struct UnknownCase {
  const char* kind;
  std::uint16_t type;
  const char* text;
};

TEST(DevQueueXmit, DevicesThatAreNotTheLastAreUnknown) {
  for (const UnknownCase& c : {UnknownCase{"vxlan", 1, "vxlan d0 (without its attributes)"},
                               {"bridge", 1, "bridge d0 (without its attributes)"},
                               {"gre", 778, "gre d0 (without its attributes)"},
                               {"sit", 776, "sit d0"},
                               {"wireguard", 0xfffe, "wireguard d0"},
                               {"", 32, "ARPHRD type 32 d0"}}) {
    Link link = test_link(c.kind);
    link.type = c.type;
    Bed bed(link);
    Trace trace(bed.net.clock);
    SkbPtr skb = bed.numbered(1);
    skb->trace = &trace;
    EXPECT_EQ(bed.send(std::move(skb)).errno_code(), kUnknown);
    ASSERT_EQ(trace.unknowns().size(), 1U);
    EXPECT_EQ(trace.unknowns()[0].text, c.text);
  }
  for (const char* kind : {"", "veth", "ifb", "tun", "dummy", "netdevsim"})
    EXPECT_EQ(Bed(test_link(kind)).dev->unknown_kind.get(), nullptr) << kind;
}

TEST(DevQueueXmit, PortOfAVrfIsUnknownAndOfABridgeIsNot) {
  Bed bed;
  const std::lock_guard guard(bed.net.rtnl);
  Link port = test_link();
  port.master = 9;
  bed.net.dev->set_link(port);
  EXPECT_EQ(bed.dev->unknown_kind.get(), nullptr);
  Link master = test_link("vrf");
  master.ifindex = 9;
  master.name = "red";
  bed.net.dev->set_link(master);
  ASSERT_NE(bed.dev->unknown_kind.get(), nullptr);
  EXPECT_EQ(*bed.dev->unknown_kind, "vrf red master of d0");
  master.kind = "bridge";
  bed.net.dev->set_link(master);
  EXPECT_EQ(bed.dev->unknown_kind.get(), nullptr);
}

TEST(DevQueueXmit, EgressFilterIsUnknownAndAnEmptyClsactTransparent) {
  Bed bed(test_link("veth"));
  QdiscSpec clsact = root_qdisc("clsact");
  clsact.parent = 0xfffffff1;
  bed.qdiscs({clsact});
  EXPECT_TRUE(bed.send(1).ok());
  FilterSpec filter;
  filter.text = "filter dev d0 egress bpf";
  {
    const std::lock_guard guard(bed.net.rtnl);
    bed.net.dev->set_egress_filters(2, {filter});
  }
  Trace trace(bed.net.clock);
  SkbPtr skb = bed.numbered(2);
  skb->trace = &trace;
  EXPECT_EQ(bed.send(std::move(skb)).errno_code(), kUnknown);
  ASSERT_EQ(trace.unknowns().size(), 1U);
  EXPECT_EQ(trace.unknowns()[0].text, "filter dev d0 egress bpf");
}

TEST(DevQueueXmit, TraceHasTheStagesAndTheWholeFrame) {
  Bed bed(test_link(), {.csum = true});
  bed.qdisc(root_qdisc("pfifo", fifo_limit(5)));
  Trace trace(bed.net.clock);
  SkbPtr skb = bed.numbered(1);
  skb->trace = &trace;
  EXPECT_TRUE(bed.send(std::move(skb)).ok());
  std::vector<Stage> stages;
  for (const TraceStage& s : trace.stages()) stages.push_back(s.stage);
  EXPECT_EQ(stages, (std::vector{Stage::dev_queue_xmit, Stage::netdev_pick_tx, Stage::qdisc_enqueue,
                                 Stage::sch_direct_xmit, Stage::dev_hard_start_xmit,
                                 Stage::ndo_start_xmit}));
  ASSERT_EQ(trace.frames().size(), 1U);
  // The driver took it unfinished; the trace shows it as it is on the wire.
  EXPECT_NE(trace.frames()[0].bytes, bed.driver->frames[0]);
  Bed plain(test_link());
  EXPECT_TRUE(plain.send(1).ok());
  EXPECT_EQ(trace.frames()[0].bytes, plain.driver->frames[0]);
}

TEST(NetdevPickTx, ConnectedSocketOrXpsOrHash) {
  Link link = test_link("", 4);
  Bed bed(link);
  SkbPtr skb = bed.numbered(1);
  skb->hash = 0xc0000000;
  EXPECT_EQ(netdev_pick_tx(bed.net, *bed.dev, *skb), 3U);
  EXPECT_EQ(skb->queue_mapping, 3U);
  link.xps_cpus.assign(4, {});
  link.xps_cpus[2].assign(64, 0xffffffff);  // every CPU
  {
    const std::lock_guard guard(bed.net.rtnl);
    bed.net.dev->set_link(link);
  }
  EXPECT_EQ(netdev_pick_tx(bed.net, *bed.dev, *skb), 2U);
  free_skb(std::move(skb));
}

}  // namespace
}  // namespace txp
