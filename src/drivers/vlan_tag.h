// SPDX-License-Identifier: Apache-2.0
// A VLAN device's tag. Kernel twin: net/8021q/vlan.h, vlan_dev_get_egress_qos_mask().
#pragma once

#include <cstdint>

#include "dev/link_info.h"

namespace txp {

// TCI: the id, and the priority that the egress map gives to skb->priority.
inline std::uint16_t vlan_dev_tci(const VlanInfo& vlan, std::uint32_t priority) {
  for (const auto& [from, to] : vlan.egress_qos)
    if (from == priority) return static_cast<std::uint16_t>(vlan.id | to << 13);
  return vlan.id;
}

}  // namespace txp
