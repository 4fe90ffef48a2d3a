// SPDX-License-Identifier: Apache-2.0
#include "observe/trace_log.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <nlohmann/json.hpp>
#include <sstream>

#include "neigh/neighbour.h"
#include "observe/packet_filter.h"
#include "tests/support/small_net.h"

namespace txp::test {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;

// Keeps what a log writes.
class Kept final : public TraceSink {
 public:
  explicit Kept(std::vector<TracedPacket>& packets) : packets_(packets) {}
  void write(const TracedPacket& packet) override { packets_.push_back(packet); }
  Result<void> close() override { return {}; }

 private:
  std::vector<TracedPacket>& packets_;
};

class TraceLogTest : public ::testing::Test {
 protected:
  void open(TraceSelection selection) {
    auto log = TraceLog::open(small.net, std::move(selection));
    ASSERT_TRUE(log) << log.error().what;
    log_ = std::move(*log);
    log_->add(std::make_unique<Kept>(packets));
    small.net.trace_log = log_.get();
  }
  ~TraceLogTest() override { small.net.trace_log = nullptr; }

  std::vector<TracedPacket> packets;
  std::unique_ptr<TraceLog> log_;  // outlives the packets that tell it
  SmallNet small;
};

TEST_F(TraceLogTest, OneCallInNLeavesATrace) {
  open({.one_in = 3, .filter = ""});
  TestSocket s(small.net);
  for (int i = 0; i < 7; ++i) ASSERT_TRUE(s.send_to("10.77.0.2", 53, pattern(10)));
  ASSERT_EQ(packets.size(), 3U);
  EXPECT_EQ(packets[2].number, 3U);
  EXPECT_EQ(packets[0].events.front().stage, Stage::sock_sendmsg);
  EXPECT_EQ(packets[0].events.back().stage, Stage::ndo_start_xmit);
  EXPECT_EQ(packets[0].flow.src.str(), "10.77.0.1");
  EXPECT_EQ(packets[0].flow.dport, 53);
  EXPECT_NE(packets[0].flow.sport, 0);
}

TEST_F(TraceLogTest, WithoutALogNothingIsTraced) {
  TestSocket s(small.net);
  ASSERT_TRUE(s.send_to("10.77.0.2", 53, pattern(10)));
  EXPECT_FALSE(stat_report(small.net).contains("traces"));
}

TEST_F(TraceLogTest, AFailedCallIsTracedWithItsErrno) {
  open({.one_in = 1, .filter = "", .drop_only = true});
  TestSocket s(small.net);
  ASSERT_TRUE(s.send_to("10.77.0.2", 53, pattern(10)));
  ASSERT_FALSE(s.send_to("192.0.2.1", 53, pattern(10)));
  ASSERT_EQ(packets.size(), 1U);
  EXPECT_EQ(packets[0].error, ENETUNREACH);
  EXPECT_EQ(packets[0].flow.dst.str(), "192.0.2.1");
  EXPECT_THAT(trace_text(packets[0]), HasSubstr("ip_route_output_flow"));
  EXPECT_THAT(trace_text(packets[0]), HasSubstr("the call fails with ENETUNREACH"));
}

TEST_F(TraceLogTest, TheReportShowsTheLastOnes) {
  open({});
  TestSocket s(small.net);
  for (int i = 0; i < 40; ++i) ASSERT_TRUE(s.send_to("10.77.0.2", 53, pattern(10)));
  const Json traces = stat_report(small.net)["traces"];
  ASSERT_EQ(traces.size(), 32U);
  EXPECT_EQ(traces[0]["packet"], 9);
  EXPECT_EQ(traces[31]["events"][0]["stage"], "sock_sendmsg");
}

TEST_F(TraceLogTest, EveryLineOfJsonIsAnEvent) {
  open({});
  TestSocket s(small.net);
  ASSERT_TRUE(s.send_to("10.77.0.2", 53, pattern(10)));
  std::istringstream lines(trace_json_lines(packets.at(0)));
  std::size_t n = 0;
  for (std::string line; std::getline(lines, line); ++n) {
    const Json j = Json::parse(line);
    for (const char* key : {"t", "packet", "stage", "len", "flow", "result", "reason", "since_ns"})
      EXPECT_TRUE(j.contains(key)) << key;
  }
  EXPECT_EQ(n, packets[0].events.size());
}

TEST_F(TraceLogTest, AFilterSeesTheWholeLengthOfWhatWasKeptInPart) {
  open({.one_in = 1, .filter = "greater 1000 and udp port 53"});
  TestSocket s(small.net);
  ASSERT_TRUE(s.send_to("10.77.0.2", 53, pattern(900)));
  ASSERT_TRUE(s.send_to("10.77.0.2", 53, pattern(1000)));
  ASSERT_TRUE(s.send_to("10.77.0.2", 54, pattern(1000)));
  ASSERT_EQ(packets.size(), 1U);
  EXPECT_EQ(packets[0].events.front().len, 1000U);
}

TEST(PacketFilter, ABadExpressionIsOneSentence) {
  const auto filter = PacketFilter::compile("udp prot 9");
  ASSERT_FALSE(filter);
  EXPECT_THAT(filter.error().what, HasSubstr("udp prot 9: "));
}

TEST(PacketFilter, WhatNeverWasAPacketMatchesByItsFlow) {
  TracedPacket p;
  p.flow = {Ip4{0}, 1000, *Ip4::parse("192.0.2.1"), 53};
  p.error = ENETUNREACH;
  EXPECT_TRUE((*PacketFilter::compile("dst host 192.0.2.1 and dst port 53"))->matches(p));
  EXPECT_FALSE((*PacketFilter::compile("dst port 54"))->matches(p));
}

}  // namespace
}  // namespace txp::test
