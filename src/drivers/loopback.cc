// SPDX-License-Identifier: Apache-2.0
// The loopback device: what is sent is received by this same Net, after the send is over.
//
// Kernel twin: drivers/net/loopback.c, loopback_xmit().
// Differs: nothing. Drops: none (a full backlog is a receive drop, CPU_BACKLOG).
#include "drivers/loopback.h"

#include <mutex>

#include "dev/netdevice.h"
#include "net.h"
#include "wire/ethernet.h"

namespace txp {
namespace {

class LoopbackDriver final : public Driver {
 public:
  DriverFeatures features() const override {
    return {.csum = true, .gso_udp_l4 = true, .frag_list = true, .lltx = true};
  }

  NetdevTx ndo_start_xmit(Net& net, NetDevice& dev, unsigned queue, SkbPtr& skb, bool) override {
    enter(net, Stage::loopback_xmit, *skb);
    skb_orphan(*skb);  // before it waits: the sender may have filled its buffer
    // eth_type_trans().
    const auto eth = EthernetHeader::parse(std::as_const(*skb).bytes());
    if (!eth) {
      drop_taken(net, dev, std::move(skb), DropReason::DEV_HDR);
      return NetdevTx::ok;
    }
    skb->pkt_type = PacketType::host;
    if ((eth->dest.bytes[0] & 1) != 0)
      skb->pkt_type =
          eth->dest == dev.link().broadcast ? PacketType::broadcast : PacketType::multicast;
    skb->protocol = eth->proto;
    skb->set_mac_header();
    skb->pull(kEthHlen);
    dev.rx_packets.fetch_add(1, std::memory_order_relaxed);
    dev.rx_bytes.fetch_add(skb->len, std::memory_order_relaxed);
    // This device counts bytes without the link's header, sent ones too.
    dev.tx[queue]->count_sent(net.this_cpu().number, 0, std::uint64_t{0} - kEthHlen);
    skb->dev = &dev;
    netif_rx(net, std::move(skb));
    return NetdevTx::ok;
  }
};

}  // namespace

std::unique_ptr<Driver> make_loopback() { return std::make_unique<LoopbackDriver>(); }

}  // namespace txp
