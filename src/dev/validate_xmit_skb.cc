// SPDX-License-Identifier: Apache-2.0
// Makes a packet one that the driver can take: segments GSO, linearises, completes the checksum.
// Kernel twin: net/core/dev.c (validate_xmit_skb(), validate_xmit_skb_list()).
//
// Differs: the driver behind the device says what it can do, not the device's `ethtool -k` flags,
// so the frames are whole wherever the kernel's hardware would finish them; only of VLAN tags the
// flags decide whether they count, and a tagged packet is always segmented. No IPsec or TLS
// offload. Drops: SKB_GSO_SEG, SKB_CSUM, NOMEM; the device counts tx_dropped.
#include "dev/netdevice.h"
#include "dev/skb_gso_segment.h"
#include "net.h"
#include "socket/error_queue.h"
#include "socket/timestamping.h"

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

// validate_xmit_vlan(): a tag that the device does not insert itself goes inside. Each segment has
// its packet's.
SkbPtr insert_tags(Net& net, SkbPtr chain, NetDevice& dev) {
  const DevFeatures& can = dev.link().features;
  Skb* head = nullptr;
  Skb** tail = &head;
  while (chain) {
    SkbPtr rest(std::exchange(chain->next, nullptr));
    const bool offload = chain->vlan_proto == kEthP8021q ? can.vlan_ctag : can.vlan_stag;
    if (!offload && !vlan_push_inside(net, chain))
      chain = refuse(net, std::move(chain), dev, DropReason::NOMEM);
    if (chain) {
      *tail = chain.release();
      tail = &(*tail)->next;
    }
    chain = std::move(rest);
  }
  return SkbPtr(head);
}

// Where the kernel leaves segmenting to the device, its stamp shows the packet before that.
void stamp_whole(Skb& skb, const NetDevice& dev) {
  const DevFeatures& can = dev.link().features;
  if ((skb.tx_flags & kSkbTxSwTstamp) == 0 || dev.features.stacked || !can.gso_udp_l4 ||
      !(can.hw_csum || can.ip_csum) || beyond_gso_max(skb, dev))
    return;
  skb_tstamp_tx(skb, kScmTstampSnd);
  skb.tx_flags &= static_cast<std::uint8_t>(~kSkbTxSwTstamp);
}

SkbPtr validate_untagged(Net& net, SkbPtr skb, NetDevice& dev) {
  const DriverFeatures& can = dev.features;
  const bool takes_gso = can.gso_udp_l4 && can.csum && skb->vlan_proto == 0;
  if (skb->is_gso() && (!takes_gso || beyond_gso_max(*skb, dev))) {
    stamp_whole(*skb, dev);
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

}  // namespace

SkbPtr validate_xmit_skb(Net& net, SkbPtr skb, NetDevice& dev) {
  const bool tagged = skb->vlan_proto != 0;
  skb = validate_untagged(net, std::move(skb), dev);
  if (tagged && skb) [[unlikely]]
    return insert_tags(net, std::move(skb), dev);
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
