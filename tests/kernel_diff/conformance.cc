// SPDX-License-Identifier: Apache-2.0
#include "kernel_diff/conformance.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <filesystem>
#include <map>
#include <sstream>
#include <string_view>
#include <vector>

#include "kernel_diff/scenario.h"

namespace txp::kdiff {
namespace {

// A scenario's feature is its name's first word.
struct Feature {
  std::string_view word;
  std::string_view title;
};
constexpr auto kFeatures = std::to_array<Feature>({
    {"autobind", "Ephemeral ports"},
    {"bind", "Binding"},
    {"broadcast", "Broadcast"},
    {"checksum", "Checksums"},
    {"connect", "Connected sockets"},
    {"cork", "UDP_CORK and MSG_MORE"},
    {"destination", "Unusual destinations"},
    {"device", "Devices: MTU, offloads, carrier, names"},
    {"dontroute", "SO_DONTROUTE and MSG_DONTROUTE"},
    {"error", "Errors"},
    {"errqueue", "The error queue"},
    {"filter", "Filters and actions"},
    {"frag", "Fragments and DF"},
    {"gso", "UDP_SEGMENT"},
    {"icmp", "ICMP errors"},
    {"ip", "The IP id"},
    {"ip6", "IPv6"},
    {"local", "Delivery on this host"},
    {"multicast", "Multicast"},
    {"neigh", "Neighbours"},
    {"nft", "Rulesets"},
    {"oif", "Choosing the device"},
    {"options", "IP options"},
    {"pmtu", "Path MTU"},
    {"qdisc", "Disciplines"},
    {"random", "Found by random scenarios"},
    {"route", "Routes"},
    {"rule", "Policy rules"},
    {"scatter", "Scatter and gather"},
    {"source", "Source addresses"},
    {"timestamp", "Time stamps"},
    {"tos", "TOS"},
    {"ttl", "TTL"},
});

std::string_view title_of(std::string_view name) {
  const std::string_view word = name.substr(0, name.find('_'));
  const auto at = std::ranges::find(kFeatures, word, &Feature::word);
  return at == kFeatures.end() ? word : at->title;
}

Result<std::vector<Scenario>> load_all(const std::filesystem::path& folder) {
  std::vector<Scenario> all;
  if (!std::filesystem::is_directory(folder)) return all;
  for (const auto& entry : std::filesystem::directory_iterator(folder)) {
    if (entry.path().extension() != ".scn") continue;
    Result<Scenario> s = Scenario::load(entry.path().string());
    if (!s) return std::unexpected(s.error());
    all.push_back(std::move(*s));
  }
  std::ranges::sort(all, {}, &Scenario::name);
  return all;
}

// The comment lines below the first one.
std::string reason_of(const Scenario& s) {
  std::istringstream lines(s.source);
  std::string line;
  std::string text;
  std::getline(lines, line);
  while (std::getline(lines, line) && line.starts_with("# "))
    text += (text.empty() ? "" : " ") + line.substr(2);
  constexpr std::string_view kBegin = "Known to differ: ";
  return text.starts_with(kBegin) ? text.substr(kBegin.size()) : text;
}

}  // namespace

Result<std::string> conformance(const std::string& folder) {
  const Result<std::vector<Scenario>> agree = load_all(folder);
  if (!agree) return std::unexpected(agree.error());
  const Result<std::vector<Scenario>> known = load_all(std::filesystem::path(folder) / "known");
  if (!known) return std::unexpected(known.error());
  std::map<std::string_view, std::vector<const Scenario*>> features;
  for (const Scenario& s : *agree) features[title_of(s.name)].push_back(&s);

  std::string text = fmt::format(
      "# Conformance\n\n"
      "Where the engine and the Linux kernel were compared and cannot be told apart: {} "
      "scenarios.\n"
      "Each is played in both by the test `kernel_diff`, which compares every frame, every errno "
      "and\n"
      "every counter ([kernel_diff.md](kernel_diff.md) says how, and what is masked). Random "
      "scenarios\n"
      "go over the same ground without anybody's idea of what matters.\n\n"
      "This page is made by `build/bin/kernel_diff --conformance tests/scenarios` and tested to be "
      "so.\n\n"
      "| feature | scenarios |\n|---|---:|\n",
      agree->size());
  for (const auto& [title, scenarios] : features)
    text += fmt::format("| {} | {} |\n", title, scenarios.size());
  text += fmt::format("| all | {} |\n\n## Known differences\n\n", agree->size());
  if (known->empty()) text += "None.\n";
  for (const Scenario& s : *known)
    text += fmt::format("- **{}** (`{}`). {}\n", s.idea, s.name, reason_of(s));
  text += "\n## What agrees\n";
  for (const auto& [title, scenarios] : features) {
    text += fmt::format("\n### {}\n\n", title);
    for (const Scenario* s : scenarios) text += fmt::format("- {} (`{}`)\n", s->idea, s->name);
  }
  return text;
}

}  // namespace txp::kdiff
