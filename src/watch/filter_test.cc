// SPDX-License-Identifier: Apache-2.0
#include "watch/filter.h"

#include <gtest/gtest.h>
#include <linux/bpf.h>

#include <random>

#include "watch/event.h"
#include "watch/filter_run.h"

namespace txp {
namespace {

using Packet = std::vector<std::uint8_t>;

// An Ethernet frame with a UDP datagram.
Packet datagram(std::uint16_t sport, std::uint16_t dport, std::uint16_t fragment = 0) {
  Packet p(60, 0);
  p[12] = 8;
  p[14] = 0x45;
  p[17] = 46;
  p[20] = static_cast<std::uint8_t>(fragment >> 8);
  p[21] = static_cast<std::uint8_t>(fragment);
  p[22] = 64;
  p[23] = 17;
  const std::uint8_t addresses[] = {10, 77, 0, 1, 10, 77, 0, 2};
  std::copy(std::begin(addresses), std::end(addresses), p.begin() + 26);
  p[34] = static_cast<std::uint8_t>(sport >> 8);
  p[35] = static_cast<std::uint8_t>(sport);
  p[36] = static_cast<std::uint8_t>(dport >> 8);
  p[37] = static_cast<std::uint8_t>(dport);
  return p;
}

bool matches(const std::string& expression, const Packet& packet) {
  const auto filter = compile_filter(expression);
  EXPECT_TRUE(filter) << expression;
  return filter && run_filter(*filter, packet, static_cast<std::uint32_t>(packet.size())) != 0;
}

TEST(WatchFilter, MatchesWhatTheExpressionSays) {
  EXPECT_TRUE(matches("udp and dst port 53", datagram(4000, 53)));
  EXPECT_FALSE(matches("udp and dst port 53", datagram(53, 4000)));
  EXPECT_TRUE(matches("host 10.77.0.2", datagram(1, 2)));
  EXPECT_FALSE(matches("net 10.78.0.0/16", datagram(1, 2)));
  EXPECT_FALSE(matches("udp port 53", datagram(4000, 53, 185)));  // a later fragment has no ports
  EXPECT_TRUE(matches("less 100", datagram(1, 2)));
  EXPECT_FALSE(matches("greater 100", datagram(1, 2)));
  EXPECT_TRUE(matches("udp[2:2] - udp[0:2] = 1 and ip[8] & 0x40 != 0", datagram(1, 2)));
}

TEST(WatchFilter, WrongExpressionIsASentence) {
  const auto wrong = compile_filter("udp port");
  ASSERT_FALSE(wrong);
  EXPECT_NE(wrong.error().what.find("udp port"), std::string::npos);
}

TEST(WatchFilter, TooLongForItsPlaceIsASentence) {
  std::string expression = "host 1.0.0.1";
  for (int i = 2; i < 250; ++i) expression += " or host 1.0.0." + std::to_string(i);
  const auto filter = compile_filter(expression);
  ASSERT_FALSE(filter);
  EXPECT_NE(filter.error().what.find("at most"), std::string::npos);
}

TEST(WatchFilter, AnswersAsLibpcapOnRandomPackets) {
  std::mt19937 random(7);
  for (const char* expression :
       {"udp port 53", "ip and not tcp", "ip6 or arp", "port 1 or port 2 or portrange 3-9",
        "ip[2:2] > 60 or len >= 100", "tcp[tcpflags] & tcp-syn != 0", "ether[0] & 1 = 1",
        "vlan 3 or ip6 proto 17", "udp[4:2] * 3 > 100 and udp[8] % 5 != 2",
        "ip[0:4] / 7 > ip[4:4] << 2 or ip[1] = 0"}) {
    const auto classic = compile_classic(expression);
    ASSERT_TRUE(classic) << classic.error().what;
    const auto filter = translate_filter(*classic);
    ASSERT_TRUE(filter) << filter.error().what;
    int yes = 0;
    for (int i = 0; i < 3000; ++i) {
      Packet p = datagram(random() % 64, random() % 64);
      if (random() % 2 == 0) p[23] = 6;
      if (const auto kind = random() % 4; kind == 0) {  // IPv6, UDP
        p[12] = 0x86;
        p[13] = 0xdd;
        p[14] = 0x60;
        p[20] = 17;
      } else if (kind == 1) {  // VLAN 3
        p[12] = 0x81;
        p[14] = 0;
        p[15] = 3;
      }
      p.resize(random() % (TXP_WATCH_HDR + 1));
      for (unsigned n = random() % 8; n > 0 && !p.empty(); --n)
        p[random() % p.size()] = static_cast<std::uint8_t>(random());
      const auto wire = static_cast<std::uint32_t>(p.size() + random() % 100);
      const bool ours = run_filter(*filter, p, wire) != 0;
      ASSERT_EQ(ours, classic_match(*classic, p, wire)) << expression << ", packet " << i;
      yes += ours;
    }
    EXPECT_GT(yes, 0) << expression << " never matched, so this proves little";
  }
}

TEST(WatchFilter, IsWrittenOverEveryPlaceholderAndNothingElse) {
  const bpf_insn sign{
      .code = BPF_ALU64 | BPF_MOV, .dst_reg = 0, .src_reg = 0, .off = 0, .imm = 0x70636170};
  const bpf_insn nop{.code = BPF_JMP | BPF_JA, .dst_reg = 0, .src_reg = 0, .off = 0, .imm = 0};
  std::vector<bpf_insn> program{nop, sign};
  program.insert(program.end(), kFilterRoom, nop);
  program.push_back(sign);
  program.insert(program.end(), kFilterRoom, nop);
  const auto filter = compile_filter("udp");
  ASSERT_TRUE(filter);
  EXPECT_EQ(place_filter(program, *filter), 2);
  EXPECT_EQ(program[1].imm, sign.imm);
  EXPECT_EQ(program[2].code, nop.code);
  EXPECT_EQ(program[1 + kFilterRoom].code, filter->back().code);
}

}  // namespace
}  // namespace txp
