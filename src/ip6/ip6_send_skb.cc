// SPDX-License-Identifier: Apache-2.0
// ip6_send_skb: sends a finished datagram and translates what came of it into an errno.
//
// Kernel twin: net/ipv6/ip6_output.c, ip6_send_skb().
// Differs: nothing. Drops: none of its own; counts Ip6OutDiscards for every failure below.
#include "ip6/ip6.h"
#include "net.h"

namespace txp {

int ip6_send_skb(Net& net, SkbPtr skb) {
  enter(net, Stage::ip6_send_skb, *skb);
  const int code = ip6_local_out(net, std::move(skb)).errno_code();
  if (code != 0) snmp(net, Snmp::Ip6OutDiscards);
  return code;
}

}  // namespace txp
