// SPDX-License-Identifier: Apache-2.0
#include "explain/flow_question.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <netinet/in.h>

#include <sstream>

namespace txp {
namespace {

using testing::HasSubstr;

std::vector<std::string> split(const std::string& line) {
  std::istringstream in(line);
  std::vector<std::string> words;
  for (std::string w; in >> w;) words.push_back(w);
  return words;
}

Result<FlowQuestion> parse(const std::string& line, PayloadWords payload = PayloadWords::yes) {
  return parse_flow_question(split(line), payload);
}

std::string why(const std::string& line, PayloadWords payload = PayloadWords::yes) {
  const auto q = parse(line, payload);
  return q ? "accepted" : q.error().what;
}

TEST(FlowQuestion, EveryWordIsTaken) {
  const auto q = parse(
      "from 10.0.0.1:1234 to 10.0.0.2:53 oif va mark 0x10 tos 0xb8 uid 1000 len 9 ttl 3 df probe "
      "gso 1200 broadcast");
  ASSERT_TRUE(q) << q.error().what;
  EXPECT_EQ(q->from, Ip4{0x0a000001});
  EXPECT_EQ(q->from_port, 1234);
  EXPECT_EQ(q->to, Ip4{0x0a000002});
  EXPECT_EQ(q->to_port, 53);
  EXPECT_EQ(q->oif, "va");
  EXPECT_EQ(q->mark, 16U);
  EXPECT_EQ(q->tos, 0xb8);
  EXPECT_EQ(q->uid, 1000U);
  EXPECT_EQ(q->len, 9U);
  EXPECT_EQ(q->ttl, 3);
  EXPECT_EQ(q->df, IP_PMTUDISC_PROBE);
  EXPECT_EQ(q->gso, 1200);
  EXPECT_TRUE(q->broadcast);
}

TEST(FlowQuestion, OrderIsFree) {
  const auto q = parse("broadcast tos 4 to 255.255.255.255:9 from 0.0.0.0:68");
  ASSERT_TRUE(q) << q.error().what;
  EXPECT_EQ(q->from, Ip4{});
  EXPECT_EQ(q->from_port, 68);
}

TEST(FlowQuestion, SourceWithoutPortLeavesThePortOpen) {
  const auto q = parse("from 10.0.0.1 to 10.0.0.2:53");
  ASSERT_TRUE(q) << q.error().what;
  EXPECT_EQ(q->from_port, 0);
  EXPECT_FALSE(q->len);
}

TEST(FlowQuestion, WrongWordsAreNamed) {
  EXPECT_THAT(why(""), HasSubstr("to ADDR:PORT"));
  EXPECT_THAT(why("to 10.0.0.2"), HasSubstr("port is missing"));
  EXPECT_THAT(why("to"), HasSubstr("to: its value is missing"));
  EXPECT_THAT(why("to 10.0.0.2:53 colour red"), HasSubstr("colour: unknown word"));
  EXPECT_THAT(why("to 10.0.0.2:53 to 10.0.0.3:53"), HasSubstr("given twice"));
  EXPECT_THAT(why("to 10.0.0.2:99999"), HasSubstr("port 99999"));
  EXPECT_THAT(why("to fe80::1:53"), HasSubstr("port"));
  EXPECT_THAT(why("to [fe80::g]:53"), HasSubstr("IPv6"));
  EXPECT_THAT(why("to [fe80::1"), HasSubstr("bracket"));
  EXPECT_THAT(why("from 10.0.0.1 to [fe80::1]:53"), HasSubstr("families"));
  EXPECT_THAT(why("to localhost:53"), HasSubstr("IPv4 address"));
  EXPECT_THAT(why("to 10.0.0.2:53 tos 256"), HasSubstr("0 to 255"));
  EXPECT_THAT(why("to 10.0.0.2:53 tos -1"), HasSubstr("0 to 255"));
  EXPECT_THAT(why("to 10.0.0.2:53 tos 0x"), HasSubstr("0 to 255"));
  EXPECT_THAT(why("to 10.0.0.2:53 mark 99999999999999999999999"), HasSubstr("mark"));
  EXPECT_THAT(why("to 10.0.0.2:53 df maybe"), HasSubstr("do, dont, want, probe"));
  EXPECT_THAT(why("to 10.0.0.2:53 oif 0123456789abcdef"), HasSubstr("15 characters"));
  EXPECT_THAT(why("to 10.0.0.2:53 len 3 data f"), HasSubstr("exclude"));
}

TEST(FlowQuestion, PayloadWordsAreNotEveryCommands) {
  EXPECT_THAT(why("to 10.0.0.2:53 len 3", PayloadWords::no), HasSubstr("len: unknown word"));
  EXPECT_EQ(why("to 10.0.0.2:53 ttl 3", PayloadWords::no), "accepted");
}

}  // namespace
}  // namespace txp
