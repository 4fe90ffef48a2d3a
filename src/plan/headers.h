// SPDX-License-Identifier: Apache-2.0
// A plan's header template: what differs from datagram to datagram, and the sums of what does not.
#pragma once

#include "base/byteorder.h"
#include "plan/plan.h"
#include "wire/ipv4.h"
#include "wire/udp.h"

namespace txp {

inline constexpr std::size_t kPlanHeadroom = 32;  // before the IP header, as ip_append_data()
inline constexpr std::size_t kPlanIpUdp = kIpHlen + kUdpHlen;
inline constexpr std::uint32_t kPlanMostMtu = 9216;

// What a packet's socket is charged, as ip_append_data() has it; `len`: from the IP header on.
inline std::uint32_t plan_truesize(const Net& net, std::size_t len) {
  return skb_truesize(net, static_cast<std::uint32_t>(len + 16 + 15));
}

// Fills ip_sum and udp_sum from the header.
inline void plan_sums(Plan& plan) {
  std::uint8_t* ip = plan.header.data() + plan.header.size() - kPlanIpUdp;
  Ipv4View view(ip);
  view.set_tot_len(0);
  view.set_id(0);
  view.set_check(0);
  if (plan.parts > 1) view.set_frag_off(0);
  plan.ip_sum = csum_partial({ip, kIpHlen}, 0);
  plan.udp_sum = csum_tcpudp_nofold(view.saddr().host, view.daddr().host, 0, kIpProtoUdp, 0);
  if (plan.check == Plan::Check::software) {
    UdpView udp(ip + kIpHlen);
    plan.udp_sum = csum_add(plan.udp_sum, std::uint32_t{udp.source()} + udp.dest());
  }
}

// Completes the IP header of a fragment that holds `len` bytes behind it.
inline void plan_patch_fragment(const Plan& plan, std::uint8_t* ip, std::uint16_t id,
                                std::size_t len, std::uint16_t frag_off) {
  const auto tot_len = static_cast<std::uint16_t>(kIpHlen + len);
  Ipv4View view(ip);
  view.set_tot_len(tot_len);
  view.set_id(id);
  view.set_frag_off(frag_off);
  view.set_check(csum_fold(csum_add(plan.ip_sum, std::uint32_t{tot_len} + id + frag_off)));
}

// Completes the UDP header at `at` for a payload of `len` bytes whose sum is `sum`.
inline void plan_patch_udp(const Plan& plan, std::uint8_t* at, std::size_t len, Csum sum) {
  const auto udp_len = static_cast<std::uint16_t>(kUdpHlen + len);
  UdpView udp(at);
  udp.set_len(udp_len);
  switch (plan.check) {
    case Plan::Check::software: {
      // The length counts in the pseudo-header and in UDP's own.
      const std::uint16_t check = csum_fold(csum_add(csum_add(plan.udp_sum, 2U * udp_len), sum));
      udp.set_check(check != 0 ? check : kCsumMangled0);
      break;
    }
    case Plan::Check::device:
      udp.set_check(static_cast<std::uint16_t>(~csum_fold(csum_add(plan.udp_sum, udp_len))));
      break;
    case Plan::Check::none: udp.set_check(0); break;
  }
}

// Completes the headers at `ip` for a payload of `len` bytes whose sum is `sum`.
inline void plan_patch(const Plan& plan, std::uint8_t* ip, std::uint16_t id, std::size_t len,
                       Csum sum) {
  const auto tot_len = static_cast<std::uint16_t>(kPlanIpUdp + len);
  Ipv4View view(ip);
  view.set_tot_len(tot_len);
  view.set_id(id);
  view.set_check(csum_fold(csum_add(plan.ip_sum, std::uint32_t{tot_len} + id)));
  plan_patch_udp(plan, ip + kIpHlen, len, sum);
}

}  // namespace txp
