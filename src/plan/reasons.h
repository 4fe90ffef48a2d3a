// SPDX-License-Identifier: Apache-2.0
// Why a datagram walks instead of flying, and what ends a flow plan: two lists of names, from which
// counters and reports are made.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <string_view>

namespace txp {

// X(name): in reports as it stands here.
// clang-format off
#define TXP_WALK(X) \
  X(first)     /* the flow has no plan yet, or no longer */ \
  X(off)       /* plans are switched off */ \
  X(message)   /* flags or control messages */ \
  X(trace)     /* a trace wants to see every stage */ \
  X(socket)    /* unbound, corked, an error pending, no room */ \
  X(fragments) /* none of its flow was cut into as many fragments yet */ \
  X(size)      /* empty, or more than one MTU */ \
  X(route)     /* a next hop that changes by itself, a learnt MTU that expires */ \
  X(netfilter) /* a verdict that may differ from packet to packet */ \
  X(neighbour) /* not resolved */ \
  X(queue)     /* a transmit queue that depends on the CPU */ \
  X(filter)    /* tc filters, or a discipline that tells packets apart */ \
  X(copies)    /* a copy goes to this host */ \
  X(form)      /* options, segmentation, stamps, or headers that a template cannot give */ \
  X(ipv6)      /* an IPv6 socket: every datagram walks */ \
  X(room)      /* too many ways counted differently (FlightShapes) */

#define TXP_BASIS(X) \
  X(socket)    /* options, bind, connect: Sock::plan_generation */ \
  X(route)     /* routes and next-hop objects */ \
  X(rule)      /* policy rules */ \
  X(exception) /* learnt path MTUs */ \
  X(address)   /* addresses, groups and sysctls of devices */ \
  X(link)      /* devices: flags, MTU, features, drivers, what the engine cannot follow there */ \
  X(filter)    /* disciplines and filters */ \
  X(netfilter) /* hooks and rules */ \
  X(neighbour) /* states and hardware addresses */ \
  X(sysctl)    /* the namespace's */ \
  X(obstacle)  /* IPsec policies, cgroup programs */
// clang-format on

#define X(name) name,
enum class Walk : std::uint8_t { TXP_WALK(X) };
enum class Basis : std::uint8_t { TXP_BASIS(X) };
#undef X
#define X(name) std::string_view(#name),
inline constexpr std::array kWalkNames = {TXP_WALK(X)};
inline constexpr std::array kBasisNames = {TXP_BASIS(X)};
#undef X
#undef TXP_WALK
#undef TXP_BASIS
inline constexpr std::size_t kWalkCount = kWalkNames.size();
inline constexpr std::size_t kBasisCount = kBasisNames.size();

}  // namespace txp
