// SPDX-License-Identifier: Apache-2.0
// Makes a packet one that the driver can take: segments GSO, linearises, completes the checksum.
// Kernel twin: net/core/dev.c (validate_xmit_skb(), validate_xmit_skb_list()).
//
// Differs: the driver behind the device says what it can do, not the device's `ethtool -k` flags,
// so the frames are whole wherever the kernel's hardware would finish them. No VLAN tags, no IPsec
// or TLS offload.
// Drops: SKB_GSO_SEG, SKB_CSUM, NOMEM; the device counts tx_dropped.
#include "dev/netdevice.h"
#include "dev/skb_gso_segment.h"
#include "net.h"

namespace txp {
namespace {

SkbPtr refuse(Net& net, SkbPtr skb, NetDevice& dev, DropReason reason) {
  dev.tx_dropped.fetch_add(1, std::memory_order_relaxed);
  drop(net, Stage::dev_hard_start_xmit, std::move(skb), reason);
  return nullptr;
}

// gso_features_check(): more than the device takes in one piece.
bool beyond_gso_max(const Skb& skb, const NetDevice& dev) {
  const Link& link = dev.link();
  return skb.len >= link.gso_max_size || skb.gso_segs > link.gso_max_segs;
}

}  // namespace

SkbPtr validate_xmit_skb(Net& net, SkbPtr skb, NetDevice& dev) {
  const DriverFeatures& can = dev.features;
  if (skb->is_gso() && (!(can.gso_udp_l4 && can.csum) || beyond_gso_max(*skb, dev))) {
    SkbPtr segments = skb_gso_segment(net, std::move(skb), Stage::dev_hard_start_xmit);
    if (!segments) dev.tx_dropped.fetch_add(1, std::memory_order_relaxed);
    return segments;
  }
  if (skb->frag_list != nullptr && !can.frag_list && !skb_linearize(net, skb))
    return refuse(net, std::move(skb), dev, DropReason::NOMEM);
  if (skb->ip_summed == IpSummed::partial && !can.csum && !skb_checksum_help(*skb))
    return refuse(net, std::move(skb), dev, DropReason::SKB_CSUM);
  return skb;
}

SkbPtr validate_xmit_skb_list(Net& net, SkbPtr chain, NetDevice& dev) {
  if (chain->next == nullptr) return validate_xmit_skb(net, std::move(chain), dev);
  Skb* head = nullptr;
  Skb** tail = &head;
  while (chain) {
    SkbPtr rest(std::exchange(chain->next, nullptr));
    *tail = validate_xmit_skb(net, std::move(chain), dev).release();
    while (*tail != nullptr) tail = &(*tail)->next;
    chain = std::move(rest);
  }
  return SkbPtr(head);
}

}  // namespace txp
