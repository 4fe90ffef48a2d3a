// SPDX-License-Identifier: Apache-2.0
#include "drivers/stacked.h"

#include <algorithm>
#include <string_view>

#include "dev/link.h"

namespace txp {
namespace {

constexpr std::uint16_t kArphrdEtherType = 1;

struct StackedKind {
  std::string_view name;
  std::uint16_t type;  // ARPHRD_*
  std::unique_ptr<Driver> (*make)();
};
constexpr StackedKind kStacked[] = {
    {"macvlan", kArphrdEtherType, make_macvlan},
    {"vlan", kArphrdEtherType, make_vlan_dev},
    {"bridge", kArphrdEtherType, make_bridge},
};

const StackedKind* kind_of(const Link& link) {
  const auto k = std::ranges::find(kStacked, link.kind, &StackedKind::name);
  return k != std::end(kStacked) && k->type == link.type ? &*k : nullptr;
}

}  // namespace

bool is_stacked(const Link& link) { return kind_of(link) != nullptr; }

std::string stacked_unknown(const Link& link) {
  if (link.kind == "macvlan") return "";
  if (!link.info) return "without its attributes";
  return "";
}

std::unique_ptr<Driver> make_stacked(const Link& link) { return kind_of(link)->make(); }

}  // namespace txp
