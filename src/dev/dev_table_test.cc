// SPDX-License-Identifier: Apache-2.0
#include <gtest/gtest.h>

#include "drivers/scripted_driver.h"
#include "route/fib.h"

namespace txp {
namespace {

using testing::Bed;
using testing::fifo_limit;
using testing::root_qdisc;
using testing::test_link;

InAddr address(const char* ip, std::uint8_t len, std::uint8_t scope = 0) {
  InAddr a;
  a.ifindex = 2;
  a.local = a.peer = *Ip4::parse(ip);
  a.prefixlen = len;
  a.scope = scope;
  return a;
}

std::vector<std::string> order(const NetDevice& dev) {
  std::vector<std::string> all;
  for (const InAddr& a : dev.in_dev().addrs)
    all.push_back(a.local.str() + (a.secondary() ? " secondary" : ""));
  return all;
}

TEST(DevTable, FindsByIndexAndName) {
  Bed bed;
  const std::lock_guard guard(bed.net.rtnl);
  Link far = test_link("dummy");
  far.ifindex = 70000;
  far.name = "far";
  bed.net.dev->set_link(far);
  Link lo = test_link();
  lo.ifindex = 1;
  lo.name = "lo";
  lo.type = 772;
  lo.flags = kIffUp | kIffLoopback;
  bed.net.dev->set_link(lo);
  const RcuReader reader;
  EXPECT_EQ(bed.net.dev->by_index(2), bed.dev);
  EXPECT_EQ(bed.net.dev->by_index(70000)->name(), "far");
  EXPECT_EQ(bed.net.dev->by_index(3), nullptr);
  EXPECT_EQ(bed.net.dev->by_index(-1), nullptr);
  EXPECT_EQ(bed.net.dev->by_name("d0"), bed.dev);
  EXPECT_EQ(bed.net.dev->by_name("d1"), nullptr);
  EXPECT_EQ(bed.net.dev->loopback()->name(), "lo");
  EXPECT_EQ(bed.net.dev->all().size(), 3U);
  EXPECT_EQ(bed.net.dev->all().front()->ifindex, 1);
}

TEST(DevTable, RenameIsFoundUnderTheNewNameOnly) {
  Bed bed;
  const std::lock_guard guard(bed.net.rtnl);
  Link link = test_link();
  link.name = "d9";
  EXPECT_EQ(&bed.net.dev->set_link(link), bed.dev);
  EXPECT_EQ(bed.net.dev->by_name("d9"), bed.dev);
  EXPECT_EQ(bed.net.dev->by_name("d0"), nullptr);
}

TEST(DevTable, RemovedDeviceTakesItsPacketsAndRoutesAlong) {
  Bed bed;
  bed.qdisc(root_qdisc("pfifo", fifo_limit(5)));
  bed.dev->tx[0]->stopped = true;
  (void)bed.send(1);
  const std::lock_guard guard(bed.net.rtnl);
  Route route;
  route.dst = {*Ip4::parse("10.1.0.0"), 16};
  route.nexthops.emplace_back();
  route.nexthops[0].oif = 2;
  ASSERT_TRUE(bed.net.fib->add(route));
  bed.net.dev->remove_link(2);
  EXPECT_EQ(bed.net.dev->by_index(2), nullptr);
  EXPECT_EQ(bed.net.fib->size(), 0U);
  EXPECT_EQ(bed.drops(Stage::qdisc_enqueue, DropReason::QUEUE_PURGE), 1U);
  bed.net.retired.flush();
  EXPECT_TRUE(bed.net.totals().conserved());
  bed.net.dev->remove_link(2);  // once more: nothing
}

// Observed with `ip addr`: an address in a primary's subnet becomes a secondary at the end, a
// narrower scope goes before the wider ones.
TEST(DevTable, AddressesStandInTheKernelsOrder) {
  Bed bed;
  const std::lock_guard guard(bed.net.rtnl);
  DevTable& table = *bed.net.dev;
  table.set_addr(address("10.0.0.1", 24));
  table.set_addr(address("10.0.0.2", 24));
  table.set_addr(address("10.1.0.1", 24));
  table.set_addr(address("169.254.0.1", 16, 253));
  table.set_addr(address("10.0.0.3", 16));  // another mask: a primary
  EXPECT_EQ(order(*bed.dev), (std::vector<std::string>{"169.254.0.1", "10.0.0.1", "10.1.0.1",
                                                       "10.0.0.3", "10.0.0.2 secondary"}));
  table.set_addr(address("10.0.0.2", 24));  // again: changed in place
  EXPECT_EQ(bed.dev->in_dev().addrs.size(), 5U);
}

TEST(DevTable, DeletedPrimaryTakesItsSecondariesOrIsReplaced) {
  for (const bool promote : {false, true}) {
    Bed bed;
    const std::lock_guard guard(bed.net.rtnl);
    DevTable& table = *bed.net.dev;
    InDevConf conf;
    conf.promote_secondaries = promote;
    table.set_in_conf(2, conf);
    table.set_addr(address("10.0.0.1", 24));
    table.set_addr(address("10.0.0.2", 24));
    table.set_addr(address("10.0.0.3", 24));
    table.remove_addr(2, *Ip4::parse("10.0.0.1"), 24);
    EXPECT_EQ(order(*bed.dev), promote
                                   ? (std::vector<std::string>{"10.0.0.2", "10.0.0.3 secondary"})
                                   : std::vector<std::string>{});
  }
}

TEST(DevTable, DefaultDisciplineByKindAndQueues) {
  const auto kind = [](const Link& link) {
    Bed bed(link);
    return bed.dev->qdiscs.empty() ? std::string("noop") : bed.dev->qdiscs[0]->spec.kind;
  };
  EXPECT_EQ(kind(test_link()), "pfifo_fast");
  EXPECT_EQ(kind(test_link("", 4)), "mq");
  EXPECT_EQ(kind(test_link("veth", 4)), "noqueue");
  EXPECT_EQ(kind(test_link("tun")), "pfifo_fast");
  Link down = test_link();
  down.flags = 0;
  EXPECT_EQ(kind(down), "noop");
  Link said = test_link();
  said.qdisc = "fq_codel";
  EXPECT_EQ(kind(said), "fq_codel");
}

TEST(DevTable, TapOnEveryDeviceSeesLaterOnesToo) {
  struct Counter : Tap {
    void packet(const Net&, const NetDevice&, const Skb&, bool) override { ++n; }
    int n = 0;
  } tap;
  Bed bed;
  const std::lock_guard guard(bed.net.rtnl);
  bed.net.dev->add_tap(nullptr, &tap);
  Link link = test_link("dummy");
  link.ifindex = 3;
  link.name = "d1";
  NetDevice& later = bed.net.dev->set_link(link);
  (void)bed.send(1);
  SkbPtr skb = bed.numbered(2);
  skb->dev = &later;
  (void)bed.send(std::move(skb));
  EXPECT_EQ(tap.n, 2);
  bed.net.dev->remove_tap(&tap);
  (void)bed.send(3);
  EXPECT_EQ(tap.n, 2);
}

}  // namespace
}  // namespace txp
