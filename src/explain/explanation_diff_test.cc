// SPDX-License-Identifier: Apache-2.0
#include "explain/explanation_diff.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <nlohmann/json.hpp>

namespace txp {
namespace {

using testing::HasSubstr;

Explanation by_route(const std::string& route) {
  Explanation x;
  ReportStage s;
  s.stage = Stage::ip_route_output_flow;
  s.result = "ok";
  s.by = {{"rule", {}, "from all lookup main"}, {"route", {}, route}};
  x.stages = {s};
  x.verdict = Verdict::sent;
  x.frames = {{"va", 1, {1, 2, 3}}};
  return x;
}

TEST(ExplanationDiff, EqualOnesSaySo) {
  EXPECT_TRUE(explanation_diff(by_route("a"), by_route("a")).empty());
  EXPECT_THAT(explanation_diff_text(by_route("a"), by_route("a"), false),
              HasSubstr("nothing changes"));
}

TEST(ExplanationDiff, AChangedObjectIsNamedOnceOnEachSide) {
  const auto changes = explanation_diff(by_route("old"), by_route("new"));
  ASSERT_EQ(changes.size(), 2U);
  EXPECT_EQ(changes[0].where, "ip_route_output_flow");
  EXPECT_THAT(changes[0].before, HasSubstr("old"));
  EXPECT_EQ(changes[0].after, "");
  EXPECT_THAT(changes[1].after, HasSubstr("new"));
}

TEST(ExplanationDiff, AStageThatIsNoLongerReachedAndTheVerdictAreTold) {
  Explanation error = by_route("a");
  error.verdict = Verdict::error;
  error.error = Errno{EACCES};
  error.frames.clear();
  Explanation sent = by_route("a");
  ReportStage output;
  output.stage = Stage::ip_output;
  output.result = "ok";
  sent.stages.push_back(output);
  const std::string text = explanation_diff_text(sent, error, false);
  EXPECT_THAT(text, HasSubstr("  ip_output\n    - walked\n"));
  EXPECT_THAT(text, HasSubstr("  frame 1\n    - va 010203\n"));
  EXPECT_THAT(text, HasSubstr("    + error: the send call fails with EACCES"));
  const auto j = nlohmann::json::parse(explanation_diff_json(sent, error));
  EXPECT_EQ(j["same"], false);
  EXPECT_EQ(j["verdict"]["after"], "error");
  EXPECT_TRUE(j["changes"][0]["after"].is_null());
}

}  // namespace
}  // namespace txp
