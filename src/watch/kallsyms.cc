// SPDX-License-Identifier: Apache-2.0
#include "watch/kallsyms.h"

#include <fmt/format.h>

#include <algorithm>
#include <charconv>
#include <fstream>
#include <iterator>
#include <string_view>

namespace txp {

Kallsyms::Kallsyms(const std::string& text) {
  std::string_view rest = text;
  while (!rest.empty()) {
    const std::string_view line = rest.substr(0, rest.find('\n'));
    rest.remove_prefix(std::min(rest.size(), line.size() + 1));
    // "ffffffff81000000 T _stext", a module's name may follow.
    std::uint64_t address = 0;
    const auto [end, error] = std::from_chars(line.data(), line.data() + line.size(), address, 16);
    const auto at = static_cast<std::size_t>(end - line.data());
    if (error != std::errc() || address == 0 || line.size() < at + 4) continue;
    if (line[at] != ' ' || line[at + 2] != ' ') continue;
    if (std::string_view("tTwW").find(line[at + 1]) == std::string_view::npos) continue;
    std::string_view name = line.substr(at + 3);
    name = name.substr(0, name.find_first_of("\t "));
    symbols_.push_back({address, static_cast<std::uint32_t>(names_.size())});
    names_.append(name).push_back('\0');
  }
  std::ranges::stable_sort(symbols_, {}, &Symbol::address);
}

Kallsyms Kallsyms::of_kernel() {
  std::ifstream file("/proc/kallsyms");
  return Kallsyms(std::string(std::istreambuf_iterator<char>(file), {}));
}

Kallsyms::Place Kallsyms::find(std::uint64_t address) const {
  auto it = std::ranges::upper_bound(symbols_, address, {}, &Symbol::address);
  if (it == symbols_.begin()) return {};
  --it;
  // Of several names for one address the first is the function's own.
  while (it != symbols_.begin() && std::prev(it)->address == it->address) --it;
  return {names_.c_str() + it->name, address - it->address};
}

std::string place_text(const Kallsyms& symbols, std::uint64_t address) {
  const Kallsyms::Place p = symbols.find(address);
  if (p.function.empty()) return fmt::format("{:#x}", address);
  return fmt::format("{}+{:#x}", p.function, p.offset);
}

std::string_view plain_function(std::string_view name) { return name.substr(0, name.find('.')); }

}  // namespace txp
