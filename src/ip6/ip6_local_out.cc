// SPDX-License-Identifier: Apache-2.0
// __ip6_local_out: the payload's length, then the LOCAL_OUT hooks.
//
// Kernel twin: net/ipv6/output_core.c, __ip6_local_out().
// Differs: no l3mdev. Drops: by the hooks.
#include "ip/ip.h"
#include "ip6/ip6.h"
#include "net.h"
#include "netfilter/nf_hook.h"
#include "wire/ethernet.h"
#include "wire/ipv6.h"

namespace txp {

TxResult ip6_local_out(Net& net, SkbPtr skb) {
  enter(net, Stage::ip6_local_out, *skb);
  // ipv6_set_payload_len(): 0 where it does not fit (a jumbo superframe).
  const std::uint32_t len = skb->len - std::uint32_t{kIpv6Hlen};
  Ipv6View(skb->network())
      .set_payload_len(static_cast<std::uint16_t>(len <= kIpv6MaxPlen ? len : 0));
  skb->protocol = kEthPIpv6;
  TxResult result = TxResult::success();
  if (!nf_hook(net, NfHook::local_out, skb, result)) return result;
  return dst_output(net, std::move(skb));
}

}  // namespace txp
