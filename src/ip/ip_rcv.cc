// SPDX-License-Identifier: Apache-2.0
// ip_rcv: a received IPv4 packet: is it whole, is it ours, whose is it?
//
// Kernel twin: net/ipv4/ip_input.c, ip_rcv_core(), ip_rcv_finish_core(), ip_local_deliver(),
// ip_protocol_deliver_rcu(); net/ipv4/ip_options.c; net/ipv4/route.c, ip_error().
// Differs: nothing is forwarded (with forwarding on, a stranger's packet is unknown); no netfilter
// input hooks; source routes are refused, as accept_source_route is off; TCP and the
// rest have no handler here, IGMP is taken without a word. Received packets are not packets of the
// send path: their ends are counted in rx_drops.
#include "dev/netdevice.h"
#include "ip/icmp.h"
#include "ip/inet_fragment.h"
#include "ip/ip.h"
#include "ip/ip_input.h"
#include "ip/ip_options.h"
#include "neigh/neighbour.h"
#include "net.h"
#include "udp/udp_table.h"
#include "wire/ethernet.h"
#include "wire/ipv4.h"

namespace txp {
namespace {

constexpr std::uint8_t kIpProtoIgmp = 2;

Snmp ecn_counter(std::uint8_t tos) {
  constexpr Snmp kByEcn[] = {Snmp::IpExtInNoECTPkts, Snmp::IpExtInECT1Pkts, Snmp::IpExtInECT0Pkts,
                             Snmp::IpExtInCEPkts};
  return kByEcn[tos & 3];
}

void header_error(Net& net, SkbPtr skb) {
  snmp(net, Snmp::IpInHdrErrors);
  rx_drop(net, std::move(skb), DropReason::IP_INHDR);
}

void trim(Skb& skb, std::size_t len) {
  skb.tail = skb.data + len;
  skb.len = static_cast<std::uint32_t>(len);
}

// ip_rcv_core(): null when the packet is gone.
SkbPtr rcv_core(Net& net, SkbPtr skb) {
  if (skb->pkt_type == PacketType::otherhost) {
    rx_drop(net, std::move(skb), DropReason::OTHERHOST);
    return nullptr;
  }
  snmp(net, Snmp::IpInReceives);
  snmp(net, Snmp::IpExtInOctets, skb->len);
  const std::uint32_t truesize = skb->truesize;
  if (!skb_linearize(net, skb)) {
    snmp(net, Snmp::IpInDiscards);
    rx_drop(net, std::move(skb), DropReason::NOMEM);
    return nullptr;
  }
  skb->truesize = truesize;
  const auto bytes = std::as_const(*skb).bytes();
  if (bytes.size() < kIpHlen || (bytes[0] >> 4) != 4 || (bytes[0] & 0xf) < 5) {
    header_error(net, std::move(skb));
    return nullptr;
  }
  snmp(net, ecn_counter(bytes[1]), skb->gso_segs > 0 ? skb->gso_segs : 1);
  const auto ip = Ipv4Header::parse(bytes);
  if (!ip) {  // the options are cut off
    header_error(net, std::move(skb));
    return nullptr;
  }
  if (ip_fast_csum(bytes.first(ip->hlen())) != 0) {
    snmp(net, Snmp::IpExtInCsumErrors);
    snmp(net, Snmp::IpInHdrErrors);
    rx_drop(net, std::move(skb), DropReason::IP_CSUM);
    return nullptr;
  }
  if (bytes.size() < ip->tot_len) {
    snmp(net, Snmp::IpExtInTruncatedPkts);
    rx_drop(net, std::move(skb), DropReason::PKT_TOO_SMALL);
    return nullptr;
  }
  if (ip->tot_len < ip->hlen()) {
    header_error(net, std::move(skb));
    return nullptr;
  }
  trim(*skb, ip->tot_len);
  skb->set_network_header();
  skb->transport_header = static_cast<std::uint16_t>(skb->network_header + ip->hlen());
  skb_orphan(*skb);
  return skb;
}

// ip_rcv_options(): null when the packet is gone.
SkbPtr rcv_options(Net& net, SkbPtr skb) {
  if (const auto ok = ip_options_compile(net, *skb); !ok) {
    icmp_send(net, *skb, kIcmpParameterProb, 0, std::uint32_t{ok.error()} << 24);
    header_error(net, std::move(skb));
    return nullptr;
  }
  if (skb->opt.srr == 0) return skb;
  rx_drop(net, std::move(skb), DropReason::NOT_SPECIFIED);
  return nullptr;
}

// The kernel's dst_input() for what is not ours. `looped`: this host sent it, over a route that
// does not end here: dst_discard().
void not_ours(Net& net, SkbPtr skb, RouteType type, bool looped) {
  if (looped) return rx_drop(net, std::move(skb), DropReason::NOT_SPECIFIED);
  if (type == RouteType::unicast) {  // it would be forwarded
    rx_drop(net, std::move(skb), DropReason::TXPATH_UNKNOWN);
    return;
  }
  snmp(net, Snmp::IpInAddrErrors);  // ip_error()
  rx_drop(net, std::move(skb), DropReason::IP_INADDRERRORS);
}

// ip_protocol_deliver_rcu().
void protocol_deliver(Net& net, SkbPtr skb) {
  const std::uint8_t protocol = Ipv4View(skb->network()).protocol();
  skb->pull(static_cast<std::size_t>(skb->transport_header - skb->network_header));
  switch (protocol) {
    case kIpProtoUdp: udp_rcv(net, std::move(skb)); break;
    case kIpProtoIcmp: icmp_rcv(net, std::move(skb)); break;
    case kIpProtoIgmp: consume(std::move(skb)); break;
    default:
      snmp(net, Snmp::IpInUnknownProtos);
      icmp_send(net, *skb, kIcmpDestUnreach, kIcmpProtUnreach, 0);
      rx_drop(net, std::move(skb), DropReason::IP_NOPROTO);
      return;
  }
  snmp(net, Snmp::IpInDelivers);
}

}  // namespace

void ip_local_deliver(Net& net, SkbPtr skb) {
  if ((Ipv4View(skb->network()).frag_off() & (kIpMf | kIpOffset)) != 0)
    skb = net.frags->defrag(std::move(skb));
  if (skb) protocol_deliver(net, std::move(skb));
}

void ip_rcv(Net& net, SkbPtr skb, NetDevice& dev) {
  skb = rcv_core(net, std::move(skb));
  if (!skb) return;
  Ipv4View ip(skb->network());
  const bool looped = skb->rt.type != RouteType::unspec;
  if (!looped) {
    auto rt = ip_route_input(net, dev, ip.daddr(), ip.saddr(), ip.tos() & 0xfc, skb->protocol);
    if (!rt) {
      rx_drop(net, std::move(skb), rt.error());
      return;
    }
    skb->rt = *rt;
  } else {
    skb->rt.dev = &dev;  // it comes from this host, and its route with it
  }
  if (ip.hlen() > kIpHlen) {
    skb = rcv_options(net, std::move(skb));
    if (!skb) return;
  }
  if (skb->rt.type == RouteType::multicast) {
    snmp(net, Snmp::IpExtInMcastPkts);
    snmp(net, Snmp::IpExtInMcastOctets, skb->len);
  } else if (skb->rt.type == RouteType::broadcast) {
    snmp(net, Snmp::IpExtInBcastPkts);
    snmp(net, Snmp::IpExtInBcastOctets, skb->len);
  }
  if (!skb->rt.is_local) {
    const RouteType type = skb->rt.type;
    not_ours(net, std::move(skb), type, looped);
    return;
  }
  ip_local_deliver(net, std::move(skb));
}

}  // namespace txp
