// SPDX-License-Identifier: Apache-2.0
#include <nlohmann/json.hpp>

#include "explain/report.h"

namespace txp {
namespace {

using Json = nlohmann::ordered_json;

Json json(const FieldValue& v) {
  return std::visit([](const auto& x) { return Json(x); }, v);
}

Json json(const Fields& fields) {
  Json j = Json::object();
  for (const auto& [key, value] : fields) j[key] = json(value);
  return j;
}

Json json(const ReportObject& o) {
  Json j{{"kind", o.kind}};
  for (const auto& [key, value] : o.fields) j[key] = json(value);
  j["text"] = o.text;
  if (!o.detail.empty()) j["expressions"] = o.detail;
  return j;
}

Json json(const ReportStage& s) {
  Json by = Json::array();
  for (const ReportObject& o : s.by) by.push_back(json(o));
  Json also = Json::array();
  for (const ReportObject& o : s.also) {
    Json looked_at{{"kind", o.kind}};
    for (const auto& [key, value] : o.fields) looked_at[key] = json(value);
    looked_at["matched"] = false;
    looked_at["text"] = o.text;
    if (!o.detail.empty()) looked_at["expressions"] = o.detail;
    also.push_back(std::move(looked_at));
  }
  // All of them always, so that a script need not ask whether a key is there.
  return Json{{"stage", name(s.stage)}, {"layer", s.layer},   {"result", s.result},
              {"by", std::move(by)},    {"out", json(s.out)}, {"also", std::move(also)}};
}

std::string hex(const std::vector<std::uint8_t>& bytes) {
  constexpr char kDigits[] = "0123456789abcdef";
  std::string text;
  text.reserve(bytes.size() * 2);
  for (const std::uint8_t b : bytes) {
    text += kDigits[b >> 4];
    text += kDigits[b & 0xf];
  }
  return text;
}

template <typename T, typename F>
Json or_null(const std::optional<T>& value, F to) {
  return value ? Json(to(*value)) : Json(nullptr);
}

}  // namespace

std::string explanation_json(const Explanation& x) {
  Json flow{{"proto", name(x.flow.proto)},
            {"src", or_null(x.flow.src_text(), [](const std::string& a) { return a; })},
            {"sport", or_null(x.flow.sport, [](std::uint16_t p) { return p; })},
            {"dst", x.flow.dst_text()},
            {"dport", x.flow.dport},
            {"len", x.flow.len}};
  Json j{{"flow", std::move(flow)}, {"stages", Json::array()}};
  for (const ReportStage& s : x.stages) j["stages"].push_back(json(s));
  j["verdict"] = name(x.verdict);
  const auto list = [](const std::vector<ReportFrame>& frames) {
    Json all = Json::array();
    for (const ReportFrame& f : frames)
      all.push_back(Json{{"dev", f.dev}, {"len", f.bytes.size()}, {"hex", hex(f.bytes)}});
    return all;
  };
  j["frames"] = list(x.frames);
  j["errno"] = or_null(x.error, [](Errno e) { return e.name(); });
  j["reason"] = or_null(x.reason, [](DropReason r) { return name(r); });
  j["dropped_at"] = or_null(x.dropped_at, [](Stage s) { return name(s); });
  j["unknown"] = Json::array();
  for (const ReportObject& o : x.unknown) j["unknown"].push_back(json(o));
  j["masked"] = x.masked;
  const std::string change = smallest_change(x);
  j["change"] = change.empty() ? Json(nullptr) : Json(change);
  if (!x.inner_frames.empty()) j["inner_frames"] = list(x.inner_frames);
  if (!x.failed_call.empty()) j["failed_call"] = x.failed_call;
  // Names of devices and files come from outside: bytes that are no UTF-8 are replaced.
  return j.dump(-1, ' ', false, Json::error_handler_t::replace);
}

}  // namespace txp
