// SPDX-License-Identifier: Apache-2.0
// The kernel's protocol counters under the kernel's names: /proc/net/snmp, /proc/net/netstat
// and, as one group and name, /proc/net/snmp6.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <string_view>

namespace txp {

// X(group, name): `name` as /proc prints it in `group`.
// clang-format off
#define TXP_SNMP(X) \
  X(Ip, InReceives) \
  X(Ip, InHdrErrors) \
  X(Ip, InAddrErrors) \
  X(Ip, InUnknownProtos) \
  X(Ip, InDiscards) \
  X(Ip, InDelivers) \
  X(Ip, OutRequests) \
  X(Ip, OutDiscards) \
  X(Ip, OutNoRoutes) \
  X(Ip, ReasmTimeout) \
  X(Ip, ReasmReqds) \
  X(Ip, ReasmOKs) \
  X(Ip, ReasmFails) \
  X(Ip, FragOKs) \
  X(Ip, FragFails) \
  X(Ip, FragCreates) \
  X(Ip, OutTransmits) \
  X(Icmp, InMsgs) \
  X(Icmp, InErrors) \
  X(Icmp, InCsumErrors) \
  X(Icmp, InDestUnreachs) \
  X(Icmp, InTimeExcds) \
  X(Icmp, InParmProbs) \
  X(Icmp, InSrcQuenchs) \
  X(Icmp, InRedirects) \
  X(Icmp, InEchos) \
  X(Icmp, InEchoReps) \
  X(Icmp, OutMsgs) \
  X(Icmp, OutErrors) \
  X(Icmp, OutDestUnreachs) \
  X(Icmp, OutTimeExcds) \
  X(Icmp, OutParmProbs) \
  X(Icmp, OutEchoReps) \
  X(Udp, InDatagrams) \
  X(Udp, NoPorts) \
  X(Udp, InErrors) \
  X(Udp, OutDatagrams) \
  X(Udp, RcvbufErrors) \
  X(Udp, SndbufErrors) \
  X(Udp, InCsumErrors) \
  X(Udp, IgnoredMulti) \
  X(Udp, MemErrors) \
  X(IpExt, InNoRoutes) \
  X(IpExt, InTruncatedPkts) \
  X(IpExt, InMcastPkts) \
  X(IpExt, OutMcastPkts) \
  X(IpExt, InBcastPkts) \
  X(IpExt, OutBcastPkts) \
  X(IpExt, InOctets) \
  X(IpExt, OutOctets) \
  X(IpExt, InMcastOctets) \
  X(IpExt, OutMcastOctets) \
  X(IpExt, InBcastOctets) \
  X(IpExt, OutBcastOctets) \
  X(IpExt, InCsumErrors) \
  X(IpExt, InNoECTPkts) \
  X(IpExt, InECT1Pkts) \
  X(IpExt, InECT0Pkts) \
  X(IpExt, InCEPkts) \
  X(IpExt, ReasmOverlaps) \
  X(Ip6, InReceives) \
  X(Ip6, InHdrErrors) \
  X(Ip6, InNoRoutes) \
  X(Ip6, InAddrErrors) \
  X(Ip6, InUnknownProtos) \
  X(Ip6, InTruncatedPkts) \
  X(Ip6, InDiscards) \
  X(Ip6, InDelivers) \
  X(Ip6, OutRequests) \
  X(Ip6, OutDiscards) \
  X(Ip6, OutNoRoutes) \
  X(Ip6, ReasmTimeout) \
  X(Ip6, ReasmReqds) \
  X(Ip6, ReasmOKs) \
  X(Ip6, ReasmFails) \
  X(Ip6, FragOKs) \
  X(Ip6, FragFails) \
  X(Ip6, FragCreates) \
  X(Ip6, InMcastPkts) \
  X(Ip6, OutMcastPkts) \
  X(Ip6, InOctets) \
  X(Ip6, OutOctets) \
  X(Ip6, InMcastOctets) \
  X(Ip6, OutMcastOctets) \
  X(Ip6, InNoECTPkts) \
  X(Ip6, InECT1Pkts) \
  X(Ip6, InECT0Pkts) \
  X(Ip6, InCEPkts) \
  X(Ip6, OutTransmits) \
  X(Icmp6, InMsgs) \
  X(Icmp6, InErrors) \
  X(Icmp6, OutMsgs) \
  X(Icmp6, OutErrors) \
  X(Icmp6, InCsumErrors) \
  X(Icmp6, InDestUnreachs) \
  X(Icmp6, InPktTooBigs) \
  X(Icmp6, InTimeExcds) \
  X(Icmp6, InParmProblems) \
  X(Icmp6, InEchos) \
  X(Icmp6, InEchoReplies) \
  X(Icmp6, InNeighborSolicits) \
  X(Icmp6, InNeighborAdvertisements) \
  X(Icmp6, OutDestUnreachs) \
  X(Icmp6, OutPktTooBigs) \
  X(Icmp6, OutTimeExcds) \
  X(Icmp6, OutParmProblems) \
  X(Icmp6, OutEchoReplies) \
  X(Icmp6, OutNeighborSolicits) \
  X(Icmp6, OutNeighborAdvertisements) \
  X(Udp6, InDatagrams) \
  X(Udp6, NoPorts) \
  X(Udp6, InErrors) \
  X(Udp6, OutDatagrams) \
  X(Udp6, RcvbufErrors) \
  X(Udp6, SndbufErrors) \
  X(Udp6, InCsumErrors) \
  X(Udp6, IgnoredMulti) \
  X(Udp6, MemErrors)
// clang-format on

enum class Snmp : std::uint8_t {
#define X(group, name) group##name,
  TXP_SNMP(X)
#undef X
};

struct SnmpInfo {
  std::string_view group;
  std::string_view name;
};

inline constexpr std::array kSnmp = {
#define X(group, name) SnmpInfo{#group, #name},
    TXP_SNMP(X)
#undef X
};
inline constexpr std::size_t kSnmpCount = kSnmp.size();
#undef TXP_SNMP

}  // namespace txp
