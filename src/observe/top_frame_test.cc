// SPDX-License-Identifier: Apache-2.0
#include "observe/top_frame.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <nlohmann/json.hpp>
#include <sstream>

namespace txp {
namespace {

using ::testing::HasSubstr;
using ::testing::Not;

Json top_report(std::uint64_t packets) {
  return Json{{"source", "txpath"},
              {"pids", {7}},
              {"stages",
               {{"ip_output",
                 {{"packets", packets},
                  {"bytes", packets * 100},
                  {"drops", {{"NEIGH_FAILED", 2U}}},
                  {"ns", {{"p50", 412}, {"p99", 51234}}}}}}},
              {"devices",
               {{"va",
                 {{"tx_packets", packets},
                  {"tx_bytes", packets * 142},
                  {"qdiscs",
                   {{{"handle", "5:"},
                     {"parent", "root"},
                     {"kind", "pfifo"},
                     {"packets", packets},
                     {"backlog_packets", 9U}}}}}}}},
              {"snmp", {{"Udp", {{"OutDatagrams", packets}}}}}};
}

TEST(TopFrame, ShowsRatesOfStagesQueuesAndProtocols) {
  const std::string frame = top_frame(top_report(1000), top_report(31000), {.seconds = 2});
  EXPECT_THAT(frame, HasSubstr("counters of txpath 7"));
  EXPECT_THAT(frame,
              HasSubstr("ip_output                15.0k    1500k        31000   412ns    51us"
                        "  NEIGH_FAILED 2\n"));
  EXPECT_THAT(frame, HasSubstr("  pfifo 5:               15.0k"));
  EXPECT_THAT(frame, HasSubstr("UdpOutDatagrams 15.0k/s\n"));
}

TEST(TopFrame, WithoutASecondReportThereAreNoRates) {
  EXPECT_THAT(top_frame(nullptr, top_report(5), {}), Not(HasSubstr("/s\n")));
  Json other = top_report(5);
  other["pids"] = {8};
  EXPECT_THAT(top_frame(other, top_report(500), {}), HasSubstr("ip_output                    -"));
}

TEST(TopFrame, FitsTheTerminal) {
  const std::string frame = top_frame(top_report(1), top_report(2), {.columns = 40, .rows = 3});
  EXPECT_EQ(std::ranges::count(frame, '\n'), 3);
  std::istringstream lines(frame);
  for (std::string line; std::getline(lines, line);) EXPECT_LE(line.size(), 40U);
}

TEST(TopFrame, StagesWithoutAPacketGiveWay) {
  Json now = top_report(2);
  now["stages"]["ip6_output"] = {{"packets", 0U}, {"bytes", 0U}};
  EXPECT_THAT(top_frame(top_report(1), now, {.rows = 8}), HasSubstr("ip6_output"));
  const std::string small = top_frame(top_report(1), now, {.rows = 7});
  EXPECT_THAT(small, Not(HasSubstr("ip6_output")));
  EXPECT_THAT(small, HasSubstr("pfifo"));
}

TEST(TopFrame, AReportThatLacksEverythingIsStillShown) {
  for (const Json& j : {Json(nullptr), Json::object(), Json::array(), Json(3)})
    EXPECT_FALSE(top_frame(j, j, {}).empty());
}

}  // namespace
}  // namespace txp
