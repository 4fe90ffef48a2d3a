// SPDX-License-Identifier: Apache-2.0
// ip6_finish_output2: a multicast's copy for this host, the count of what goes out, and the next
// hop's neighbour.
//
// Kernel twin: net/ipv6/ip6_output.c, ip6_finish_output2(); net/core/dev.c, dev_loopback_xmit().
// Differs: the loopback copy is a copy, not a clone. Drops: NEIGH_CREATEFAIL, NOMEM; a multicast of
// hop limit 0, or of a scope that does not leave the node, ends here on purpose (NOT_SPECIFIED).
#include "dev/netdevice.h"
#include "ip6/ip6.h"
#include "neigh/neighbour.h"
#include "net.h"
#include "netfilter/nf_hook.h"
#include "observe/trace.h"
#include "route/ip6_route.h"
#include "wire/ethernet.h"
#include "wire/ipv6.h"

namespace txp {
namespace {

constexpr std::size_t kLinkRoom = 16;  // LL_RESERVED_SPACE() of Ethernet

// The copy for this host. A packet of its own from here on, without the sender's charge and trace.
void loop_copy_back(Net& net, const Skb& skb) {
  SkbPtr copy = skb_copy(net, skb);
  if (!copy) return;  // skb_clone() failed: the kernel goes on without the copy
  copy->trace = nullptr;
  born(net);
  TxResult result = TxResult::success();
  if (nf_hook(net, NfHook::post_routing, copy, result))
    static_cast<void>(ip6_mc_loopback(net, std::move(copy)));
}

}  // namespace

TxResult ip6_mc_loopback(Net& net, SkbPtr skb) {
  skb->pkt_type = PacketType::loopback;
  skb->redirected_loop = true;
  delivered(net);
  netif_rx(net, std::move(skb));
  return TxResult::success();
}

TxResult ip6_finish_output2(Net& net, SkbPtr skb) {
  constexpr Stage kStage = Stage::ip6_finish_output2;
  enter(net, kStage, *skb);
  NetDevice& dev = *skb->rt.dev;
  if (skb->headroom() < kLinkRoom) {
    SkbPtr roomy = skb_copy(net, *skb, kLinkRoom);
    if (!roomy) {
      snmp(net, Snmp::Ip6OutDiscards);
      drop(net, kStage, std::move(skb), DropReason::NOMEM);
      return TxResult::error(ENOMEM);
    }
    if (skb->sk != nullptr) skb_set_owner_w(*roomy, *skb->sk);
    free_skb(std::exchange(skb, std::move(roomy)));
  }
  const Ipv6View ip(skb->network());
  const Ip6 daddr = ip.daddr();
  if (daddr.is_multicast()) {
    const bool loopback = (dev.flags() & kIffLoopback) != 0;
    const bool loop = skb->sk == nullptr || !skb->sk->inet6 || skb->sk->inet6->mc_loop;
    if (!loopback && loop && ipv6_chk_mcast_addr(dev, daddr)) {
      loop_copy_back(net, *skb);
      if (ip.hop_limit() == 0) {
        snmp(net, Snmp::Ip6OutDiscards);
        drop(net, kStage, std::move(skb), DropReason::NOT_SPECIFIED);
        return TxResult::success();
      }
    }
    snmp(net, Snmp::Ip6OutMcastPkts);
    snmp(net, Snmp::Ip6OutMcastOctets, skb->len);
    if (daddr.mc_scope() <= kIpv6ScopeNodelocal && !loopback) {
      drop(net, kStage, std::move(skb), DropReason::NOT_SPECIFIED);
      return TxResult::success();
    }
  }
  snmp(net, Snmp::Ip6OutTransmits);
  snmp(net, Snmp::Ip6OutOctets, skb->len);
  const Ip6 next_hop = skb->gateway6.is_any() ? daddr : skb->gateway6;
  if (skb->trace != nullptr) skb->trace->out(kStage, "nexthop", next_hop.str());
  Neighbour* neigh = net.neigh6->lookup(dev, next_hop);
  if (neigh == nullptr) neigh = net.neigh6->create(dev, next_hop, skb->trace);
  if (neigh == nullptr) {
    snmp(net, Snmp::Ip6OutNoRoutes);
    drop(net, kStage, std::move(skb), DropReason::NEIGH_CREATEFAIL);
    return TxResult::error(EINVAL);
  }
  if (skb->dst_pending_confirm) neigh_confirm(net, *neigh);
  return neigh_output(net, std::move(skb), *neigh);
}

}  // namespace txp
