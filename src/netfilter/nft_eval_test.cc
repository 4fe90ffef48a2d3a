// SPDX-License-Identifier: Apache-2.0
// Rulesets made by hand, from the attributes on.
#include <gtest/gtest.h>
#include <linux/netfilter.h>

#include "net.h"
#include "netfilter/nf_hook.h"
#include "netfilter/nft_counter.h"
#include "netfilter/nft_program.h"
#include "netfilter/test_ruleset.h"
#include "observe/trace.h"
#include "wire/ethernet.h"
#include "wire/ipv4.h"
#include "wire/udp.h"

namespace txp {
namespace {

using namespace nft_test;

class NftEval : public ::testing::Test {
 protected:
  NftEval() : net({.clock = Clock::manual(kSecond)}) {
    rules.tables.push_back({.family = NFPROTO_IPV4, .name = "t", .handle = 1});
    chain("out", true);
  }
  void chain(const std::string& name, bool base = false) {
    NftChain c;
    c.family = NFPROTO_IPV4;
    c.table = "t";
    c.name = name;
    c.base = base;
    c.hooknum = NF_INET_LOCAL_OUT;
    c.type = "filter";
    rules.chains.push_back(c);
  }
  void rule(const std::string& to, const Attributes& list) {
    rules.rules.push_back({.family = NFPROTO_IPV4,
                           .table = "t",
                           .chain = to,
                           .handle = rules.rules.size() + 1,
                           .text = "rule",
                           .expressions = list.raw()});
  }
  // What becomes of a datagram to `port`; compiles the ruleset when it is new.
  NftCode send(std::uint16_t port) {
    program = nft_compile(net, rules, program.get());
    SkbPtr skb = alloc_skb(net, 256);
    skb->reserve(32);
    Ipv4Header ip;
    ip.protocol = 17;
    ip.saddr = Ip4{0x0a4d0001};
    ip.daddr = Ip4{0x0a4d0002};
    ip.tot_len = 36;
    skb->set_network_header();
    ip.emit(skb->put(kIpHlen));
    skb->set_transport_header();
    UdpHeader{4000, port, 16, 1}.emit(skb->put(kUdpHlen));
    std::memset(skb->put(8), 'x', 8);
    skb->protocol = kEthPIp;
    NftPkt pkt{net, *skb};
    pkt.hooknum = NF_INET_LOCAL_OUT;
    const NftResult r = nft_do_base_chain(pkt, *program->base_chains.at(0));
    free_skb(std::move(skb));
    return r.code;
  }
  std::uint64_t packets(std::size_t n) const { return program->counters.at(n).counter->packets(); }

  Net net;
  NftRuleset rules;
  std::shared_ptr<const NftProgram> program;
  const RcuReader reader;
};

TEST_F(NftEval, CountersGoOnIntoTheNextRuleset) {
  Attributes list;
  dport(list, 53);
  counter(list);
  rule("out", list);
  EXPECT_EQ(send(53), NftCode::accept);
  EXPECT_EQ(send(54), NftCode::accept);
  Attributes drop;
  verdict(drop, NF_DROP);
  rule("out", drop);
  EXPECT_EQ(send(53), NftCode::drop);
  EXPECT_EQ(packets(0), 2U);
}

TEST_F(NftEval, AnExpressionOfAnotherKindIsUnknownOnlyWhereAPacketMeetsIt) {
  Attributes list;
  dport(list, 53);
  expression(list, "synproxy", Attributes());
  rule("out", list);
  EXPECT_EQ(send(54), NftCode::accept);
  EXPECT_EQ(send(53), NftCode::unknown);
  EXPECT_NE(net.last_unknown().find("synproxy"), std::string::npos) << net.last_unknown();
}

TEST_F(NftEval, ChainsThatLeadBackToThemselvesAreUnknown) {
  chain("a");
  chain("b");
  Attributes to_a;
  verdict(to_a, NFT_JUMP, "a");
  Attributes to_b;
  verdict(to_b, NFT_GOTO, "b");
  rule("out", to_a);
  rule("a", to_b);
  rule("b", to_a);
  EXPECT_EQ(send(53), NftCode::unknown);
}

TEST_F(NftEval, MoreJumpsThanAKernelCouldNeedAreUnknown) {
  constexpr int kDepth = 15;
  Attributes ten;
  for (int i = 0; i < kDepth; ++i) chain("c" + std::to_string(i));
  for (int i = 0; i < kDepth; ++i) {
    Attributes jump;
    verdict(jump, NFT_JUMP, "c" + std::to_string(i));
    for (int n = 0; n < 10; ++n) rule(i == 0 ? "out" : "c" + std::to_string(i - 1), jump);
  }
  EXPECT_EQ(send(53), NftCode::unknown);
}

TEST_F(NftEval, RegistersOutsideAreUnknown) {
  for (const std::uint32_t reg : {0U, 5U, 7U, 24U, 0xffffffffU}) {
    rules.rules.clear();
    Attributes list;
    expression(list, "meta",
               Attributes().be32(NFTA_META_DREG, reg).be32(NFTA_META_KEY, NFT_META_MARK));
    rule("out", list);
    EXPECT_EQ(send(53), NftCode::unknown) << reg;
  }
}

TEST_F(NftEval, ALimitRefillsByTheNetsClock) {
  Attributes list;
  expression(list, "limit",
             Attributes()
                 .be64(NFTA_LIMIT_RATE, 2)
                 .be64(NFTA_LIMIT_UNIT, 1)
                 .be32(NFTA_LIMIT_BURST, 1)
                 .be32(NFTA_LIMIT_TYPE, NFT_LIMIT_PKTS));
  verdict(list, NF_ACCEPT);
  rule("out", list);
  Attributes drop;
  verdict(drop, NF_DROP);
  rule("out", drop);
  EXPECT_EQ(send(53), NftCode::accept);
  EXPECT_EQ(send(53), NftCode::drop);
  net.clock.advance(kSecond / 2 - 1);
  EXPECT_EQ(send(53), NftCode::drop);
  net.clock.advance(1);
  EXPECT_EQ(send(53), NftCode::accept);
}

TEST_F(NftEval, ChanceIsUnknownWhereAReportAsks) {
  Attributes list;
  expression(list, "numgen",
             Attributes()
                 .be32(NFTA_NG_DREG, NFT_REG_1)
                 .be32(NFTA_NG_MODULUS, 2)
                 .be32(NFTA_NG_TYPE, NFT_NG_RANDOM));
  rule("out", list);
  EXPECT_EQ(send(53), NftCode::accept);
  net.nf->chance = false;
  EXPECT_EQ(send(53), NftCode::unknown);
}

TEST_F(NftEval, OnlyRulesOfTheFlowVouchForAFlow) {
  Attributes list;
  dport(list, 53);
  counter(list);
  rule("out", list);
  (void)send(1);
  EXPECT_TRUE(program->base_chains[0]->flow_only);
  Attributes length;
  expression(length, "meta",
             Attributes().be32(NFTA_META_DREG, NFT_REG_1).be32(NFTA_META_KEY, NFT_META_LEN));
  chain("sized");
  rule("sized", length);
  Attributes jump;
  verdict(jump, NFT_JUMP, "sized");
  rule("out", jump);
  (void)send(1);
  EXPECT_FALSE(program->base_chains[0]->flow_only);
}

}  // namespace
}  // namespace txp
