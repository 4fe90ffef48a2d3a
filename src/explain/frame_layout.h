// SPDX-License-Identifier: Apache-2.0
// Where the IP packet lies in a frame, by its device's type (include/uapi/linux/if_arp.h).
#pragma once

#include <cstddef>
#include <cstdint>

#include "wire/ethernet.h"

namespace txp {

inline constexpr std::uint16_t kArphrdEther = 1;
inline constexpr std::uint16_t kArphrdLoopback = 772;

constexpr bool has_ethernet_header(std::uint16_t link_type) {
  return link_type == kArphrdEther || link_type == kArphrdLoopback;
}
constexpr std::size_t link_header_len(std::uint16_t link_type) {
  return has_ethernet_header(link_type) ? kEthHlen : 0;
}

}  // namespace txp
