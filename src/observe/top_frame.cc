// SPDX-License-Identifier: Apache-2.0
#include "observe/top_frame.h"

#include <fmt/format.h>

#include <algorithm>
#include <nlohmann/json.hpp>
#include <optional>
#include <vector>

#include "observe/report_fields.h"

namespace txp {
namespace {

constexpr const char* kTopBold = "1";
constexpr const char* kTopDim = "2";
constexpr const char* kTopRed = "31";

struct TopLine {
  std::string text;
  const char* paint = nullptr;
  bool spare = false;  // left out first, where the rows do not suffice
};

// Three digits and a unit, in at most six characters.
std::string short_number(double n) {
  constexpr const char* kUnits[] = {"", "k", "M", "G", "T"};
  std::size_t unit = 0;
  while (n >= 9999.5 && unit + 1 < std::size(kUnits)) {
    n /= 1000;
    ++unit;
  }
  if (unit == 0) return fmt::format("{:.0f}", n);
  return fmt::format("{:.{}f}{}", n, n < 100 ? 1 : 0, kUnits[unit]);
}

std::string short_time(const Json& ns) {
  if (!ns.is_number()) return "-";
  const double n = ns.get<double>();
  if (n < 9999.5) return fmt::format("{:.0f}ns", n);
  if (n < 9.9995e6) return fmt::format("{:.0f}us", n / 1e3);
  return fmt::format("{:.0f}ms", n / 1e6);
}

class Rates {
 public:
  Rates(bool known, double seconds) : known_(known && seconds > 0), seconds_(seconds) {}
  std::string of(const Json& before, const Json& now, const char* key) const {
    if (!known_) return "-";
    const std::uint64_t a = number(before, key), b = number(now, key);
    return short_number(b > a ? static_cast<double>(b - a) / seconds_ : 0);
  }

 private:
  const bool known_;
  const double seconds_;
};

std::string drops_words(const Json& drops) {
  std::string words;
  for (const auto& [reason, n] : drops.items())
    if (n.is_number_unsigned())
      words += fmt::format("{}{} {}", words.empty() ? "" : ", ", reason, n.get<std::uint64_t>());
  return words;
}

void stage_lines(const Json& before, const Json& now, const Rates& rates,
                 std::vector<TopLine>& lines) {
  const Json& stages = member(now, "stages");
  if (stages.empty()) return;
  lines.push_back({fmt::format("{:<22}{:>8}{:>9}{:>13}{:>8}{:>8}  {}", "stage", "pkt/s", "byte/s",
                               "packets", "p50", "p99", "drops"),
                   kTopDim});
  for (const auto& [stage, s] : stages.items()) {
    const Json& was = member(member(before, "stages"), stage.c_str());
    const std::string drops = drops_words(member(s, "drops"));
    const Json& ns = member(s, "ns");
    const bool quiet = number(s, "packets") == 0 && drops.empty();
    lines.push_back(
        {fmt::format("{:<22}{:>8}{:>9}{:>13}{:>8}{:>8}{}{}", stage, rates.of(was, s, "packets"),
                     rates.of(was, s, "bytes"), number(s, "packets"),
                     short_time(ns.value("p50", Json())), short_time(ns.value("p99", Json())),
                     drops.empty() ? "" : "  ", drops),
         quiet            ? kTopDim
         : !drops.empty() ? kTopRed
                          : nullptr,
         quiet});
  }
}

void queue_lines(const Json& before, const Json& now, const Rates& rates,
                 std::vector<TopLine>& lines) {
  lines.push_back({fmt::format("{:<22}{:>8}{:>9}{:>13}{:>8}{:>8}  {}", "queue", "pkt/s", "byte/s",
                               "packets", "drops", "wait", "bytes wait"),
                   kTopDim});
  for (const auto& [dev, d] : member(now, "devices").items()) {
    const Json& was_dev = member(member(before, "devices"), dev.c_str());
    lines.push_back({fmt::format(
        "{:<22}{:>8}{:>9}{:>13}{:>8}{:>8}", dev, rates.of(was_dev, d, "tx_packets"),
        rates.of(was_dev, d, "tx_bytes"), number(d, "tx_packets"), number(d, "tx_dropped"), "")});
    for (const Json& q : member(d, "qdiscs")) {
      const Json* was = &member(Json(), "");
      for (const Json& w : member(was_dev, "qdiscs"))
        if (text(w, "handle") == text(q, "handle") && text(w, "parent") == text(q, "parent"))
          was = &w;
      lines.push_back({fmt::format("  {:<20}{:>8}{:>9}{:>13}{:>8}{:>8}  {}",
                                   fmt::format("{} {}", text(q, "kind"), text(q, "handle")),
                                   rates.of(*was, q, "packets"), rates.of(*was, q, "bytes"),
                                   number(q, "packets"), number(q, "drops"),
                                   number(q, "backlog_packets"), number(q, "backlog_bytes")),
                       number(q, "drops") > 0 ? kTopRed : nullptr});
    }
  }
}

// What the protocols count, of all that moved.
void snmp_lines(const Json& before, const Json& now, const Rates& rates,
                std::vector<TopLine>& lines) {
  std::string words;
  for (const auto& [group, counters] : member(now, "snmp").items())
    for (const auto& [name, n] : counters.items()) {
      if (group == "Icmp" || name.starts_with("In")) continue;
      const Json& was = member(member(before, "snmp"), group.c_str());
      if (!n.is_number_unsigned() || number(was, name.c_str()) == n.get<std::uint64_t>()) continue;
      words += fmt::format("  {}{} {}/s", group, name, rates.of(was, counters, name.c_str()));
    }
  if (!words.empty()) lines.push_back({words.substr(2), nullptr});
}

std::string title(const Json& now) {
  std::string whose = text(now, "source");
  for (const Json& pid : member(now, "pids")) whose += " " + pid.dump();
  std::string line = fmt::format("txpath top: counters of {}", whose);
  if (const Json& c = member(now, "conservation"); !c.empty())
    line += fmt::format("   {} sent = {} delivered + {} dropped + {} queued", number(c, "sent"),
                        number(c, "delivered"), number(c, "dropped"), number(c, "queued"));
  return line;
}

}  // namespace

std::string top_frame(const Json& before, const Json& now, const TopOptions& options) {
  // After a change of whose counters they are there is nothing to compare.
  const bool same = before.is_object() && text(before, "source") == text(now, "source") &&
                    before.value("pids", Json()) == now.value("pids", Json());
  const Rates rates(same, options.seconds);
  const Json& was = same ? before : now;
  std::vector<TopLine> lines{{title(now), kTopBold}};
  stage_lines(was, now, rates, lines);
  queue_lines(was, now, rates, lines);
  snmp_lines(was, now, rates, lines);
  if (options.rows > 0 && lines.size() > options.rows) {
    std::erase_if(lines, [](const TopLine& l) { return l.spare; });
    lines.resize(std::min(lines.size(), options.rows));
  }
  std::string frame;
  for (TopLine& l : lines) {
    if (options.columns > 0 && l.text.size() > options.columns) l.text.resize(options.columns);
    frame += options.colour && l.paint != nullptr
                 ? fmt::format("\x1b[{}m{}\x1b[0m\n", l.paint, l.text)
                 : l.text + "\n";
  }
  return frame;
}

}  // namespace txp
