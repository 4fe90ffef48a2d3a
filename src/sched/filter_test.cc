// SPDX-License-Identifier: Apache-2.0
// Filters that the machine at hand may not have in its kernel, and the actions, on clsact and on a
// discipline.
#include <gtest/gtest.h>

#include <linux/tc_act/tc_mirred.h>
#include <linux/tc_act/tc_pedit.h>
#include <linux/tc_act/tc_skbedit.h>
#include <linux/tc_act/tc_vlan.h>
#include <linux/tc_ematch/tc_em_cmp.h>

#include "base/byteorder.h"
#include "observe/trace.h"
#include "sched/clsact.h"
#include "sched/shaper_bed.h"

namespace txp {
namespace {

using testing::attr;
using testing::attr_text;
using testing::attr_u32;
using testing::octets;
using testing::Octets;
using testing::root_qdisc;
using testing::ShaperBed;
using testing::operator+;
using Numbers = std::vector<int>;

constexpr std::uint32_t kEgress = 0xfffffff3;
constexpr std::uint16_t kAll = 3;

FilterSpec filter(const char* kind, std::uint16_t prio, Octets options,
                  std::uint16_t protocol = 0x0800) {
  FilterSpec f;
  f.ifindex = 2;
  f.parent = kEgress;
  f.kind = kind;
  f.handle = 1;
  f.prio = prio;
  f.protocol = protocol;
  f.options = std::move(options);
  f.text = std::string("filter ") + kind;
  return f;
}
Octets action(const char* kind, const Octets& options) {
  return attr(1, attr_text(TCA_ACT_KIND, kind) + attr(TCA_ACT_OPTIONS, options));
}
Octets gact(std::int32_t verdict) {
  tc_gact p{};
  p.action = verdict;
  return action("gact", attr(TCA_GACT_PARMS, octets(p)));
}

struct EgressBed : ShaperBed {
  void egress(std::vector<FilterSpec> filters) {
    QdiscSpec clsact;
    clsact.ifindex = 2;
    clsact.kind = "clsact";
    clsact.handle = 0xffff0000;
    clsact.parent = 0xfffffff1;
    const std::lock_guard guard(net.rtnl);
    net.dev->set_clsact(2, &clsact, std::move(filters));
  }
  std::uint64_t shot() const {
    return net.totals()
        .stages[static_cast<std::size_t>(Stage::dev_queue_xmit)]
        .drops[static_cast<std::size_t>(DropReason::TC_EGRESS)];
  }
};

TEST(Clsact, DropsAsTcEgressAndCounts) {
  EgressBed bed;
  bed.egress({filter("matchall", 1, attr(TCA_MATCHALL_ACT, gact(TC_ACT_SHOT)), kAll)});
  EXPECT_EQ(bed.send(1), TxResult::drop());
  EXPECT_EQ(bed.shot(), 1U);
  EXPECT_EQ(bed.dev->clsact->drops.load(), 1U);
  EXPECT_EQ(bed.dev->clsact->packets.load(), 1U);
  EXPECT_TRUE(bed.sent().empty());
  bed.egress({filter("matchall", 1, attr(TCA_MATCHALL_ACT, gact(TC_ACT_OK)), kAll)});
  EXPECT_TRUE(bed.send(2).ok());
  EXPECT_EQ(bed.dev->clsact->packets.load(), 2U) << "the figures stay";
  EXPECT_TRUE(bed.net.totals().conserved());
}

TEST(Clsact, ProtocolAndPriorityDecideTheOrder) {
  EgressBed bed;
  bed.egress({filter("matchall", 9, attr(TCA_MATCHALL_ACT, gact(TC_ACT_SHOT)), kAll),
              filter("matchall", 1, attr(TCA_MATCHALL_ACT, gact(TC_ACT_SHOT)), 0x0806),
              filter("matchall", 5, attr(TCA_MATCHALL_ACT, gact(TC_ACT_OK)))});
  EXPECT_TRUE(bed.send(1).ok()) << "pref 5 is asked before pref 9, and pref 1 is about ARP";
}

TEST(Clsact, GotoChainContinueAndJump) {
  EgressBed bed;
  FilterSpec other = filter("matchall", 1, attr(TCA_MATCHALL_ACT, gact(TC_ACT_SHOT)), kAll);
  other.chain = 7;
  bed.egress(
      {filter("matchall", 1, attr(TCA_MATCHALL_ACT, gact(TC_ACT_GOTO_CHAIN | 7)), kAll), other});
  EXPECT_EQ(bed.send(1), TxResult::drop());
  // "continue" is no match.
  bed.egress({filter("matchall", 1, attr(TCA_MATCHALL_ACT, gact(TC_ACT_UNSPEC)), kAll)});
  EXPECT_TRUE(bed.send(2).ok());
  // A chain that leads to itself ends in a drop, as in the kernel, and not in a hang.
  bed.egress({filter("matchall", 1, attr(TCA_MATCHALL_ACT, gact(TC_ACT_RECLASSIFY)), kAll)});
  EXPECT_EQ(bed.send(3), TxResult::drop());
}

TEST(Clsact, AnUnknownFilterIsNamedToTheTrace) {
  EgressBed bed;
  bed.egress({filter("bpf", 1, {}, kAll)});
  Trace trace(bed.net.clock);
  SkbPtr skb = bed.numbered(1);
  skb->trace = &trace;
  EXPECT_EQ(bed.send(std::move(skb)).errno_code(), kUnknown);
  ASSERT_EQ(trace.unknowns().size(), 1U);
  EXPECT_EQ(trace.unknowns()[0].text, "filter bpf");
  EXPECT_TRUE(bed.net.totals().conserved());
}

TEST(Fw, TheMarkChooses) {
  EgressBed bed;
  FilterSpec f =
      filter("fw", 1, attr(TCA_FW_ACT, gact(TC_ACT_SHOT)) + attr_u32(TCA_FW_MASK, 0xff), kAll);
  f.handle = 7;
  bed.egress({f});
  SkbPtr marked = bed.numbered(1);
  marked->mark = 0x107;
  EXPECT_EQ(bed.send(std::move(marked)), TxResult::drop());
  EXPECT_TRUE(bed.send(2).ok());
}

TEST(Flower, MatchesFieldsUnderMasks) {
  EgressBed bed;
  const auto port = [](std::uint16_t p) {
    return octets(static_cast<std::uint16_t>(p << 8 | p >> 8));
  };
  const auto flower = [&](const Octets& keys) {
    bed.egress({filter("flower", 1, keys + attr(TCA_FLOWER_ACT, gact(TC_ACT_SHOT)))});
    return !bed.send(1).ok();
  };
  const Octets ip =
      attr(TCA_FLOWER_KEY_ETH_TYPE, port(0x0800)) + attr(TCA_FLOWER_KEY_IP_PROTO, {17});
  EXPECT_TRUE(flower(ip + attr(TCA_FLOWER_KEY_UDP_DST, port(2))));
  EXPECT_FALSE(flower(ip + attr(TCA_FLOWER_KEY_UDP_DST, port(3))));
  EXPECT_TRUE(flower(ip + attr(TCA_FLOWER_KEY_IPV4_DST, {10, 0, 9, 9}) +
                     attr(TCA_FLOWER_KEY_IPV4_DST_MASK, {255, 255, 0, 0})));
  EXPECT_FALSE(flower(ip + attr(TCA_FLOWER_KEY_IPV4_SRC, {10, 0, 0, 2})));
  EXPECT_TRUE(flower(ip + attr(TCA_FLOWER_KEY_PORT_DST_MIN, port(1)) +
                     attr(TCA_FLOWER_KEY_PORT_DST_MAX, port(5))));
  EXPECT_FALSE(flower(attr(TCA_FLOWER_KEY_IP_PROTO, {6})));
  // A key that is not implemented makes the filter unknown, not a match.
  bed.egress({filter("flower", 1, ip + attr(TCA_FLOWER_KEY_VLAN_ID, port(5)))});
  EXPECT_EQ(bed.send(1).errno_code(), kUnknown);
}

TEST(Basic, ExpressionsOfEmatches) {
  EgressBed bed;
  const auto cmp = [](std::uint16_t flags, std::uint32_t val) {
    tcf_ematch_hdr h{};
    h.kind = TCF_EM_CMP;
    h.flags = flags;
    tcf_em_cmp c{};
    c.val = val;
    c.off = 2;  // the destination port
    c.align = TCF_EM_ALIGN_U16;
    c.layer = TCF_LAYER_TRANSPORT;
    c.opnd = TCF_EM_OPND_EQ;
    return octets(h) + octets(c);
  };
  const auto basic = [&](const std::vector<Octets>& matches) {
    tcf_ematch_tree_hdr hdr{};
    hdr.nmatches = static_cast<std::uint16_t>(matches.size());
    Octets list;
    for (std::size_t i = 0; i < matches.size(); ++i)
      list = list + attr(static_cast<unsigned>(i + 1), matches[i]);
    bed.egress({filter("basic", 1,
                       attr(TCA_BASIC_EMATCHES, attr(TCA_EMATCH_TREE_HDR, octets(hdr)) +
                                                    attr(TCA_EMATCH_TREE_LIST, list)) +
                           attr(TCA_BASIC_ACT, gact(TC_ACT_SHOT)))});
    return !bed.send(1).ok();
  };
  EXPECT_TRUE(basic({cmp(0, 2)}));
  EXPECT_FALSE(basic({cmp(0, 3)}));
  EXPECT_TRUE(basic({cmp(TCF_EM_INVERT, 3)}));
  EXPECT_TRUE(basic({cmp(TCF_EM_REL_OR, 3), cmp(0, 2)}));
  EXPECT_FALSE(basic({cmp(TCF_EM_REL_AND, 2), cmp(0, 3)}));
  // A container that points at itself is no tree.
  tcf_ematch_hdr loop{};
  loop.kind = TCF_EM_CONTAINER;
  EXPECT_TRUE(basic({octets(loop) + octets(std::uint32_t{0})}));
  EXPECT_EQ(bed.send(1).errno_code(), kUnknown);
}

TEST(Police, ConformsUntilTheBurstIsSpent) {
  EgressBed bed;
  tc_police p{};
  p.action = TC_ACT_SHOT;
  p.rate.rate = 46000;  // a frame a millisecond
  p.rate.linklayer = TC_LINKLAYER_ETHERNET;
  p.mtu = 2000;
  p.burst = static_cast<std::uint32_t>(2 * kMillisecond / 64);  // two frames
  const Octets options = attr(TCA_POLICE_TBF, octets(p)) + attr_u32(TCA_POLICE_RESULT, TC_ACT_OK);
  bed.egress({filter("matchall", 1, attr(TCA_MATCHALL_ACT, action("police", options)), kAll)});
  int passed = 0;
  for (int i = 0; i < 5; ++i) passed += bed.send(1).ok();
  EXPECT_EQ(passed, 2);
  bed.run_until(10 * kMillisecond);
  for (int i = 0; i < 5; ++i) passed += bed.send(1).ok();
  EXPECT_EQ(passed, 4);
  EXPECT_TRUE(bed.net.totals().conserved());
}

TEST(Skbedit, PriorityReachesTheDiscipline) {
  EgressBed bed;
  tc_skbedit p{};
  p.action = TC_ACT_PIPE;
  const Octets edit = attr(TCA_SKBEDIT_PARMS, octets(p)) + attr_u32(TCA_SKBEDIT_PRIORITY, 6) +
                      attr_u32(TCA_SKBEDIT_MARK, 5);
  bed.egress({filter("matchall", 1, attr(TCA_MATCHALL_ACT, action("skbedit", edit)), kAll)});
  bed.qdisc(root_qdisc("prio", testing::prio(3)));
  bed.dev->tx[0]->stopped = true;
  ASSERT_TRUE(bed.send(1).ok());
  EXPECT_EQ(dynamic_cast<ClassfulQdisc&>(bed.q()).classes()[0]->leaf->qlen(), 1U);
}

TEST(Pedit, SetsAWordUnderItsMask) {
  EgressBed bed;
  tc_pedit_sel sel{};
  sel.action = TC_ACT_PIPE;
  sel.nkeys = 1;
  tc_pedit_key key{};
  key.off = 8;            // ttl, protocol, checksum
  key.mask = 0xffffff00;  // keeps all but the first byte, in memory order
  key.val = 9;
  const Octets options = attr(TCA_PEDIT_PARMS, octets(sel) + octets(key));
  bed.egress({filter("matchall", 1, attr(TCA_MATCHALL_ACT, action("pedit", options)), kAll)});
  ASSERT_TRUE(bed.send(1).ok());
  EXPECT_EQ(bed.driver->frames[0][14 + 8], 9);
  EXPECT_EQ(bed.driver->frames[0][14 + 9], 17);
}

TEST(Vlan, PushesAndPopsATag) {
  EgressBed bed;
  tc_vlan p{};
  p.action = TC_ACT_PIPE;
  p.v_action = TCA_VLAN_ACT_PUSH;
  const Octets push = attr(TCA_VLAN_PARMS, octets(p)) +
                      attr(TCA_VLAN_PUSH_VLAN_ID, octets(std::uint16_t{100})) +
                      attr(TCA_VLAN_PUSH_VLAN_PRIORITY, {5});
  bed.egress({filter("matchall", 1, attr(TCA_MATCHALL_ACT, action("vlan", push)), kAll)});
  ASSERT_TRUE(bed.send(1).ok());
  const std::vector<std::uint8_t> f = bed.driver->frames[0];
  ASSERT_EQ(f.size(), 50U);
  EXPECT_EQ(load_be16(&f[12]), 0x8100);
  EXPECT_EQ(load_be16(&f[14]), 5 << 13 | 100);
  EXPECT_EQ(load_be16(&f[16]), 0x0800);
  p.v_action = TCA_VLAN_ACT_POP;
  const Octets pop = attr(TCA_VLAN_PARMS, octets(p));
  Octets both = attr(1, attr_text(TCA_ACT_KIND, "vlan") + attr(TCA_ACT_OPTIONS, push)) +
                attr(2, attr_text(TCA_ACT_KIND, "vlan") + attr(TCA_ACT_OPTIONS, pop));
  bed.egress({filter("matchall", 1, attr(TCA_MATCHALL_ACT, both), kAll)});
  ASSERT_TRUE(bed.send(1).ok());
  EXPECT_EQ(bed.driver->frames[1].size(), 46U);
  EXPECT_EQ(load_be16(&bed.driver->frames[1][12]), 0x0800);
}

TEST(Mirred, OnADisciplineToItsOwnDeviceIsNoDeadlock) {
  EgressBed bed;
  tc_mirred m{};
  m.action = TC_ACT_PIPE;
  m.eaction = TCA_EGRESS_MIRROR;
  m.ifindex = 2;
  const Octets mirror = action("mirred", attr(TCA_MIRRED_PARMS, octets(m)));
  FilterSpec f =
      filter("matchall", 1,
             attr(TCA_MATCHALL_ACT, mirror) + attr_u32(TCA_MATCHALL_CLASSID, 0x80010001), kAll);
  f.parent = 0x80010000;
  {
    const std::lock_guard guard(bed.net.rtnl);
    bed.net.dev->set_qdiscs(2, {root_qdisc("prio", testing::prio(3))}, {}, {f});
  }
  EXPECT_TRUE(bed.send(1).ok());
  EXPECT_EQ(bed.sent(), Numbers{1}) << "the copy would come back to the discipline that sends it";
  EXPECT_TRUE(bed.net.totals().conserved());
}

}  // namespace
}  // namespace txp
