// SPDX-License-Identifier: Apache-2.0
#include "observe/trace.h"

#include <gtest/gtest.h>

namespace txp {
namespace {

TEST(Trace, ObjectsGoToTheNewestRecordOfTheirStage) {
  Clock clock = Clock::manual();
  Trace t(clock);
  t.enter(Stage::ip_output, 100);
  t.enter(Stage::ip_finish_output, 100);
  t.enter(Stage::ip_output, 60);
  t.by(Stage::ip_output, NamedObject{.kind = "sysctl", .text = "a"});
  t.out(Stage::ip_finish_output, "mtu", 1500);
  ASSERT_EQ(t.stages().size(), 3U);
  EXPECT_TRUE(t.stages()[0].by.empty());
  EXPECT_EQ(t.stages()[2].by.size(), 1U);
  EXPECT_EQ(t.stages()[1].out.size(), 1U);
}

TEST(Trace, StageThatWasNotEnteredAddsToTheNewestRecord) {
  Clock clock = Clock::manual();
  Trace t(clock);
  t.dropped(Stage::udp_sendmsg, DropReason::NOMEM);  // no record at all: makes one
  ASSERT_EQ(t.stages().size(), 1U);
  EXPECT_EQ(t.stages()[0].stage, Stage::udp_sendmsg);
  t.result(Stage::ip_output, "accept");
  ASSERT_EQ(t.stages().size(), 1U);
  EXPECT_EQ(t.stages()[0].result, "accept");
}

TEST(Trace, RecordsCarryTheClocksTime) {
  Clock clock = Clock::manual(5);
  Trace t(clock);
  t.enter(Stage::sock_sendmsg, 1);
  clock.advance(7);
  Link dev;
  dev.name = "va";
  t.frame(dev, 0, 0, {1, 2, 3});
  EXPECT_EQ(t.stages()[0].at, 5);
  EXPECT_EQ(t.frames()[0].at, 12);
  EXPECT_EQ(t.frames()[0].dev, "va");
}

TEST(Trace, UnknownStaysUnknownThoughThePacketIsDropped) {
  Clock clock = Clock::manual();
  Trace t(clock);
  t.enter(Stage::qdisc_enqueue, 1);
  t.unknown(Stage::qdisc_enqueue, NamedObject{.kind = "qdisc", .text = "qdisc tbf 1: dev va root"});
  t.dropped(Stage::qdisc_enqueue, DropReason::TXPATH_UNKNOWN);
  EXPECT_EQ(t.stages()[0].result, "unknown");
  ASSERT_EQ(t.unknowns().size(), 1U);
  t.unknown(Stage::qdisc_enqueue, NamedObject{.kind = "qdisc", .text = "qdisc tbf 1: dev va root"});
  EXPECT_EQ(t.unknowns().size(), 1U);
}

TEST(Trace, MaskedFieldIsNamedOnce) {
  Clock clock = Clock::manual();
  Trace t(clock);
  t.masked("ip.id");
  t.masked("ip.id");
  t.masked("udp.sport");
  EXPECT_EQ(t.masked_fields(), (std::vector<std::string>{"ip.id", "udp.sport"}));
}

}  // namespace
}  // namespace txp
