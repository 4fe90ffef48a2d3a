// SPDX-License-Identifier: Apache-2.0
// ip6_finish_output: what is larger than the MTU is segmented (GSO) or fragmented.
//
// Kernel twin: net/ipv6/ip6_output.c, ip6_finish_output(), __ip6_finish_output(),
// ip6_finish_output_gso_slowpath_drop(); include/net/ip6_route.h, ip6_skb_dst_mtu().
// Differs: a cgroup egress program makes the packet unknown. Drops: SKB_GSO_SEG.
#include <netinet/in.h>

#include "dev/netdevice.h"
#include "ip6/ip6.h"
#include "net.h"
#include "observe/trace.h"
#include "wire/ipv6.h"
#include "wire/udp.h"

namespace txp {
namespace {

TxResult segment_and_fragment(Net& net, SkbPtr skb, std::uint32_t mtu) {
  SkbPtr segments = skb_gso_segment(net, std::move(skb), Stage::ip6_finish_output);
  if (!segments) return TxResult::error(ENOMEM);
  TxResult first_error = TxResult::success();
  Skb* next = segments.release();
  while (next != nullptr) {
    SkbPtr segment(next);
    next = segment->next;
    segment->next = nullptr;
    const TxResult result = segment->len > mtu
                                ? ip6_fragment(net, std::move(segment), ip6_finish_output2)
                                : ip6_finish_output2(net, std::move(segment));
    if (!result.ok() && first_error.ok()) first_error = result;
  }
  return first_error;
}

}  // namespace

std::uint32_t ip6_skb_dst_mtu(const Skb& skb) {
  const Ipv6Pinfo* np = skb.sk != nullptr ? skb.sk->inet6.get() : nullptr;
  return np != nullptr && np->pmtudisc >= IPV6_PMTUDISC_PROBE ? skb.rt.dev->mtu() : skb.rt.mtu;
}

TxResult ip6_finish_output(Net& net, SkbPtr skb) {
  enter(net, Stage::ip6_finish_output, *skb);
  if (const auto* obstacles = net.obstacles(); obstacles != nullptr)
    for (const Net::Obstacle& o : *obstacles)
      if (o.stage == Stage::ip6_finish_output || o.stage == Stage::ip_finish_output)
        return unknown(net, Stage::ip6_finish_output, std::move(skb), o.kind, o.text);
  const std::uint32_t mtu = ip6_skb_dst_mtu(*skb);
  if (skb->is_gso()) {
    const std::size_t headers = skb->transport_header - skb->network_header + kUdpHlen;
    if (headers + skb->gso_size <= mtu) return ip6_finish_output2(net, std::move(skb));
    return segment_and_fragment(net, std::move(skb), mtu);
  }
  if (skb->len > mtu || (skb->frag_max_size != 0 && skb->len > skb->frag_max_size))
    return ip6_fragment(net, std::move(skb), ip6_finish_output2);
  return ip6_finish_output2(net, std::move(skb));
}

}  // namespace txp
