// SPDX-License-Identifier: Apache-2.0
#include "explain/explanation_diff.h"

#include <fmt/format.h>

#include <algorithm>
#include <nlohmann/json.hpp>

#include "explain/report.h"

namespace txp {
namespace {

using Changes = std::vector<ExplanationChange>;

std::vector<std::string> words(const std::vector<ReportObject>& objects) {
  std::vector<std::string> all;
  for (const ReportObject& o : objects)
    all.push_back(fmt::format("{:<9} {}", o.kind, object_line(o)));
  return all;
}

// What is in only one of two lists, each as a change of its own.
void compare_objects(std::string_view stage, const std::vector<std::string>& before,
                     const std::vector<std::string>& after, Changes& changes) {
  for (const std::string& b : before)
    if (std::ranges::find(after, b) == after.end())
      changes.push_back({std::string(stage), "by", b, ""});
  for (const std::string& a : after)
    if (std::ranges::find(before, a) == before.end())
      changes.push_back({std::string(stage), "by", "", a});
}

void compare_stage(const ReportStage& before, const ReportStage& after, Changes& changes) {
  const std::string_view stage = name(before.stage);
  if (before.result != after.result)
    changes.push_back({std::string(stage), "result", before.result, after.result});
  compare_objects(stage, words(before.by), words(after.by), changes);
  if (const std::string b = fields_line(before.out), a = fields_line(after.out); a != b)
    changes.push_back({std::string(stage), "out", b, a});
}

// The stages that are `stage`, in the order walked.
std::vector<const ReportStage*> visits(const Explanation& x, Stage stage) {
  std::vector<const ReportStage*> all;
  for (const ReportStage& s : x.stages)
    if (s.stage == stage) all.push_back(&s);
  return all;
}

void compare_stages(const Explanation& before, const Explanation& after, Changes& changes) {
  for (const StageInfo& row : kPath) {
    const auto b = visits(before, row.stage);
    const auto a = visits(after, row.stage);
    for (std::size_t i = 0; i < std::min(a.size(), b.size()); ++i)
      compare_stage(*b[i], *a[i], changes);
    if (a.size() == b.size()) continue;
    const auto times = [](std::size_t n) {
      return n == 0 ? std::string() : n == 1 ? "walked" : fmt::format("walked {} times", n);
    };
    changes.push_back({std::string(row.name), "walked", times(b.size()), times(a.size())});
  }
}

void compare_frames(const Explanation& before, const Explanation& after, Changes& changes) {
  const auto text = [](const Explanation& x, std::size_t i) {
    if (i >= x.frames.size()) return std::string();
    std::string hex;
    for (const std::uint8_t byte : x.frames[i].bytes) hex += fmt::format("{:02x}", byte);
    return fmt::format("{} {}", x.frames[i].dev, hex);
  };
  for (std::size_t i = 0; i < std::max(before.frames.size(), after.frames.size()); ++i)
    if (const std::string b = text(before, i), a = text(after, i); a != b)
      changes.push_back({fmt::format("frame {}", i + 1), "bytes", b, a});
}

// A frame's bytes are long: what is shown of them.
std::string shown(const ExplanationChange& c, const std::string& side) {
  constexpr std::size_t kMost = 100;
  if (c.what != "bytes" || side.size() <= kMost) return side;
  return side.substr(0, kMost) + "...";
}

bool same_walk(const ExplanationChange& a, const ExplanationChange& b) {
  return a.what == b.what && a.before == b.before && a.after == b.after;
}

}  // namespace

std::vector<ExplanationChange> explanation_diff(const Explanation& before,
                                                const Explanation& after) {
  Changes changes;
  compare_stages(before, after, changes);
  compare_frames(before, after, changes);
  if (const std::string b = verdict_sentence(before), a = verdict_sentence(after); a != b)
    changes.push_back({"verdict", "verdict", b, a});
  return changes;
}

std::string explanation_diff_text(const Explanation& before, const Explanation& after,
                                  bool colour) {
  const Changes changes = explanation_diff(before, after);
  if (changes.empty())
    return fmt::format("{}: nothing changes: {}\n", flow_line(after), verdict_sentence(after));
  std::string text = flow_line(after) + "\n";
  std::string_view where;
  const auto line = [&](char sign, std::string_view words) {
    if (words.empty()) return;
    const std::string plain = fmt::format("    {} {}", sign, words);
    text +=
        colour ? fmt::format("\x1b[{}m{}\x1b[0m\n", sign == '-' ? 31 : 32, plain) : plain + "\n";
  };
  for (std::size_t i = 0; i < changes.size(); ++i) {
    const ExplanationChange& c = changes[i];
    // A path that ends earlier, or later, is one change.
    std::size_t last = i;
    while (c.what == "walked" && last + 1 < changes.size() && same_walk(c, changes[last + 1]))
      ++last;
    if (last > i)
      text += fmt::format("  {} to {}\n", c.where, changes[last].where);
    else if (c.where != where)
      text += fmt::format("  {}\n", c.where);
    where = c.where;
    line('-', shown(c, c.before));
    line('+', shown(c, c.after));
    i = last;
  }
  return text;
}

std::string explanation_diff_json(const Explanation& before, const Explanation& after) {
  using Json = nlohmann::ordered_json;
  const auto side = [](const std::string& words) {
    return words.empty() ? Json(nullptr) : Json(words);
  };
  const Changes changes = explanation_diff(before, after);
  const Json explained = Json::parse(explanation_json(after));
  Json j{{"flow", explained["flow"]},
         {"same", changes.empty()},
         {"verdict", {{"before", name(before.verdict)}, {"after", name(after.verdict)}}},
         {"changes", Json::array()}};
  for (const ExplanationChange& c : changes)
    j["changes"].push_back(Json{{"where", c.where},
                                {"what", c.what},
                                {"before", side(c.before)},
                                {"after", side(c.after)}});
  return j.dump(-1, ' ', false, Json::error_handler_t::replace);
}

}  // namespace txp
