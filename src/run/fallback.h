// SPDX-License-Identifier: Apache-2.0
// Why `txpath run` left a datagram to the kernel. The names are keys of "fallback" in the stat
// report (docs/run.md has the table).
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <string_view>

namespace txp {

enum class Fallback : std::uint8_t {
  none,
  NOT_IPV4,
  NAMESPACE,
  PRIVILEGE,
  ENGINE,
  CHILD,
  MIRROR_BEHIND,
  CALL,
  SOCKET_OPTION,
  CORK,
  SHUTDOWN,
  SOCKET_ERROR,
  ORDER,
  LOCAL,
  BROADCAST,
  MULTICAST,
  ROUTE_TTL,
  DEVICE,
  SHAPER,
  NEIGHBOUR,
  CONNTRACK,
  RULE_STATE,
  EGRESS_FILTER,
  UNKNOWN,
  SEND_BUFFER,
  ERRNO,
};

struct FallbackInfo {
  Fallback reason;
  std::string_view name;  // in the stat report
  std::string_view text;  // for --why, before the object's name
};

inline constexpr std::array kFallbacks = {
    FallbackInfo{Fallback::none, "", ""},
    FallbackInfo{Fallback::NOT_IPV4, "NOT_IPV4", "a UDP socket over IPv6"},
    FallbackInfo{Fallback::NAMESPACE, "NAMESPACE", "the socket is in another network namespace"},
    FallbackInfo{Fallback::PRIVILEGE, "PRIVILEGE", "a privilege is missing"},
    FallbackInfo{Fallback::ENGINE, "ENGINE", "the engine could not start"},
    FallbackInfo{Fallback::CHILD, "CHILD", "this process was made without fork()"},
    FallbackInfo{Fallback::MIRROR_BEHIND, "MIRROR_BEHIND", "the mirror of the namespace is behind"},
    FallbackInfo{Fallback::CALL, "CALL", "the call asks for what only the kernel does"},
    FallbackInfo{Fallback::SOCKET_OPTION, "SOCKET_OPTION",
                 "the socket has an option that only the kernel does"},
    FallbackInfo{Fallback::CORK, "CORK", "the datagram is corked"},
    FallbackInfo{Fallback::SHUTDOWN, "SHUTDOWN", "the socket was shut down"},
    FallbackInfo{Fallback::SOCKET_ERROR, "SOCKET_ERROR", "an error waits at the socket"},
    FallbackInfo{Fallback::ORDER, "ORDER", "earlier datagrams are still with the kernel"},
    FallbackInfo{Fallback::LOCAL, "LOCAL", "the destination is this host"},
    FallbackInfo{Fallback::BROADCAST, "BROADCAST", "a broadcast, which this host may hear too"},
    FallbackInfo{Fallback::MULTICAST, "MULTICAST", "a multicast, which this host may hear too"},
    FallbackInfo{Fallback::ROUTE_TTL, "ROUTE_TTL",
                 "the route has a hop limit, and whether IP_TTL overrides it cannot be read"},
    FallbackInfo{Fallback::DEVICE, "DEVICE", "nothing to send with on the device"},
    FallbackInfo{Fallback::SHAPER, "SHAPER", "a discipline that is shared with the kernel"},
    FallbackInfo{Fallback::NEIGHBOUR, "NEIGHBOUR", "the next hop is not resolved"},
    FallbackInfo{Fallback::CONNTRACK, "CONNTRACK", "connection tracking is on"},
    FallbackInfo{Fallback::RULE_STATE, "RULE_STATE",
                 "a firewall rule counts, limits or logs what the kernel sends"},
    FallbackInfo{Fallback::EGRESS_FILTER, "EGRESS_FILTER",
                 "a filter on the device acts on what the kernel sends"},
    FallbackInfo{Fallback::UNKNOWN, "UNKNOWN", "not implemented here"},
    FallbackInfo{Fallback::SEND_BUFFER, "SEND_BUFFER", "the device has no room"},
    FallbackInfo{Fallback::ERRNO, "ERRNO", "the engine would have failed"},
};

inline constexpr std::size_t kFallbackCount = kFallbacks.size();
constexpr const FallbackInfo& info(Fallback f) { return kFallbacks[static_cast<std::size_t>(f)]; }

namespace fallback_detail {
consteval bool in_enum_order() {
  for (std::size_t i = 0; i < kFallbackCount; ++i)
    if (static_cast<std::size_t>(kFallbacks[i].reason) != i) return false;
  return true;
}
static_assert(in_enum_order(), "kFallbacks lists the reasons in the order of enum Fallback");
}  // namespace fallback_detail

}  // namespace txp
