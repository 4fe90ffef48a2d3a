// SPDX-License-Identifier: Apache-2.0
// iproute2's names of tables, protocols, scopes, realms, DSCPs and groups: the built-in ones, then
// those of /etc/iproute2 (and /usr/share/iproute2), read once a process.
#pragma once

#include <cstdint>
#include <string>

namespace txp {

enum class RtTable : std::uint8_t { tables, protos, scopes, realms, dsfield, groups };

// "main", or the number as `ip` prints one without a name. Thread safety: any thread.
std::string rt_name(RtTable table, std::uint32_t number);
// A DSCP (six bits) by the name of its dsfield value.
std::string dscp_name(std::uint8_t dscp);

}  // namespace txp
