// SPDX-License-Identifier: Apache-2.0
// The kernel's protocol counters under the kernel's names: /proc/net/snmp and /proc/net/netstat.
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
  X(IpExt, ReasmOverlaps)
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
