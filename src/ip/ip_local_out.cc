// SPDX-License-Identifier: Apache-2.0
// __ip_local_out: total length and header checksum, then the LOCAL_OUT hooks.
//
// Kernel twin: net/ipv4/ip_output.c, __ip_local_out().
// Differs: no l3mdev (a VRF device is unknown to the route lookup). Drops: by the hooks.
#include "ip/ip.h"
#include "net.h"
#include "netfilter/nf_hook.h"
#include "wire/ethernet.h"
#include "wire/ipv4.h"

namespace txp {

TxResult ip_local_out(Net& net, SkbPtr skb) {
  enter(net, Stage::ip_local_out, *skb);
  snmp(net, Snmp::IpOutRequests);
  Ipv4View ip(skb->network());
  ip.set_tot_len(static_cast<std::uint16_t>(skb->len));
  ip.send_check();
  skb->protocol = kEthPIp;
  TxResult result = TxResult::success();
  if (!nf_hook(net, NfHook::local_out, skb, result)) return result;
  return dst_output(net, std::move(skb));
}

}  // namespace txp
