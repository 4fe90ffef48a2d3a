// SPDX-License-Identifier: Apache-2.0
// ip_fragment: puts an IPv4 datagram together from its fragments.
//
// Kernel twin: net/ipv4/ip_fragment.c, ip_defrag(), ip_frag_queue(), ip_frag_reasm(), ip_expire().
// Differs: as inet_fragment.cc, whose drops are its own.
#include <algorithm>
#include <cstring>

#include "dev/netdevice.h"
#include "ip/icmp.h"
#include "ip/inet_fragment.h"
#include "ip/ip.h"
#include "ip/ip_input.h"
#include "net.h"
#include "wire/ipv4.h"

namespace txp {

IpFrags::IpFrags(Net& net)
    : InetFrags(net,
                {Snmp::IpReasmReqds, Snmp::IpReasmOKs, Snmp::IpReasmFails, Snmp::IpReasmTimeout,
                 Snmp::IpExtReasmOverlaps},
                kTimeout) {}

SkbPtr IpFrags::defrag(SkbPtr skb) {
  snmp(net_, Snmp::IpReasmReqds);
  const Ipv4View ip(skb->network());
  const std::uint16_t frag_off = ip.frag_off();
  Part part;
  part.hlen = ip.hlen();
  part.offset = std::size_t{static_cast<std::uint16_t>(frag_off & kIpOffset)} * 8;
  part.end = part.offset + skb->len - part.hlen;
  part.more = (frag_off & kIpMf) != 0;
  if (part.more) part.end &= ~std::size_t{7};
  part.df = (frag_off & kIpDf) != 0;
  part.ecn = ip.tos() & 3;
  const Key key{Ip6::mapped(ip.saddr()), Ip6::mapped(ip.daddr()), ip.id(), ip.protocol()};
  return take(key, part, std::move(skb));
}

std::size_t IpFrags::write_headers(const Queue&, const Skb& first, Skb& whole) {
  const std::size_t hlen = Ipv4View(first.network()).hlen();
  std::memcpy(whole.put(hlen), first.network(), hlen);
  return hlen;
}

bool IpFrags::finish_headers(const Queue& q, Skb& whole, std::uint8_t ecn) {
  if (whole.len > 0xffff) return false;
  Ipv4View ip(whole.network());
  ip.set_tot_len(static_cast<std::uint16_t>(whole.len));
  ip.set_frag_off(q.max_df_size == q.max_size ? kIpDf : 0);
  ip.set_tos(static_cast<std::uint8_t>(ip.tos() | ecn));
  ip.send_check();
  return true;
}

void IpFrags::tell_timeout(Skb& head) {
  const Ipv4View ip(head.network());
  const auto rt =
      ip_route_input(net_, *head.dev, ip.daddr(), ip.saddr(), ip.tos() & 0xfc, head.protocol);
  if (!rt || rt->type != RouteType::local) return;
  head.rt = *rt;
  icmp_send(net_, head, kIcmpTimeExceeded, kIcmpExcFragtime, 0);
}

}  // namespace txp
