// SPDX-License-Identifier: Apache-2.0
// ip_send_skb: sends a finished datagram and translates what came of it into an errno.
//
// Kernel twin: net/ipv4/ip_output.c, ip_send_skb(), ip_local_out().
// Differs: nothing. Drops: none of its own; counts IpOutDiscards for every failure below.
#include "ip/ip.h"
#include "net.h"

namespace txp {

int ip_send_skb(Net& net, SkbPtr skb) {
  enter(net, Stage::ip_send_skb, *skb);
  return ip_sent(net, ip_local_out(net, std::move(skb)));
}

int ip_sent(Net& net, TxResult result) {
  const int code = result.errno_code();
  if (code != 0) snmp(net, Snmp::IpOutDiscards);
  return code;
}

}  // namespace txp
