// SPDX-License-Identifier: Apache-2.0
// __ip_queue_xmit: the IP header of a connection's segment.
//
// Kernel twin: net/ipv4/ip_output.c, __ip_queue_xmit().
// Differs: the route comes from tcp_v4_connect(), so it is never looked up again; no IP options.
// Drops: none.
#include "ip/ip.h"
#include "net.h"
#include "tcp/tcp.h"
#include "wire/ipv4.h"

namespace txp {

TxResult ip_queue_xmit(Net& net, Sock& sk, SkbPtr skb, const Flow4& fl4, const Rtable& rt) {
  enter(net, Stage::ip_queue_xmit, *skb);
  Ipv4Header h;
  h.tos = sk.tos;
  if (ip_dont_fragment(sk, rt)) h.frag_off = kIpDf;
  h.ttl = sk.uc_ttl >= 0     ? static_cast<std::uint8_t>(sk.uc_ttl)
          : rt.hoplimit != 0 ? rt.hoplimit
                             : net.sysctl().ip_default_ttl;
  h.protocol = kIpProtoTcp;
  h.saddr = fl4.saddr;
  h.daddr = fl4.daddr;
  skb->push(kIpHlen);
  skb->set_network_header();
  h.emit(skb->network());
  skb->rt = rt;
  skb->fl4 = fl4;
  skb->dev = rt.dev;
  ip_select_ident_segs(net, *skb, &sk, 1);
  skb->priority = sk.priority;
  skb->mark = sk.mark;
  return ip_local_out(net, std::move(skb));
}

}  // namespace txp
