// SPDX-License-Identifier: Apache-2.0
#include "route/fib_rules.h"

#include "route/route_test_net.h"

namespace txp {
namespace {

// Table 200 leads elsewhere, so that a rule that matches shows.
struct RulesNet : RouteTestNet {
  RulesNet() {
    link(2, "va");
    link(3, "vb");
    addr(2, "10.77.0.1", 24);
    addr(3, "10.78.0.1", 24);
    add(via("0.0.0.0/0", "10.77.0.2", 2));
    add(via("0.0.0.0/0", "10.78.0.2", 3, 200));
  }
  FibRule rule(std::uint32_t priority = 100) {
    FibRule r;
    r.priority = priority;
    r.table = 200;
    return r;
  }
};

struct Case {
  const char* name;
  void (*make)(FibRule&);
  void (*ask)(Flow4&);
  bool matches;
};

class FibRuleMatch : public testing::TestWithParam<Case> {};

TEST_P(FibRuleMatch, AsTheKernelMatches) {
  RulesNet t;
  FibRule r = t.rule();
  GetParam().make(r);
  t.net.rules->add(r);
  Flow4 f = RouteTestNet::flow("8.8.8.8", "10.77.0.1");
  GetParam().ask(f);
  EXPECT_EQ(t.get(f).starts_with("vb via"), GetParam().matches);
  // `not` turns each answer round.
  t.net.rules->remove(r);
  r.invert = true;
  t.net.rules->add(r);
  EXPECT_EQ(t.get(f).starts_with("vb via"), !GetParam().matches);
}

constexpr auto kAny = [](Flow4&) {};
INSTANTIATE_TEST_SUITE_P(
    Selectors, FibRuleMatch,
    testing::Values(
        Case{"All", [](FibRule&) {}, kAny, true},
        Case{"From", [](FibRule& r) { r.src = prefix("10.77.0.0/24"); }, kAny, true},
        Case{"FromOther", [](FibRule& r) { r.src = prefix("10.78.0.0/24"); }, kAny, false},
        Case{"To", [](FibRule& r) { r.dst = prefix("8.8.0.0/16"); }, kAny, true},
        Case{"ToOther", [](FibRule& r) { r.dst = prefix("8.9.0.0/16"); }, kAny, false},
        Case{"Tos", [](FibRule& r) { r.tos = 0x10; }, [](Flow4& f) { f.tos = 0x10; }, true},
        Case{"TosUpperBitsDoNotCount", [](FibRule& r) { r.tos = 0x10; },
             [](Flow4& f) { f.tos = 0xf0; }, true},
        Case{"TosWithUpperBitsNeverMatches", [](FibRule& r) { r.tos = 0x20; },
             [](Flow4& f) { f.tos = 0x20; }, false},
        Case{"DscpUpperBitsCount",
             [](FibRule& r) {
               r.tos = 0xb8;
               r.tos_mask = 0xfc;
             },
             [](Flow4& f) { f.tos = 0xb8; }, true},
        Case{"DscpOther",
             [](FibRule& r) {
               r.tos = 0xb8;
               r.tos_mask = 0xfc;
             },
             [](Flow4& f) { f.tos = 0x18; }, false},
        Case{"DscpZeroIsNotAny", [](FibRule& r) { r.tos_mask = 0xfc; },
             [](Flow4& f) { f.tos = 0x10; }, false},
        Case{"DscpMasked",
             [](FibRule& r) {
               r.tos = 0x80;
               r.tos_mask = 0xc0;
             },
             [](Flow4& f) { f.tos = 0xb8; }, true},
        Case{"Mark",
             [](FibRule& r) {
               r.mark = 0x10;
               r.mark_mask = 0x10;
             },
             [](Flow4& f) { f.mark = 0x13; }, true},
        Case{"MarkOther",
             [](FibRule& r) {
               r.mark = 0x10;
               r.mark_mask = 0xffffffff;
             },
             [](Flow4& f) { f.mark = 0x13; }, false},
        Case{"IifLo", [](FibRule& r) { r.iifname = "lo"; }, kAny, true},
        Case{"IifDevice", [](FibRule& r) { r.iifname = "va"; }, kAny, false},
        Case{"OifNotAsked", [](FibRule& r) { r.oifname = "vb"; }, kAny, false},
        Case{"Oif", [](FibRule& r) { r.oifname = "vb"; }, [](Flow4& f) { f.oif = 3; }, true},
        Case{"OifGone", [](FibRule& r) { r.oifname = "gone0"; }, kAny, false},
        Case{"Uid", [](FibRule& r) { r.uid_range = {1000, 1001}; }, [](Flow4& f) { f.uid = 1001; },
             true},
        Case{"UidOther", [](FibRule& r) { r.uid_range = {1000, 1001}; }, kAny, false},
        Case{"Proto", [](FibRule& r) { r.ip_proto = 17; }, kAny, true},
        Case{"ProtoOther", [](FibRule& r) { r.ip_proto = 6; }, kAny, false},
        Case{"Sport", [](FibRule& r) { r.sport = {4000, 4000}; }, kAny, true},
        Case{"SportRange", [](FibRule& r) { r.sport = {3999, 4001}; }, kAny, true},
        Case{"SportRangeOther", [](FibRule& r) { r.sport = {4001, 5000}; }, kAny, false},
        Case{"SportMask",
             [](FibRule& r) {
               r.sport = {0x0fa3, 0x0fa3};
               r.sport_mask = 0xfff0;
             },
             kAny, true},
        Case{"Dport", [](FibRule& r) { r.dport = {53, 53}; }, kAny, true},
        Case{"DportOther", [](FibRule& r) { r.dport = {54, 54}; }, kAny, false},
        Case{"TunnelIdIsNeverASockets", [](FibRule& r) { r.tun_id = 5; }, kAny, false},
        Case{"L3mdevOutsideAVrf", [](FibRule& r) { r.l3mdev = true; }, kAny, false}),
    [](const auto& chosen) { return std::string(chosen.param.name); });

TEST(FibRules, ActionsAnswerWithTheirErrno) {
  RulesNet t;
  FibRule r = t.rule();
  r.dst = prefix("9.0.0.1/32");
  r.action = RuleAction::unreachable;
  t.net.rules->add(r);
  r.dst = prefix("9.0.0.2/32");
  r.action = RuleAction::prohibit;
  t.net.rules->add(r);
  r.dst = prefix("9.0.0.3/32");
  r.action = RuleAction::blackhole;
  t.net.rules->add(r);
  r.dst = prefix("9.0.0.4/32");
  r.action = RuleAction::nop;
  t.net.rules->add(r);
  EXPECT_EQ(t.get("9.0.0.1"), "ENETUNREACH");
  EXPECT_EQ(t.get("9.0.0.2"), "EACCES");
  EXPECT_EQ(t.get("9.0.0.3"), "EINVAL");
  EXPECT_EQ(t.get("9.0.0.4"), "va via 10.77.0.2 src 10.77.0.1");
}

TEST(FibRules, GotoGoesForwardAndAMissingTargetIsPassedOver) {
  RulesNet t;
  FibRule jump = t.rule(10);
  jump.action = RuleAction::goto_;
  jump.goto_target = 30;
  t.net.rules->add(jump);
  FibRule skipped = t.rule(20);
  skipped.action = RuleAction::prohibit;
  t.net.rules->add(skipped);
  EXPECT_EQ(t.get("8.8.8.8"), "EACCES");  // nothing at 30 yet
  t.net.rules->add(t.rule(30));
  EXPECT_EQ(t.get("8.8.8.8"), "vb via 10.78.0.2 src 10.78.0.1");
}

TEST(FibRules, GotoNeverGoesBack) {
  RulesNet t;
  FibRule target = t.rule(10);
  target.action = RuleAction::nop;
  t.net.rules->add(target);
  FibRule back = t.rule(15);
  back.action = RuleAction::goto_;
  back.goto_target = 10;
  t.net.rules->add(back);
  EXPECT_EQ(t.get("8.8.8.8"), "va via 10.77.0.2 src 10.77.0.1");
}

TEST(FibRules, SuppressTakesBackShortPrefixesAndGroups) {
  RulesNet t;
  FibRule r = t.rule();
  r.suppress_prefixlength = 0;
  t.net.rules->add(r);
  t.add(RouteTestNet::via("9.0.0.0/8", "10.78.0.3", 3, 200));
  EXPECT_EQ(t.get("8.8.8.8"), "va via 10.77.0.2 src 10.77.0.1");
  EXPECT_EQ(t.get("9.8.8.8"), "vb via 10.78.0.3 src 10.78.0.1");
  Link grouped = t.net.dev->by_index(3)->link();
  grouped.group = 7;
  t.net.dev->set_link(grouped);
  t.net.rules->remove(r);
  r.suppress_ifgroup = 7;
  t.net.rules->add(r);
  EXPECT_EQ(t.get("9.8.8.8"), "va via 10.77.0.2 src 10.77.0.1");
}

TEST(FibRules, ThrowGoesOnWithTheNextRule) {
  RulesNet t;
  t.net.rules->add(t.rule());
  t.add(RouteTestNet::special("8.8.0.0/16", RouteType::throw_, 200));
  EXPECT_EQ(t.get("8.8.8.8"), "va via 10.77.0.2 src 10.77.0.1");
  EXPECT_EQ(t.get("8.9.8.8"), "vb via 10.78.0.2 src 10.78.0.1");
}

// In a namespace whose rules were never touched, local and main are one trie (kernel 6.18 answers
// `ip route get 127.5.1.1` with the device of a 127.5.0.0/16 route, and with lo once there is any
// rule of one's own).
TEST(FibRules, UntouchedRulesLookUpLocalAndMainAsOne) {
  RulesNet t;
  t.add(RouteTestNet::via("10.77.0.1/32", "10.78.0.9", 3));
  t.add(RouteTestNet::via("127.5.0.0/16", "10.78.0.9", 3));
  EXPECT_EQ(t.get("127.5.1.1"), "vb via 10.78.0.9 src 10.78.0.1");
  EXPECT_EQ(t.get("10.77.0.1"), "lo src 10.77.0.1");  // equal length: local first
  FibRule other = t.rule(500);
  other.dst = prefix("99.0.0.0/8");
  t.net.rules->add(other);
  EXPECT_EQ(t.get("127.5.1.1"), "lo src 127.0.0.1");
}

TEST(FibRules, StayInOrderOfPriorityThenArrival) {
  RulesNet t;
  FibRule a = t.rule(100);
  a.mark = 1;
  FibRule b = t.rule(100);
  b.mark = 2;
  t.net.rules->add(a);
  t.net.rules->add(t.rule(50));
  t.net.rules->add(b);
  const std::vector<FibRule>& all = t.net.rules->all();
  ASSERT_EQ(all.size(), 6U);
  EXPECT_EQ(all[1].priority, 50U);
  EXPECT_EQ(all[2].mark, 1U);
  EXPECT_EQ(all[3].mark, 2U);
}

}  // namespace
}  // namespace txp
