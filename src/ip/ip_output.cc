// SPDX-License-Identifier: Apache-2.0
// ip_output and ip_mc_output: device and protocol, then the POST_ROUTING hooks; a multicast or
// broadcast datagram also goes back to this host's own listeners.
//
// Kernel twin: net/ipv4/ip_output.c, ip_output(), ip_mc_output(), ip_mc_finish_output();
// net/core/dev.c, dev_loopback_xmit().
// Differs: the loopback copy is a copy, not a clone. Drops: by the hooks; a multicast of TTL 0 ends
// here on purpose (NOT_SPECIFIED in the kernel, which frees it as a drop and answers success).
#include "dev/netdevice.h"
#include "ip/ip.h"
#include "net.h"
#include "netfilter/nf_hook.h"
#include "observe/trace.h"
#include "wire/ethernet.h"
#include "wire/ipv4.h"

namespace txp {
namespace {

void set_output_device(Skb& skb) {
  skb.dev = skb.rt.dev;
  skb.protocol = kEthPIp;
  if (skb.trace != nullptr) skb.trace->out(Stage::ip_output, "dev", skb.dev->name());
}

TxResult post_routing_and_finish(Net& net, SkbPtr skb) {
  TxResult result = TxResult::success();
  if (!nf_hook(net, NfHook::post_routing, skb, result)) return result;
  return ip_finish_output(net, std::move(skb));
}

// The copy for this host. A packet of its own from here on, without the sender's charge and trace.
void loop_back(Net& net, const Skb& skb) {
  SkbPtr copy = skb_copy(net, skb);
  if (!copy) return;  // skb_clone() failed: the kernel goes on without the copy
  copy->trace = nullptr;
  born(net);
  TxResult result = TxResult::success();
  if (nf_hook(net, NfHook::post_routing, copy, result))
    static_cast<void>(ip_mc_finish_output(net, std::move(copy)));
}

}  // namespace

TxResult ip_output(Net& net, SkbPtr skb) {
  enter(net, Stage::ip_output, *skb);
  set_output_device(*skb);
  return post_routing_and_finish(net, std::move(skb));
}

TxResult ip_mc_output(Net& net, SkbPtr skb) {
  enter(net, Stage::ip_output, *skb);
  set_output_device(*skb);
  if (skb->rt.is_multicast) {
    // sk_mc_loop(); the socket of a tunnel's outer packet wants it.
    const bool loop = skb->sk == nullptr || skb->encaps != 0 || skb->sk->mc_loop;
    if (loop && skb->rt.is_local) loop_back(net, *skb);
    if (Ipv4View(skb->network()).ttl() == 0) {
      drop(net, Stage::ip_output, std::move(skb), DropReason::NOT_SPECIFIED);
      return TxResult::success();
    }
  }
  if (skb->rt.is_broadcast) loop_back(net, *skb);
  return post_routing_and_finish(net, std::move(skb));
}

TxResult ip_mc_finish_output(Net& net, SkbPtr skb) {
  skb->pkt_type = PacketType::loopback;
  skb->redirected_loop = true;
  delivered(net);
  netif_rx(net, std::move(skb));
  return TxResult::success();
}

}  // namespace txp
