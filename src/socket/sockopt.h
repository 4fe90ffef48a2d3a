// SPDX-License-Identifier: Apache-2.0
// Socket options by level. Kernel twins: net/core/sock.c, net/ipv4/ip_sockglue.c, net/ipv4/udp.c,
// net/ipv4/igmp.c.
#pragma once

#include <algorithm>
#include <cstdint>
#include <cstring>
#include <optional>
#include <span>

#include "base/result.h"
#include "socket/sock.h"

namespace txp {

using OptValue = std::span<const std::uint8_t>;
using OptRoom = std::span<std::uint8_t>;

// sk_set_prio_allowed(): whether `sk` may have `priority` (above 6 needs CAP_NET_ADMIN or RAW).
bool sk_set_prio_allowed(const Sock& sk, std::uint32_t priority);
// rt_tos2priority(): the priority that a TOS byte gives (RFC 1349 bits).
std::uint32_t rt_tos2priority(std::uint8_t tos);

// What sock_setsockopt() and sock_getsockopt() hand on, by level; sk.lock held. A getter answers
// the bytes that it wrote, cut to the room. kUnknown: the option exists in Linux and changes what
// is sent or received, and the engine does not have it. ENOPROTOOPT: no such option.
[[nodiscard]] SockResult<void> sk_setsockopt(Sock& sk, int optname, OptValue value);
[[nodiscard]] SockResult<std::size_t> sk_getsockopt(Sock& sk, int optname, OptRoom room);
[[nodiscard]] SockResult<void> ip_setsockopt(Sock& sk, int optname, OptValue value);
[[nodiscard]] SockResult<std::size_t> ip_getsockopt(Sock& sk, int optname, OptRoom room);
[[nodiscard]] SockResult<void> ipv6_setsockopt(Sock& sk, int optname, OptValue value);
[[nodiscard]] SockResult<std::size_t> ipv6_getsockopt(Sock& sk, int optname, OptRoom room);
[[nodiscard]] SockResult<void> udp_setsockopt(Sock& sk, int optname, OptValue value);
[[nodiscard]] SockResult<std::size_t> udp_getsockopt(Sock& sk, int optname, OptRoom room);

// IP_ADD_MEMBERSHIP and its kin.
[[nodiscard]] SockResult<void> ip_mc_join_group(Sock& sk, const Sock::Membership& m);
[[nodiscard]] SockResult<void> ip_mc_leave_group(Sock& sk, const Sock::Membership& m);
void ip_mc_drop_socket(Sock& sk);
void ipv6_mc_drop_socket(Sock& sk);
// ip_mc_source(): adds `source` to the filter of group `m`, or takes it away. `include`: only
// listed sources are heard, else all but them. Joining by a source joins the group.
[[nodiscard]] SockResult<void> ip_mc_source(Sock& sk, Sock::Membership m, Ip4 source, bool include,
                                            bool add, bool join);

// An option that is only kept, set and read back as 0 or 1.
struct FlagOption {
  int optname;
  SockFlag flag;
};
std::optional<SockFlag> find_flag(std::span<const FlagOption> options, int optname);

// The first bytes of `value` as a T; the caller has looked that they are there.
template <typename T>
T load(OptValue value) {
  T v;
  std::memcpy(&v, value.data(), sizeof v);
  return v;
}
// Writes `v`, cut to the room.
template <typename T>
std::size_t store(OptRoom room, const T& v) {
  const std::size_t n = std::min(room.size(), sizeof v);
  if (n != 0) std::memcpy(room.data(), &v, n);
  return n;
}

}  // namespace txp
