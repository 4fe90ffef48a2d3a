// SPDX-License-Identifier: Apache-2.0
// ip_finish_output: what is larger than the MTU is segmented (GSO) or fragmented.
//
// Kernel twin: net/ipv4/ip_output.c, ip_finish_output(), ip_finish_output_gso(), ip_fragment();
// net/core/gso.c, skb_gso_validate_network_len().
// Differs: a cgroup egress program makes the packet unknown. Drops: PKT_TOO_BIG (DF set; the kernel
// gives no reason), SKB_GSO_SEG.
#include "dev/netdevice.h"
#include "ip/ip.h"
#include "net.h"
#include "observe/trace.h"
#include "wire/ipv4.h"
#include "wire/udp.h"

namespace txp {
namespace {

constexpr std::uint8_t kIcmpDestUnreach = 3;
constexpr std::uint8_t kIcmpFragNeeded = 4;

TxResult ip_fragment(Net& net, SkbPtr skb, std::uint32_t mtu) {
  const bool df = (Ipv4View(skb->network()).frag_off() & kIpDf) != 0;
  const bool forced = !skb->ignore_df || (skb->frag_max_size != 0 && skb->frag_max_size > mtu);
  if (!df || !forced) return ip_do_fragment(net, std::move(skb), ip_finish_output2);
  snmp(net, Snmp::IpFragFails);
  icmp_send(net, *skb, kIcmpDestUnreach, kIcmpFragNeeded, mtu);
  drop(net, Stage::ip_finish_output, std::move(skb), DropReason::PKT_TOO_BIG);
  return TxResult::error(EMSGSIZE);
}

// Segments that do not fit one by one are made here and fragmented each.
TxResult ip_finish_output_gso(Net& net, SkbPtr skb, std::uint32_t mtu) {
  const std::size_t headers = skb->transport_header - skb->network_header + kUdpHlen;
  if (headers + skb->gso_size <= mtu) return ip_finish_output2(net, std::move(skb));
  SkbPtr segments = skb_gso_segment(net, std::move(skb), Stage::ip_finish_output);
  if (!segments) return TxResult::error(ENOMEM);
  TxResult first_error = TxResult::success();
  Skb* next = segments.release();
  while (next != nullptr) {
    SkbPtr segment(next);
    next = segment->next;
    segment->next = nullptr;
    const TxResult result = ip_fragment(net, std::move(segment), mtu);
    if (!result.ok() && first_error.ok()) first_error = result;
  }
  return first_error;
}

}  // namespace

TxResult ip_finish_output(Net& net, SkbPtr skb) {
  enter(net, Stage::ip_finish_output, *skb);
  if (const auto* obstacles = net.obstacles(); obstacles != nullptr)
    for (const Net::Obstacle& o : *obstacles)
      if (o.stage == Stage::ip_finish_output)
        return unknown(net, Stage::ip_finish_output, std::move(skb), o.kind, o.text);
  const std::uint32_t mtu = ip_skb_dst_mtu(*skb);
  if (skb->is_gso()) return ip_finish_output_gso(net, std::move(skb), mtu);
  if (skb->len > mtu || skb->frag_max_size != 0) return ip_fragment(net, std::move(skb), mtu);
  return ip_finish_output2(net, std::move(skb));
}

}  // namespace txp
