// SPDX-License-Identifier: Apache-2.0
#include "explain/rt_names.h"

#include <algorithm>
#include <array>
#include <filesystem>
#include <fstream>
#include <unordered_map>
#include <vector>

#include <fmt/format.h>

namespace txp {

namespace {

using Names = std::unordered_map<std::uint32_t, std::string>;
using AllNames = std::array<Names, 6>;

// "0x1f name", "31 name"; anything else is a comment. iproute2 bounds the number likewise.
void read_file(const std::filesystem::path& path, std::uint32_t max, Names& names) {
  std::ifstream in(path);
  std::string line;
  for (int n = 0; n < 100'000 && std::getline(in, line); ++n) {
    const std::size_t start = line.find_first_not_of(" \t");
    if (start == std::string::npos || line[start] == '#') continue;
    char* end = nullptr;
    const unsigned long number = std::strtoul(line.c_str() + start, &end, 0);
    if (end == line.c_str() + start || number > max) continue;
    const std::string rest(end);
    const std::size_t from = rest.find_first_not_of(" \t");
    if (from == 0 || from == std::string::npos || rest[from] == '#') continue;
    const std::size_t to = rest.find_first_of(" \t#\r", from);
    names[static_cast<std::uint32_t>(number)] = rest.substr(from, to - from);
  }
}

AllNames read_all() {
  struct File {
    const char* name;
    std::uint32_t max;
    Names builtin;
  };
  const std::array<File, 6> files{
      File{"rt_tables", 0xffffffff, {{253, "default"}, {254, "main"}, {255, "local"}}},
      File{"rt_protos", 255, {{0, "unspec"}, {1, "redirect"}, {2, "kernel"},      {3, "boot"},
                              {4, "static"}, {8, "gated"},    {9, "ra"},          {10, "mrt"},
                              {11, "zebra"}, {12, "bird"},    {13, "dnrouted"},   {14, "xorp"},
                              {15, "ntk"},   {16, "dhcp"},    {18, "keepalived"}, {42, "babel"},
                              {186, "bgp"},  {187, "isis"},   {188, "ospf"},      {189, "rip"},
                              {192, "eigrp"}}},
      File{"rt_scopes",
           255,
           {{0, "global"}, {255, "nowhere"}, {254, "host"}, {253, "link"}, {200, "site"}}},
      File{"rt_realms", 255, {{0, "unknown"}}},
      File{"rt_dsfield", 255, {{0, "0"}}},
      File{"group", 0xffffffff, {{0, "default"}}},
  };
  AllNames all;
  for (std::size_t i = 0; i < files.size(); ++i) {
    all[i] = files[i].builtin;
    for (const char* dir : {"/usr/share/iproute2", "/etc/iproute2"}) {
      const std::filesystem::path file = std::filesystem::path(dir) / files[i].name;
      read_file(file, files[i].max, all[i]);
      std::error_code error;
      std::vector<std::filesystem::path> more;
      for (std::filesystem::directory_iterator it(file.string() + ".d", error), end;
           !error && it != end; it.increment(error))
        if (it->path().extension() == ".conf") more.push_back(it->path());
      std::sort(more.begin(), more.end());
      for (const auto& path : more) read_file(path, files[i].max, all[i]);
    }
  }
  return all;
}

const Names& names_of(RtTable table) {
  static const AllNames all = read_all();
  return all[static_cast<std::size_t>(table)];
}

}  // namespace

std::string rt_name(RtTable table, std::uint32_t number) {
  const Names& names = names_of(table);
  if (const auto found = names.find(number); found != names.end()) return found->second;
  return table == RtTable::dsfield ? fmt::format("{:#04x}", number) : fmt::format("{}", number);
}

std::string dscp_name(std::uint8_t dscp) {
  const Names& names = names_of(RtTable::dsfield);
  const auto found = names.find(static_cast<std::uint32_t>(dscp) << 2);
  return found != names.end() ? found->second : fmt::format("{}", dscp);
}

}  // namespace txp
