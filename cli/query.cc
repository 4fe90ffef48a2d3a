// SPDX-License-Identifier: Apache-2.0
// txpath query: asks a store of records.
#include <fmt/format.h>

#include <nlohmann/json.hpp>

#include "cli/command.h"
#include "records/record_store.h"

namespace txp::cli {
namespace {

constexpr std::string_view kQueryWords =
    R"(words, each narrows:
  drop | failure | trace        packets that ended; calls that failed; whole stories
  stage S  reason R  errno E    where and why
  from ADDR[:PORT]  to ADDR[:PORT]  dev D
  host H  command C  pid N  netns N  source txpath|kernel
  since T  until T              10m, 2h, 3d ago, or 2026-11-25T10:30 (with Z: UTC)
  limit N                       the last N records, or the N largest counts; 100, 0 is all
  by COLUMN,COLUMN...           counts instead of records, as in: by stage,reason
  id N                          everything about one)";

std::string json_line(const Json& j) {
  return j.dump(-1, ' ', false, Json::error_handler_t::replace) + "\n";
}

int tell_groups(const RecordQuery& q, const std::vector<RecordStore::Group>& groups, bool json) {
  std::string out;
  std::vector<std::size_t> widths;
  for (std::size_t i = 0; i < q.by.size(); ++i) {
    std::size_t width = q.by[i].size();
    for (const auto& g : groups) width = std::max(width, g.values[i].size());
    widths.push_back(width);
  }
  const auto row = [&](std::string_view count, std::string_view records,
                       const std::vector<std::string>& values) {
    std::string line = fmt::format("{:>12} {:>9}", count, records);
    for (std::size_t i = 0; i < values.size(); ++i)
      line += fmt::format("  {:<{}}", values[i].empty() ? "-" : values[i], widths[i]);
    line.erase(line.find_last_not_of(' ') + 1);
    for (char& c : line)
      if (static_cast<unsigned char>(c) < 0x20) c = '?';
    return line + "\n";
  };
  if (!json && !groups.empty()) out += row("count", "records", q.by);
  for (const auto& g : groups) {
    if (!json) {
      out += row(std::to_string(g.count), std::to_string(g.records), g.values);
      continue;
    }
    Json j = Json::object();
    for (std::size_t i = 0; i < q.by.size(); ++i)
      j[q.by[i]] = g.values[i].empty() ? Json(nullptr) : Json(g.values[i]);
    j["count"] = g.count;
    j["records"] = g.records;
    out += json_line(j);
  }
  return print(out);
}

int tell_records(const RecordQuery& q, const std::vector<StoredRecord>& found, bool json) {
  std::string out;
  if (!json && !q.id && !found.empty()) out += record_heading();
  for (const StoredRecord& r : found)
    out += json ? json_line(record_json(r)) : q.id ? record_story(r) : record_line(r);
  return print(out);
}

}  // namespace

int query(const Arguments& arguments) {
  std::vector<std::string> words;
  bool json = false;
  CLI::App app("Asks a store of records, which --record FILE of send, run and watch makes.",
               "query");
  app.add_option("words", words, "the store, and what is wanted of it, see below");
  app.add_flag("-j,--json", json, "JSON: one object a line");
  app.footer(std::string(kQueryWords));
  if (const auto code = parse(app, arguments)) return *code;
  if (words.empty()) return complain("query: the store is missing, write query FILE");
  const auto q = parse_record_query(std::span(words).subspan(1), Clock::monotonic().wall());
  if (!q) return complain("query: " + q.error().what);
  const auto store = RecordStore::open(words[0], RecordStore::Access::read);
  if (!store) return complain("query: " + store.error().what);

  int code = kOk;
  if (!q->by.empty()) {
    const auto groups = (*store)->count(*q);
    if (!groups) return complain("query: " + groups.error().what);
    code = tell_groups(*q, *groups, json);
  } else {
    const auto found = (*store)->find(*q);
    if (!found) return complain("query: " + found.error().what);
    code = tell_records(*q, *found, json);
    if (q->id && found->empty()) {
      complain(fmt::format("query: {} holds no such record {}", words[0], *q->id));
      return kNegative;
    }
  }
  const auto counts = (*store)->counts();
  if (!counts) return complain("query: " + counts.error().what);
  if (counts->lost != 0 && !q->id)
    warn(fmt::format("{} records were lost before they came here", counts->lost));
  return code;
}

}  // namespace txp::cli
