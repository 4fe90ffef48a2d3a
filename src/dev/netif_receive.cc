// SPDX-License-Identifier: Apache-2.0
// A frame comes in: what it is, whose it is, the taps, then ARP or IPv4; and the backlog of what
// this host sends to itself.
//
// Kernel twin: net/core/dev.c, __netif_receive_skb_core(), netif_rx(), process_backlog();
// net/ethernet/eth.c, eth_type_trans().
// Differs: every other protocol is dropped here; no VLANs, no RPS; netdev_max_backlog is
// the kernel's default. Drops (as received packets): DEV_READY, HDR_TRUNC, NOMEM (a frame too
// large), UNHANDLED_PROTO, CPU_BACKLOG, and what arp_rcv() refuses: PKT_TOO_SMALL, NOT_SPECIFIED.
#include <cstring>

#include "dev/netdevice.h"
#include "ip/ip.h"
#include "ip6/ip6.h"
#include "neigh/neighbour.h"
#include "net.h"
#include "wire/ethernet.h"

namespace txp {
namespace {

constexpr std::size_t kNetSkbPad = 64;           // NET_SKB_PAD
constexpr std::size_t kNetdevMaxBacklog = 1000;  // net.core.netdev_max_backlog
constexpr std::size_t kMaxFrame = 65535 + kEthHlen;
constexpr std::uint16_t kEthP8023Min = 0x0600;  // ETH_P_802_3_MIN

PacketType packet_type(const NetDevice& dev, const MacAddr& dest) {
  if ((dest.bytes[0] & 1) != 0)
    return dest == dev.link().broadcast ? PacketType::broadcast : PacketType::multicast;
  return dest == dev.link().address ? PacketType::host : PacketType::otherhost;
}

// eth_type_trans(): data moves to the network header. False: there is no whole header.
bool eth_type_trans(Skb& skb, const NetDevice& dev) {
  skb.set_mac_header();
  if (!dev_has_header(dev)) {
    skb.protocol = kEthPIp;
    return true;
  }
  const auto eth = EthernetHeader::parse(std::as_const(skb).bytes());
  if (!eth) return false;
  skb.pkt_type = packet_type(dev, eth->dest);
  skb.protocol = eth->proto >= kEthP8023Min ? eth->proto : std::uint16_t{0};
  skb.pull(kEthHlen);
  return true;
}

void show_taps(Net& net, Skb& skb, const NetDevice& dev) {
  const std::vector<Tap*>* taps = dev.taps.get();
  if (taps == nullptr || skb.pkt_type == PacketType::loopback) return;
  const auto header = static_cast<std::size_t>(skb.data - skb.mac());
  skb.push(header);
  for (Tap* tap : *taps) tap->packet(net, dev, skb, false);
  skb.pull(header);
}

// __netif_receive_skb_core(): data at the network header.
void deliver(Net& net, SkbPtr skb, NetDevice& dev) {
  skb->set_network_header();
  show_taps(net, *skb, dev);
  switch (skb->protocol) {
    case kEthPIp: ip_rcv(net, std::move(skb), dev); return;
    case kEthPIpv6: ip6_rcv(net, std::move(skb), dev); return;
    case kEthPArp:
      if (auto ok = arp_rcv(net, dev, std::as_const(*skb).bytes(), skb->pkt_type); ok)
        consume(std::move(skb));
      else
        rx_drop(net, std::move(skb), ok.error());
      return;
    default:
      dev.rx_dropped.fetch_add(1, std::memory_order_relaxed);
      rx_drop(net, std::move(skb), DropReason::UNHANDLED_PROTO);
  }
}

}  // namespace

void netif_receive_frame(Net& net, NetDevice& dev, std::span<const std::uint8_t> frame) {
  const RcuReader reader;
  if (!dev.is_up()) {
    rx_drop(net, DropReason::DEV_READY);
    return;
  }
  SkbPtr skb = frame.size() <= kMaxFrame ? alloc_skb(net, kNetSkbPad + frame.size()) : nullptr;
  if (!skb) {
    dev.rx_dropped.fetch_add(1, std::memory_order_relaxed);
    rx_drop(net, DropReason::NOMEM);
    return;
  }
  dev.rx_packets.fetch_add(1, std::memory_order_relaxed);
  dev.rx_bytes.fetch_add(frame.size(), std::memory_order_relaxed);
  skb->reserve(kNetSkbPad);
  if (!frame.empty()) std::memcpy(skb->put(frame.size()), frame.data(), frame.size());
  skb->dev = &dev;
  if (!eth_type_trans(*skb, dev)) {
    rx_drop(net, std::move(skb), DropReason::HDR_TRUNC);
    return;
  }
  deliver(net, std::move(skb), dev);
}

void netif_rx(Net& net, SkbPtr skb) {
  Cpu& cpu = net.this_cpu();
  if (cpu.backlog.qlen() >= kNetdevMaxBacklog) {
    skb->dev->rx_dropped.fetch_add(1, std::memory_order_relaxed);
    rx_drop(net, std::move(skb), DropReason::CPU_BACKLOG);
    return;
  }
  skb_orphan(*skb);
  skb->trace = nullptr;              // the story of a send ends where it is received
  skb->fl4.iif = skb->dev->ifindex;  // the device may go before its turn comes
  cpu.backlog.push_back(std::move(skb));
}

std::size_t run_backlog(Net& net) {
  Cpu& cpu = net.this_cpu();
  if (cpu.backlog.empty() || cpu.in_backlog) [[likely]]
    return 0;
  const RcuReader reader;
  cpu.in_backlog = true;
  std::size_t done = 0;
  // What comes back to this host while it receives (an ICMP error) is received in the same call.
  for (; done < kNetdevMaxBacklog; ++done) {
    SkbPtr skb = cpu.backlog.pop_front();
    if (!skb) break;
    NetDevice* dev = net.dev->by_index(skb->fl4.iif);
    if (dev == nullptr) {
      rx_drop(net, std::move(skb), DropReason::DEV_READY);
      continue;
    }
    skb->dev = dev;
    deliver(net, std::move(skb), *dev);
  }
  cpu.in_backlog = false;
  return done;
}

}  // namespace txp
