// SPDX-License-Identifier: Apache-2.0
// dst_output: to the output function that the route chose.
//
// Kernel twin: include/net/dst.h, dst_output(); net/core/dst.c, dst_discard_out().
// Differs: a switch instead of a function pointer; Net::egress_gate is asked first. Drops:
// TXPATH_DST_DISCARD (a dead route; the kernel's dst_discard_out() gives no reason), TXPATH_UNKNOWN
// (the gate's answer).
#include "ip/ip.h"
#include "ip6/ip6.h"
#include "net.h"
#include "observe/trace.h"

namespace txp {

TxResult dst_output(Net& net, SkbPtr skb) {
  enter(net, Stage::dst_output, *skb);
  if (net.egress_gate) [[unlikely]]
    if (const auto why = net.egress_gate(net, *skb))
      return unknown(net, Stage::dst_output, std::move(skb), why->kind, why->text);
  switch (skb->rt.output) {
    case DstOutput::ip_output: return ip_output(net, std::move(skb));
    case DstOutput::ip_mc_output: return ip_mc_output(net, std::move(skb));
    case DstOutput::ip6_output: return ip6_output(net, std::move(skb));
    case DstOutput::discard: break;
  }
  drop(net, Stage::dst_output, std::move(skb), DropReason::TXPATH_DST_DISCARD);
  return TxResult::success();
}

}  // namespace txp
