// SPDX-License-Identifier: Apache-2.0
#include "watch/drop_reasons.h"

#include <bpf/btf.h>
#include <fmt/format.h>

#include <string_view>

namespace txp {

DropReasons::DropReasons(const btf* kernel) {
  const int id = btf__find_by_name_kind(kernel, "skb_drop_reason", BTF_KIND_ENUM);
  if (id < 0) return;
  const btf_type* type = btf__type_by_id(kernel, static_cast<std::uint32_t>(id));
  const struct btf_enum* values = btf_enum(type);
  for (int i = 0; i < btf_vlen(type); ++i) {
    std::string_view name = btf__name_by_offset(kernel, values[i].name_off);
    for (const std::string_view prefix : {"SKB_NOT_DROPPED_YET", "SKB_DROP_REASON_", "SKB_"})
      if (name.starts_with(prefix) && name.size() > prefix.size()) {
        name.remove_prefix(prefix.size());
        break;
      }
    names_.emplace(static_cast<std::uint32_t>(values[i].val), name);
  }
}

std::string DropReasons::name(std::uint32_t reason) const {
  if (const auto it = names_.find(reason); it != names_.end()) return it->second;
  if (reason >> 16 != 0)
    return fmt::format("SUBSYSTEM_{}_REASON_{}", reason >> 16, reason & 0xffff);
  return fmt::format("REASON_{}", reason);
}

}  // namespace txp
