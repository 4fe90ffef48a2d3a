// SPDX-License-Identifier: Apache-2.0
#include <gtest/gtest.h>

#include <cerrno>

#include "watch/drop_stage.h"
#include "watch/flow.h"
#include "watch/kallsyms.h"
#include "watch/points.h"
#include "watch/watch.h"

namespace txp {
namespace {

TEST(Kallsyms, FindsTheFunctionThatHoldsAnAddress) {
  const Kallsyms k(
      "ffffffff81000000 T _stext\nffffffff81000100 t ip_fragment.constprop.0\n"
      "ffffffff81000200 D data\nffffffff81000300 T kfree\t[mod]\nnot a line\n");
  EXPECT_EQ(k.find(0xffffffff81000104).function, "ip_fragment.constprop.0");
  EXPECT_EQ(k.find(0xffffffff81000104).offset, 4U);
  EXPECT_EQ(k.find(0xffffffff81000250).function, "ip_fragment.constprop.0");  // data is no function
  EXPECT_EQ(k.find(0xffffffff81000301).function, "kfree");
  EXPECT_EQ(k.find(1).function, "");
  EXPECT_EQ(place_text(k, 0xffffffff81000305), "kfree+0x5");
  EXPECT_EQ(plain_function("ip_fragment.constprop.0"), "ip_fragment");
}

TEST(Kallsyms, HiddenAddressesAreNoNames) {
  const Kallsyms k("0000000000000000 T _stext\n0000000000000000 T kfree\n");
  EXPECT_TRUE(k.empty());
  EXPECT_EQ(place_text(k, 0x1234), "0x1234");
}

TEST(DropStage, ReasonOfOneStageWins) {
  EXPECT_EQ(drop_stage({.reason = "QDISC_OVERLIMIT", .function = "__dev_queue_xmit"}),
            Stage::qdisc_enqueue);
  EXPECT_EQ(drop_stage({.reason = "NEIGH_FAILED", .function = "arp_error_report"}),
            Stage::neigh_resolve_output);
}

TEST(DropStage, HookPointIsKnownByTheDevice) {
  EXPECT_EQ(drop_stage({.reason = "NETFILTER_DROP", .function = "nf_hook_slow", .no_dev = true}),
            Stage::nf_local_out);
  EXPECT_EQ(drop_stage({.reason = "NETFILTER_DROP", .function = "nf_hook_slow"}),
            Stage::nf_post_routing);
  EXPECT_EQ(drop_stage({.reason = "NETFILTER_DROP", .function = "nf_hook_slow", .received = true}),
            std::nullopt);
}

TEST(DropStage, FunctionThenLastPlaceThenNothing) {
  EXPECT_EQ(drop_stage({.reason = "NOT_SPECIFIED", .function = "ip_fragment.constprop.0"}),
            Stage::ip_finish_output);
  EXPECT_EQ(drop_stage({.reason = "NOT_SPECIFIED",
                        .function = "some_driver_xmit",
                        .last = Stage::dev_hard_start_xmit}),
            Stage::dev_hard_start_xmit);
  EXPECT_EQ(drop_stage({.reason = "NO_SOCKET",
                        .function = "udp_rcv",
                        .received = true,
                        .last = Stage::ndo_start_xmit}),
            std::nullopt);
}

TEST(DropStage, ErrorsThatOnlyOneStageGives) {
  EXPECT_EQ(error_stage(ENETUNREACH), Stage::ip_route_output_flow);
  EXPECT_EQ(error_stage(EAGAIN), Stage::ip_make_skb);
  EXPECT_EQ(error_stage(EPERM), std::nullopt);
}

TEST(WatchPoints, OnePointCountsAStagesPackets) {
  for (const StageInfo& stage : kPath) {
    int counting = 0;
    for (const WatchPoint& p : kWatchPoints)
      counting +=
          p.stage == stage.stage && (p.kind == PointKind::packet || p.kind == PointKind::entry);
    EXPECT_LE(counting, 1) << stage.name;
  }
}

TEST(WatchFlow, ReadsPortsOfFirstFragmentsOnly) {
  std::vector<std::uint8_t> f(60, 0);
  f[12] = 8;
  f[14] = 0x45;
  f[23] = 17;
  f[26] = 10;
  f[30] = 11;
  f[35] = 9;
  f[37] = 53;
  EXPECT_EQ(flow_text(read_flow(f).value()), "udp 10.0.0.0:9 > 11.0.0.0:53");
  f[21] = 185;  // 1480 bytes
  EXPECT_EQ(flow_text(read_flow(f).value()), "udp 10.0.0.0 > 11.0.0.0 frag 1480");
  EXPECT_FALSE(read_flow(std::span(f).first(20)));
}

TEST(WatchHist, PercentileIsTheUpperEndOfItsBucket) {
  WatchHist h;
  h.count = 100;
  h.max = 5000;
  h.bucket[5] = 50;                     // 5 ns
  h.bucket[(10 - 3 + 1) * 8 + 0] = 49;  // 1024 to 1151 ns
  h.bucket[(12 - 3 + 1) * 8 + 1] = 1;   // 4608 to 5119 ns
  EXPECT_EQ(h.percentile(0.5), 5U);
  EXPECT_EQ(h.percentile(0.9), 1151U);
  EXPECT_EQ(h.percentile(1), 5000U);
}

}  // namespace
}  // namespace txp
