// SPDX-License-Identifier: Apache-2.0
// Why a packet ended: the kernel's SKB_DROP_REASON_* (include/net/dropreason-core.h) without the
// prefix, those that the send path and its receive side can meet, and ours where the kernel has
// none. Names only: numbers differ between kernels.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <string_view>

namespace txp {

// X(name, ours)
#define TXP_DROP_REASONS(X)                                                               \
  X(NOT_SPECIFIED, false)                                                                 \
  X(NO_SOCKET, false)                                                                     \
  X(SOCKET_FILTER, false)                                                                 \
  X(SOCKET_RCVBUFF, false)                                                                \
  X(PKT_TOO_SMALL, false)                                                                 \
  X(UDP_CSUM, false)                                                                      \
  X(NETFILTER_DROP, false)                                                                \
  X(OTHERHOST, false)                                                                     \
  X(IP_CSUM, false)                                                                       \
  X(IP_INHDR, false)                                                                      \
  X(IP_RPFILTER, false)                                                                   \
  X(IP_NOPROTO, false)                                                                    \
  X(PROTO_MEM, false)                                                                     \
  X(IP_OUTNOROUTES, false)                                                                \
  X(BPF_CGROUP_EGRESS, false)                                                             \
  X(NEIGH_CREATEFAIL, false)                                                              \
  X(NEIGH_FAILED, false)                                                                  \
  X(NEIGH_QUEUEFULL, false)                                                               \
  X(NEIGH_DEAD, false)                                                                    \
  X(NEIGH_HH_FILLFAIL, false)                                                             \
  X(TC_EGRESS, false)                                                                     \
  X(QDISC_DROP, false)                                                                    \
  X(QDISC_OVERLIMIT, false)                                                               \
  X(QDISC_CONGESTED, false)                                                               \
  X(FQ_BAND_LIMIT, false)                                                                 \
  X(FQ_HORIZON_LIMIT, false)                                                              \
  X(FQ_FLOW_LIMIT, false)                                                                 \
  X(UNHANDLED_PROTO, false)                                                               \
  X(SKB_CSUM, false)                                                                      \
  X(SKB_GSO_SEG, false)                                                                   \
  X(SKB_UCOPY_FAULT, false)                                                               \
  X(DEV_HDR, false)                                                                       \
  X(CPU_BACKLOG, false)                                                                   \
  X(DEV_READY, false)                                                                     \
  X(FULL_RING, false)                                                                     \
  X(NOMEM, false)                                                                         \
  X(HDR_TRUNC, false)                                                                     \
  X(ICMP_CSUM, false)                                                                     \
  X(INVALID_PROTO, false)                                                                 \
  X(IP_INADDRERRORS, false)                                                               \
  X(IP_INNOROUTES, false)                                                                 \
  X(IP_LOCAL_SOURCE, false)                                                               \
  X(IP_INVALID_SOURCE, false)                                                             \
  X(IP_LOCALNET, false)                                                                   \
  X(IP_INVALID_DEST, false)                                                               \
  X(IPV6DISABLED, false)                                                                  \
  X(IPV6_BAD_EXTHDR, false)                                                               \
  X(PKT_TOO_BIG, false)                                                                   \
  X(DUP_FRAG, false)                                                                      \
  X(FRAG_REASM_TIMEOUT, false)                                                            \
  X(QUEUE_PURGE, false)                                                                   \
  X(RECURSION_LIMIT, false)                                                               \
  X(SOCKET_CLOSE, false)                                                                  \
  X(NO_TX_TARGET, false)                                                                  \
  X(TXPATH_UNKNOWN, true)        /* the walk met what the engine does not implement */    \
  X(TXPATH_FRAG_SIBLING, true)   /* another fragment of its datagram was refused */       \
  X(TXPATH_DST_DISCARD, true)    /* dst_discard_out(): blackhole and dead routes */       \
  X(TXPATH_TC_STOLEN, true)      /* a tc action kept it: redirected, stolen, trapped */   \
  X(TXPATH_DEV_GONE, true)       /* the device went away under a waiting packet */        \
  X(TXPATH_DRIVER_ERROR, true)   /* the driver lost the frame (its system call failed) */ \
  X(TXPATH_FAULT_INJECTED, true) /* the fault wrapper dropped it on request */

enum class DropReason : std::uint8_t {
#define X(name, ours) name,
  TXP_DROP_REASONS(X)
#undef X
};

struct DropReasonInfo {
  std::string_view name;
  bool ours;  // not a kernel reason
};

inline constexpr std::array kDropReasons = {
#define X(name, ours) DropReasonInfo{#name, ours},
    TXP_DROP_REASONS(X)
#undef X
};
inline constexpr std::size_t kDropReasonCount = kDropReasons.size();
#undef TXP_DROP_REASONS

constexpr std::string_view name(DropReason r) {
  return kDropReasons[static_cast<std::size_t>(r)].name;
}

}  // namespace txp
