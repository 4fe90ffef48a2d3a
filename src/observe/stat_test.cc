// SPDX-License-Identifier: Apache-2.0
#include "observe/stat.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <nlohmann/json.hpp>

#include "net.h"
#include "observe/counters.h"
#include "observe/stat_file.h"

namespace txp {
namespace {

using testing::HasSubstr;

Json sample() {
  return Json::parse(R"({
    "source": "txpath",
    "stages": {"ip_output": {"packets": 3, "bytes": 384, "drops": {"NEIGH_FAILED": 2},
                             "ns": {"p50": null, "p99": null}}},
    "snmp": {"Udp": {"OutDatagrams": 3, "InErrors": 0}},
    "devices": {"va": {"tx_packets": 1, "tx_bytes": 142, "driver": {"ring_full": 4}, "qdiscs": [
        {"handle": "8001:", "parent": "root", "kind": "pfifo", "bytes": 142, "packets": 1,
         "drops": 5, "overlimits": 6, "requeues": 7, "backlog_bytes": 8, "backlog_packets": 9}]}},
    "sockets": [{"local": "0.0.0.0", "local_port": 68, "peer": "0.0.0.0", "peer_port": 0,
                 "tx_queue": 1, "rx_queue": 2, "drops": 0}],
    "fallback": {}, "plans": {"flown": 0, "walked": 3, "invalidated": 0},
    "conservation": {"sent": 3, "delivered": 1, "dropped": 2, "queued": 0}})");
}

TEST(Stat, ReportOfANetHasTheContractsKeys) {
  Net net(Net::Options{.clock = Clock::manual()});
  born(net, 2);
  delivered(net, 2);
  const Json j = stat_report(net);
  for (const char* key : {"stages", "snmp", "devices", "fallback", "plans", "conservation"})
    EXPECT_TRUE(j.contains(key)) << key;
  EXPECT_EQ(j["stages"].size(), kStageCount);
  for (const char* key : {"packets", "bytes", "drops", "ns"})
    EXPECT_TRUE(j["stages"]["ip_output"].contains(key)) << key;
  EXPECT_TRUE(j["snmp"]["Udp"].contains("OutDatagrams"));
  EXPECT_EQ(j["conservation"].dump(), R"({"sent":2,"delivered":2,"dropped":0,"queued":0})");
  EXPECT_EQ(j["plans"].dump(),
            R"({"flown":0,"walked":0,"invalidated":0,"walked_by":{},"invalidated_by":{}})");
}

TEST(Stat, KernelsReportHasTheSameForm) {
  const auto j = kernel_stat_report();
  ASSERT_TRUE(j) << j.error().what;
  EXPECT_EQ((*j)["source"], "kernel");
  EXPECT_TRUE((*j)["snmp"]["Udp"]["OutDatagrams"].is_number_unsigned());
  EXPECT_TRUE((*j)["snmp"]["IpExt"]["OutOctets"].is_number_unsigned());
  EXPECT_TRUE((*j)["devices"]["lo"]["tx_packets"].is_number_unsigned());
}

TEST(Stat, ReportsOfSeveralProcessesAddUp) {
  Json sum = nullptr;
  add_report(sum, sample());
  add_report(sum, sample());
  EXPECT_EQ(sum["stages"]["ip_output"]["packets"], 6);
  EXPECT_EQ(sum["stages"]["ip_output"]["drops"]["NEIGH_FAILED"], 4);
  EXPECT_TRUE(sum["stages"]["ip_output"]["ns"]["p50"].is_null());
  ASSERT_EQ(sum["devices"]["va"]["qdiscs"].size(), 1U);
  EXPECT_EQ(sum["devices"]["va"]["qdiscs"][0]["drops"], 10);
  EXPECT_EQ(sum["devices"]["va"]["qdiscs"][0]["handle"], "8001:");
  EXPECT_EQ(sum["sockets"].size(), 2U);
  EXPECT_EQ(sum["conservation"]["sent"], 6);
}

TEST(StatFormat, NstatPrintsWhatIsNotZero) {
  EXPECT_EQ(format_stat(sample(), StatFormat::nstat),
            "#kernel\nUdpOutDatagrams                 3                  0.0\n");
}

TEST(StatFormat, TcPrintsAsTcDashS) {
  EXPECT_EQ(format_stat(sample(), StatFormat::tc),
            "qdisc pfifo 8001: dev va root\n"
            " Sent 142 bytes 1 pkt (dropped 5, overlimits 6 requeues 7) \n"
            " backlog 8b 9p requeues 7\n");
}

TEST(StatFormat, SsAndEthtoolPrintAsThoseToolsDo) {
  EXPECT_THAT(format_stat(sample(), StatFormat::ss), HasSubstr("UNCONN  2       1"));
  EXPECT_THAT(format_stat(sample(), StatFormat::ss), HasSubstr("0.0.0.0:68"));
  EXPECT_THAT(format_stat(sample(), StatFormat::ethtool), HasSubstr("     tx_packets: 1\n"));
  EXPECT_THAT(format_stat(sample(), StatFormat::ethtool), HasSubstr("     ring_full: 4\n"));
}

TEST(StatFormat, PrometheusNamesEveryStageAndReason) {
  const std::string text = format_stat(sample(), StatFormat::prometheus);
  EXPECT_THAT(text, HasSubstr("# TYPE txpath_stage_packets_total counter\n"));
  EXPECT_THAT(text,
              HasSubstr("txpath_stage_packets_total{source=\"txpath\",stage=\"ip_output\"} 3\n"));
  EXPECT_THAT(text, HasSubstr("txpath_drops_total{source=\"txpath\",stage=\"ip_output\","
                              "reason=\"NEIGH_FAILED\"} 2\n"));
  EXPECT_THAT(text, HasSubstr("# TYPE node_netstat_Udp_OutDatagrams untyped\n"));
  EXPECT_THAT(text, HasSubstr("node_netstat_Udp_OutDatagrams{source=\"txpath\"} 3\n"));
  EXPECT_THAT(text, HasSubstr("node_network_transmit_packets_total{source=\"txpath\","
                              "device=\"va\"} 1\n"));
  EXPECT_THAT(text, HasSubstr("txpath_packets_queued{source=\"txpath\"} 0\n"));
}

TEST(StatFormat, AReportThatLacksEverythingIsStillPrinted) {
  for (const Json& j : {Json(nullptr), Json::object(), Json::array(), Json(3)})
    for (std::size_t f = 0; f < kStatFormats.size(); ++f)
      EXPECT_NO_FATAL_FAILURE((void)format_stat(j, static_cast<StatFormat>(f)));
}

TEST(StatTable, ShowsStagesDropsAndConservation) {
  const std::string table = stat_table(sample());
  EXPECT_THAT(table, HasSubstr("ip_output"));
  EXPECT_THAT(table, HasSubstr("NEIGH_FAILED 2"));
  EXPECT_THAT(table, HasSubstr("conservation: 3 sent = 1 delivered + 2 dropped + 0 queued\n"));
}

TEST(StatFile, IsReadByOthersAndGoesWithItsWriter) {
  std::string dir = testing::TempDir() + "stat_file.XXXXXX";
  ASSERT_NE(::mkdtemp(dir.data()), nullptr);
  ASSERT_EQ(::setenv("XDG_RUNTIME_DIR", dir.c_str(), 1), 0);
  const std::size_t others = read_stat_files().size();
  {
    StatFile file;
    file.publish(sample(), "send");
    const auto all = read_stat_files();
    ASSERT_EQ(all.size(), others + 1);
    EXPECT_EQ(all[0]["command"], "send");
    EXPECT_EQ(all[0]["conservation"]["sent"], 3);
  }
  EXPECT_EQ(read_stat_files().size(), others);
  EXPECT_EQ(::rmdir(dir.c_str()), 0);  // nothing is left in it
}

}  // namespace
}  // namespace txp
