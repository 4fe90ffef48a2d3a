// SPDX-License-Identifier: Apache-2.0
// The attributes of a link that only its kind knows. Pure.
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <span>
#include <string_view>

#include "base/result.h"
#include "dev/link.h"

namespace txp {

// IFLA_INFO_DATA of `kind`. Null: a kind that the engine does not know.
[[nodiscard]] Result<std::shared_ptr<const LinkInfo>> decode_link_info(
    std::string_view kind, std::span<const std::uint8_t> data);
// IFLA_INFO_SLAVE_DATA of a bridge's port, and IFLA_PROTINFO of an AF_BRIDGE message.
[[nodiscard]] Result<BridgePort> decode_bridge_port(std::span<const std::uint8_t> attrs);
// IFLA_AF_SPEC of an AF_BRIDGE message.
[[nodiscard]] Result<std::vector<BridgeVlan>> decode_bridge_vlans(
    std::span<const std::uint8_t> attrs);

}  // namespace txp
