// SPDX-License-Identifier: Apache-2.0
#include "netfilter/nf_hook.h"

#include <gtest/gtest.h>

#include "net.h"

namespace txp {
namespace {

class NfHookTest : public ::testing::Test {
 protected:
  NfHookTest() : net({.clock = Clock::manual()}) {}
  SkbPtr packet() {
    SkbPtr skb = alloc_skb(net, 128);
    skb->put(20);
    born(net);
    return skb;
  }
  void add(int priority, std::function<NfVerdict(Net&, Skb&)> f) {
    const std::lock_guard guard(net.rtnl);
    NamedObject object;
    object.kind = "hook";
    net.nf->add({NfHook::local_out, priority, object, std::move(f)});
  }
  Net net;
};

TEST_F(NfHookTest, HooksRunInOrderOfPriorityTheYoungerFirst) {
  std::string order;
  auto mark = [&order](char c) {
    return [&order, c](Net&, Skb&) {
      order += c;
      return NfVerdict::accept;
    };
  };
  add(0, mark('c'));
  add(-300, mark('a'));
  add(-150, mark('b'));
  add(0, mark('d'));
  TxResult result = TxResult::drop();
  const RcuReader reader;
  SkbPtr skb = packet();
  ASSERT_TRUE(nf_hook(net, NfHook::local_out, skb, result));
  EXPECT_EQ(order, "abdc");
  delivered(net);
  consume(std::move(skb));
  EXPECT_TRUE(net.totals().conserved());
}

TEST_F(NfHookTest, DropIsEpermAndCounted) {
  add(0, [](Net&, Skb&) { return NfVerdict::drop; });
  TxResult result = TxResult::success();
  const RcuReader reader;
  SkbPtr skb = packet();
  EXPECT_FALSE(nf_hook(net, NfHook::local_out, skb, result));
  EXPECT_FALSE(skb);
  EXPECT_EQ(result.errno_code(), EPERM);
  const CounterTotals t = net.totals();
  EXPECT_EQ(t.stages[static_cast<std::size_t>(Stage::nf_local_out)]
                .drops[static_cast<std::size_t>(DropReason::NETFILTER_DROP)],
            1U);
  EXPECT_TRUE(t.conserved());
}

TEST_F(NfHookTest, ARulesetThatCannotBeEvaluatedIsUnknownAndNamed) {
  add(0, nullptr);
  TxResult result = TxResult::success();
  const RcuReader reader;
  Trace trace(net.clock);
  SkbPtr skb = packet();
  skb->trace = &trace;
  EXPECT_FALSE(nf_hook(net, NfHook::local_out, skb, result));
  EXPECT_EQ(result.errno_code(), kUnknown);
  ASSERT_EQ(trace.unknowns().size(), 1U);
  EXPECT_EQ(trace.unknowns()[0].kind, "hook");
}

TEST_F(NfHookTest, ANewRulesetReplacesOnlyTheOld) {
  add(5, [](Net&, Skb&) { return NfVerdict::accept; });
  NamedObject chain;
  chain.kind = "nft-chain";
  {
    const std::lock_guard guard(net.rtnl);
    net.nf->set_ruleset({{NfHook::local_out, 0, chain, nullptr}});
    net.nf->set_ruleset({{NfHook::local_out, 0, chain, nullptr}});
  }
  const RcuReader reader;
  ASSERT_NE(net.nf->at(NfHook::local_out), nullptr);
  EXPECT_EQ(net.nf->at(NfHook::local_out)->size(), 2U);
  EXPECT_EQ(net.nf->at(NfHook::post_routing), nullptr);
}

}  // namespace
}  // namespace txp
