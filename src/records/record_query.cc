// SPDX-License-Identifier: Apache-2.0
#include "records/record_query.h"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <charconv>
#include <cstring>
#include <ctime>
#include <map>
#include <set>

#include "explain/flow_question.h"
#include "path.h"
#include "records/record.h"

namespace txp {
namespace {

constexpr std::int64_t kMostNanos = std::numeric_limits<std::int64_t>::max();

const RecordColumn* find_column(std::string_view name) {
  const auto at = std::ranges::find(kRecordColumns, name, &RecordColumn::name);
  return at != kRecordColumns.end() ? &*at : nullptr;
}

template <typename Names>
bool one_of(const Names& names, std::string_view name) {
  return std::ranges::find(names, name) != names.end();
}

std::optional<std::int64_t> ago(std::string_view text) {
  constexpr std::pair<char, std::int64_t> kUnits[] = {
      {'s', 1}, {'m', 60}, {'h', 3600}, {'d', 86400}};
  if (text.size() < 2) return std::nullopt;
  const auto unit = std::ranges::find(kUnits, text.back(), &std::pair<char, std::int64_t>::first);
  if (unit == std::end(kUnits)) return std::nullopt;
  const auto n = parse_number(text.substr(0, text.size() - 1),
                              static_cast<std::uint64_t>(kMostNanos / kSecond / unit->second));
  if (!n) return std::nullopt;
  return static_cast<std::int64_t>(*n) * unit->second * kSecond;
}

Result<void> address(const std::string& word, const std::string& text, const char* host,
                     const char* port, RecordQuery& q) {
  const auto parsed = parse_addr_port(text);
  if (!parsed) return fail(fmt::format("{} {}: {}", word, text, parsed.error().what));
  const std::string name = parsed->addr6 ? parsed->addr6->str() : parsed->addr.str();
  if (parsed->addr6 || !parsed->addr.is_zero()) q.equal.emplace_back(host, name);
  if (parsed->port) q.equal.emplace_back(port, std::int64_t{*parsed->port});
  return {};
}

Result<void> columns(const std::string& text, RecordQuery& q) {
  std::size_t from = 0;
  while (from <= text.size()) {
    const std::size_t comma = std::min(text.find(',', from), text.size());
    const std::string name = text.substr(from, comma - from);
    const RecordColumn* c = find_column(name);
    if (c == nullptr || name == "trace") {
      std::vector<std::string_view> known;
      for (const RecordColumn& k : kRecordColumns)
        if (k.name != "trace") known.push_back(k.name);
      return fail(
          fmt::format("by {}: a column is wanted, one of {}", text, fmt::join(known, ", ")));
    }
    q.by.push_back(name);
    from = comma + 1;
  }
  return {};
}

Result<void> take(const std::string& word, const std::string& value, Nanos now, RecordQuery& q) {
  if (word == "since" || word == "until") {
    const auto moment = parse_moment(value, now);
    if (!moment)
      return fail(fmt::format("{} {}: a time is wanted: 10m, 2h, 2026-11-25, 2026-11-25T10:30",
                              word, value));
    (word == "since" ? q.since : q.until) = moment;
    return {};
  }
  if (word == "from") return address(word, value, "src", "sport", q);
  if (word == "to") return address(word, value, "dst", "dport", q);
  if (word == "by") return columns(value, q);
  if (word == "limit" || word == "id") {
    const auto n = parse_number(value, std::uint64_t{1} << 62);
    if (!n) return fail(fmt::format("{} {}: a number is wanted", word, value));
    if (word == "limit") q.limit = static_cast<std::int64_t>(*n);
    if (word == "id") q.id = static_cast<std::int64_t>(*n);
    return {};
  }
  const auto c = std::ranges::find(kRecordColumns, word, &RecordColumn::word);
  if (word.empty() || c == kRecordColumns.end())
    return fail(fmt::format("{}: unknown word, see txpath query --help", word));
  if (!c->text()) {
    const auto n = parse_number(value, std::uint64_t{1} << 62);
    if (!n) return fail(fmt::format("{} {}: a number is wanted", word, value));
    q.equal.emplace_back(c->name, static_cast<std::int64_t>(*n));
    return {};
  }
  if (word == "kind") {
    if (!one_of(kRecordKinds, value))
      return fail(
          fmt::format("kind {}: one of {} is wanted", value, fmt::join(kRecordKinds, ", ")));
    q.kinds.push_back(value);
    return {};
  }
  if (word == "source" && !one_of(kRecordSources, value))
    return fail(
        fmt::format("source {}: one of {} is wanted", value, fmt::join(kRecordSources, ", ")));
  std::string wanted = value;
  if (word == "stage") {
    const auto stage = find_stage(value);
    if (!stage)
      return fail(fmt::format("stage {}: no such stage, docs/stages.md lists them", value));
    wanted = name(*stage);
  }
  q.equal.emplace_back(c->name, wanted);
  return {};
}

}  // namespace

std::optional<std::int64_t> parse_moment(const std::string& text, Nanos now) {
  if (const auto back = ago(text)) return now - *back;
  std::string plain = text;
  const bool utc = plain.ends_with('Z');
  if (utc) plain.pop_back();
  std::ranges::replace(plain, 'T', ' ');
  for (const char* form : {"%Y-%m-%d %H:%M:%S", "%Y-%m-%d %H:%M", "%Y-%m-%d"}) {
    std::tm tm{};
    tm.tm_isdst = -1;
    const char* end = ::strptime(plain.c_str(), form, &tm);
    if (end == nullptr || *end != 0) continue;
    const std::time_t seconds = utc ? ::timegm(&tm) : ::mktime(&tm);
    if (std::int64_t{seconds} > kMostNanos / kSecond || seconds < 0) return std::nullopt;
    return std::int64_t{seconds} * kSecond;
  }
  return std::nullopt;
}

Result<RecordQuery> parse_record_query(std::span<const std::string> words, Nanos now) {
  RecordQuery q;
  std::set<std::string> seen;
  for (std::size_t i = 0; i < words.size(); ++i) {
    if (one_of(kRecordKinds, words[i])) {
      if (!one_of(q.kinds, words[i])) q.kinds.push_back(words[i]);
      continue;
    }
    if (!seen.insert(words[i]).second) return fail(fmt::format("{}: given twice", words[i]));
    if (i + 1 == words.size()) {
      // An unknown word is the likelier mistake.
      if (auto known = take(words[i], "", now, q);
          !known && known.error().what.find("unknown word") != std::string::npos)
        return std::unexpected(known.error());
      return fail(fmt::format("{}: its value is missing", words[i]));
    }
    if (auto taken = take(words[i], words[i + 1], now, q); !taken)
      return std::unexpected(taken.error());
    ++i;
  }
  return q;
}

}  // namespace txp
