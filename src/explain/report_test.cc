// SPDX-License-Identifier: Apache-2.0
#include "explain/report.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <nlohmann/json.hpp>

namespace txp {
namespace {

using testing::HasSubstr;
using testing::Not;
using Json = nlohmann::ordered_json;

Explanation sent() {
  Explanation x;
  x.flow.src = Ip4::parse("10.77.0.1");
  x.flow.dst = *Ip4::parse("10.77.0.2");
  x.flow.dport = 53;
  x.flow.len = 100;
  ReportStage route;
  route.stage = Stage::ip_route_output_flow;
  route.len = 100;
  route.result = "ok";
  route.by = {{"rule", {{"priority", 32766}}, "from all lookup main"},
              {"route", {{"table", 254}}, "10.77.0.0/24 dev va proto kernel scope link"}};
  route.out = {{"dev", "va"}, {"gateway", nullptr}, {"src", "10.77.0.1"}, {"mtu", 1500}};
  ReportStage nf;
  nf.stage = Stage::nf_local_out;
  nf.result = "accept";
  nf.also = {{"nft-rule", {{"handle", 6}}, "udp dport 123 drop"}};
  x.stages = {route, nf};
  x.verdict = Verdict::sent;
  x.frames = {{"va", 1, std::vector<std::uint8_t>(142, 0xab)}};
  x.masked = {"udp.sport"};
  return x;
}

std::vector<std::string> keys(const Json& j) {
  std::vector<std::string> k;
  for (const auto& [key, value] : j.items()) k.push_back(key);
  return k;
}

TEST(ExplanationJson, HasTheContractsKeysInItsOrder) {
  const Json j = Json::parse(explanation_json(sent()));
  EXPECT_EQ(keys(j),
            (std::vector<std::string>{"flow", "stages", "verdict", "frames", "errno", "reason",
                                      "dropped_at", "unknown", "masked", "change"}));
  EXPECT_EQ(keys(j["flow"]),
            (std::vector<std::string>{"proto", "src", "sport", "dst", "dport", "len"}));
  EXPECT_EQ(
      j["flow"].dump(),
      R"({"proto":"udp","src":"10.77.0.1","sport":null,"dst":"10.77.0.2","dport":53,"len":100})");
  EXPECT_EQ(j["stages"][0]["stage"], "ip_route_output_flow");
  EXPECT_EQ(j["stages"][0]["by"][0].dump(),
            R"({"kind":"rule","priority":32766,"text":"from all lookup main"})");
  EXPECT_EQ(j["stages"][0]["by"][1]["table"], 254);
  EXPECT_EQ(j["stages"][0]["out"].dump(),
            R"({"dev":"va","gateway":null,"src":"10.77.0.1","mtu":1500})");
  EXPECT_EQ(j["stages"][1]["also"][0].dump(),
            R"({"kind":"nft-rule","handle":6,"matched":false,"text":"udp dport 123 drop"})");
  EXPECT_EQ(j["verdict"], "sent");
  EXPECT_EQ(j["frames"][0]["len"], 142);
  EXPECT_EQ(j["frames"][0]["hex"].get<std::string>().size(), 284U);
  EXPECT_TRUE(j["errno"].is_null());
  EXPECT_TRUE(j["reason"].is_null());
  EXPECT_TRUE(j["dropped_at"].is_null());
  EXPECT_EQ(j["unknown"].dump(), "[]");
  EXPECT_EQ(j["masked"].dump(), R"(["udp.sport"])");
}

TEST(ExplanationJson, EndsAreNamedAsTheKernelNamesThem) {
  Explanation x = sent();
  x.verdict = Verdict::error;
  x.error = Errno{ENETUNREACH};
  x.reason = DropReason::IP_OUTNOROUTES;
  x.dropped_at = Stage::qdisc_enqueue;
  x.flow.sport = 1234;
  x.flow.src.reset();
  const Json j = Json::parse(explanation_json(x));
  EXPECT_EQ(j["errno"], "ENETUNREACH");
  EXPECT_EQ(j["reason"], "IP_OUTNOROUTES");
  EXPECT_EQ(j["dropped_at"], "qdisc_enqueue");
  EXPECT_EQ(j["flow"]["sport"], 1234);
  EXPECT_TRUE(j["flow"]["src"].is_null());
}

TEST(ExplanationJson, BytesThatAreNoUtf8StayAnAnswer) {
  Explanation x = sent();
  x.frames[0].dev = "v\xff";
  EXPECT_TRUE(Json::accept(explanation_json(x)));
}

TEST(ExplanationText, SaysWhatDecidedAndTheVerdict) {
  const std::string text = explanation_text(sent(), Detail::normal, false);
  EXPECT_THAT(text, HasSubstr("udp 10.77.0.1:* > 10.77.0.2:53, 100 bytes\n"));
  EXPECT_THAT(text, HasSubstr("dev va, gateway none, src 10.77.0.1, mtu 1500\n"));
  EXPECT_THAT(text, HasSubstr("32766: from all lookup main\n"));
  EXPECT_THAT(text, HasSubstr("\nsent: 1 frame leaves on va, 142 bytes\n"));
  EXPECT_THAT(text, Not(HasSubstr("udp dport 123")));
  EXPECT_THAT(text, Not(HasSubstr("\x1b")));
}

TEST(ExplanationText, DetailGrowsWithTheOption) {
  const Explanation x = sent();
  EXPECT_EQ(explanation_text(x, Detail::minimal, false), "sent: 1 frame leaves on va, 142 bytes\n");
  const std::string detailed = explanation_text(x, Detail::detailed, false);
  EXPECT_THAT(detailed, HasSubstr("no match: handle 6: udp dport 123 drop"));
  EXPECT_THAT(detailed, HasSubstr("    0000  ab ab"));
  EXPECT_THAT(detailed, HasSubstr("random, shown as zero: udp.sport"));
  EXPECT_THAT(explanation_text(x, Detail::normal, true),
              HasSubstr("\x1b[1;32msent\x1b[0m: 1 frame"));
}

TEST(ExplanationText, EveryVerdictHasItsSentence) {
  Explanation x = sent();
  x.verdict = Verdict::error;
  x.error = Errno{EADDRNOTAVAIL};
  x.failed_call = "bind";
  EXPECT_THAT(verdict_sentence(x),
              HasSubstr("error: bind fails with EADDRNOTAVAIL (Cannot assign"));
  x.failed_call.clear();
  x.dropped_at = Stage::udp_sendmsg;
  EXPECT_THAT(verdict_sentence(x), HasSubstr("the send call fails with EADDRNOTAVAIL"));
  x.verdict = Verdict::dropped;
  x.reason = DropReason::NEIGH_FAILED;
  EXPECT_EQ(verdict_sentence(x), "dropped at udp_sendmsg: NEIGH_FAILED");
  x.verdict = Verdict::unknown;
  x.unknown = {{"qdisc", {}, "qdisc tbf 8001: dev va root"}};
  EXPECT_EQ(verdict_sentence(x), "unknown: not implemented here: qdisc tbf 8001: dev va root");
  x.verdict = Verdict::queued;
  ReportStage wait;
  wait.stage = Stage::neigh_resolve_output;
  wait.result = "queued";
  ReportStage next;
  next.stage = Stage::ip_finish_output2;
  next.result = "ok";
  next.out = {{"nexthop", "10.77.0.9"}};
  x.stages = {next, wait};
  EXPECT_EQ(verdict_sentence(x),
            "queued: it waits at neigh_resolve_output until 10.77.0.9 has a hardware address");
}

TEST(ExplanationHtml, IsOnePageWithEveryStageAndNoForeignMarkup) {
  Explanation x = sent();
  x.stages[0].by[0].text = "<script>alert(1)</script>";
  const std::string html = explanation_html(x);
  EXPECT_THAT(html, Not(HasSubstr("<script")));
  EXPECT_THAT(html, HasSubstr("&lt;script&gt;"));
  EXPECT_THAT(html, Not(HasSubstr("http")));
  for (const StageInfo& s : kPath) {
    const auto box = HasSubstr(std::string(s.name) + "</text>");
    if (!walks(s.walker, false, false))
      EXPECT_THAT(html, Not(box));
    else
      EXPECT_THAT(html, box);
  }
  EXPECT_THAT(html, HasSubstr("</html>\n"));
}

}  // namespace
}  // namespace txp
