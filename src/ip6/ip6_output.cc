// SPDX-License-Identifier: Apache-2.0
// ip6_output: device and protocol, then the POST_ROUTING hooks.
//
// Kernel twin: net/ipv6/ip6_output.c, ip6_output().
// Differs: nothing. Drops: by the hooks; IPV6DISABLED.
#include "dev/netdevice.h"
#include "ip6/ip6.h"
#include "net.h"
#include "netfilter/nf_hook.h"
#include "observe/trace.h"
#include "route/ip6_route.h"
#include "wire/ethernet.h"

namespace txp {

TxResult ip6_output(Net& net, SkbPtr skb) {
  enter(net, Stage::ip6_output, *skb);
  skb->dev = skb->rt.dev;
  skb->protocol = kEthPIpv6;
  if (skb->trace != nullptr) skb->trace->out(Stage::ip6_output, "dev", skb->dev->name());
  if (!has_in6_dev(*skb->dev) || skb->dev->in6_dev().conf.disable_ipv6) {
    snmp(net, Snmp::Ip6OutDiscards);
    drop(net, Stage::ip6_output, std::move(skb), DropReason::IPV6DISABLED);
    return TxResult::success();
  }
  TxResult result = TxResult::success();
  if (!nf_hook(net, NfHook::post_routing, skb, result)) return result;
  return ip6_finish_output(net, std::move(skb));
}

}  // namespace txp
