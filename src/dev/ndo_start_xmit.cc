// SPDX-License-Identifier: Apache-2.0
// The driver takes the frame, or is busy. Here the device's tx_packets and tx_bytes are counted,
// and the packet as delivered; a traced packet's frame is recorded as it appears on the wire.
// Kernel twin: include/linux/netdevice.h (netdev_start_xmit()), and each driver's own counting.
//
// Drops: nothing; a driver that loses a frame ends it with drop_taken().
#include <vector>

#include "dev/netdevice.h"
#include "dev/skb_gso_segment.h"
#include "net.h"
#include "observe/trace.h"
#include "socket/error_queue.h"
#include "socket/timestamping.h"

namespace txp {
namespace {

using Frames = std::vector<std::vector<std::uint8_t>>;

// Whole frames, segmented and with complete checksums, whatever the driver finishes by itself.
Frames wire_frames(Net& net, const Skb& skb) {
  Frames frames;
  const auto add = [&](const Skb& s) {
    const auto bytes = s.bytes();
    frames.emplace_back(bytes.begin(), bytes.end());
  };
  if (skb.frag_list == nullptr && !skb.is_gso() && skb.ip_summed == IpSummed::none) {
    add(skb);
    return frames;
  }
  SkbPtr copy = skb_copy(net, skb);  // linear, without the socket
  if (!copy) return frames;
  if (!copy->is_gso()) {
    skb_checksum_help(*copy);
    add(*copy);
    free_skb(std::move(copy));
    return frames;
  }
  SkbPtr seg = udp_gso_segment(net, *copy);
  free_skb(std::move(copy));
  std::uint64_t n = 0;
  while (seg) {
    add(*seg);
    ++n;
    SkbPtr rest(std::exchange(seg->next, nullptr));
    free_skb(std::move(seg));
    seg = std::move(rest);
  }
  if (n > 0) born(net, std::uint64_t{1} - n);  // they were copies for the trace
  return frames;
}

NetdevTx start(Net& net, SkbPtr& skb, NetDevice& dev, TxQueue& txq, bool more) {
  enter(net, Stage::ndo_start_xmit, *skb);
  const std::uint32_t len = skb->len;
  const std::uint64_t began = skb->began;
  // skb_tx_timestamp(), which every driver of hardware calls.
  if ((skb->tx_flags & kSkbTxSwTstamp) != 0 && !dev.features.stacked) [[unlikely]] {
    skb_tstamp_tx(*skb, kScmTstampSnd);
    skb->tx_flags &= static_cast<std::uint8_t>(~kSkbTxSwTstamp);
  }
  if (dev.driver->ndo_start_xmit(net, dev, txq.index, skb, more) != NetdevTx::ok) [[unlikely]]
    return NetdevTx::busy;
  Cpu& cpu = net.this_cpu();
  if (!dev.features.counts) [[likely]]
    txq.count_sent(cpu.number, 1, len);
  cpu.counters.delivered.add();
  if (began != 0) [[unlikely]]
    driver_took(net, began);
  return NetdevTx::ok;
}

[[gnu::cold]] NetdevTx start_traced(Net& net, SkbPtr& skb, NetDevice& dev, TxQueue& txq,
                                    bool more) {
  Trace* const trace = telling(skb->trace);
  Frames frames = wire_frames(net, *skb);
  if (dev.features.stacked) {
    for (auto& bytes : std::exchange(frames, {}))
      trace->inner_frame(dev.link(), skb->layer, skb->encaps, std::move(bytes));
  }
  const std::uint8_t layer = skb->layer;
  const std::uint8_t encaps = skb->encaps;
  const NetdevTx result = start(net, skb, dev, txq, more);
  if (result != NetdevTx::ok) {
    trace->result(Stage::ndo_start_xmit, "busy");
    return result;
  }
  for (auto& bytes : frames) trace->frame(dev.link(), layer, encaps, std::move(bytes));
  return result;
}

// The tag that the device would insert goes into the frame here; the device counts without it.
[[gnu::cold]] NetdevTx start_tagged(Net& net, SkbPtr& skb, NetDevice& dev, TxQueue& txq,
                                    bool more) {
  const std::uint32_t len = skb->len;
  if (!vlan_push_inside(net, skb)) {
    delivered(net);
    drop_taken(net, dev, std::move(skb), DropReason::NOMEM);
    return NetdevTx::ok;
  }
  const std::uint32_t more_bytes = skb->len - len;
  const NetdevTx result = ndo_start_xmit(net, skb, dev, txq, more);
  if (result == NetdevTx::ok && !dev.features.counts)
    txq.count_sent(net.this_cpu().number, 0, std::uint64_t{0} - more_bytes);
  return result;
}

}  // namespace

NetdevTx ndo_start_xmit(Net& net, SkbPtr& skb, NetDevice& dev, TxQueue& txq, bool more) {
  if (skb->vlan_proto != 0 && !dev.features.stacked) [[unlikely]]
    return start_tagged(net, skb, dev, txq, more);
  if (telling(skb->trace) != nullptr) [[unlikely]]
    return start_traced(net, skb, dev, txq, more);
  return start(net, skb, dev, txq, more);
}

void drop_taken(Net& net, NetDevice& dev, SkbPtr skb, DropReason reason) {
  const std::size_t queue = skb->queue_mapping < dev.tx.size() ? skb->queue_mapping : 0;
  dev.tx[queue]->tx_dropped.fetch_add(1, std::memory_order_relaxed);
  end_taken(net, std::move(skb), reason);
}

void end_taken(Net& net, SkbPtr skb, DropReason reason) {
  delivered(net, ~std::uint64_t{0});  // minus one
  drop(net, Stage::ndo_start_xmit, std::move(skb), reason);
}

void unknown_taken(Net& net, SkbPtr skb, std::string text) {
  NamedObject what;
  what.kind = "device";
  what.text = std::move(text);
  tell_unknown(net, Stage::ndo_start_xmit, skb->trace, std::move(what));
  end_taken(net, std::move(skb), DropReason::TXPATH_UNKNOWN);
}

void dev_tx_add(Net& net, NetDevice& dev, unsigned queue, std::uint64_t bytes) {
  dev.tx[queue]->count_sent(net.this_cpu().number, 1, bytes);
}

void begin_layer(Skb& skb) {
  if (skb.layer < 0xff) ++skb.layer;
  if (Trace* trace = telling(skb.trace); trace != nullptr) trace->layer(skb.layer);
}

TxResult xmit_below(Net& net, SkbPtr skb, NetDevice& lower) {
  born(net);  // it has left its device and begins on the next (docs/decisions/0004)
  begin_layer(*skb);
  skb->dev = &lower;
  const TxResult result = dev_queue_xmit(net, std::move(skb));
  net.this_cpu().below = result;
  return result;
}

void hold_taken(Net& net, NetDevice& dev, std::uint64_t n) {
  dev.driver_waiting.fetch_add(n, std::memory_order_relaxed);
  delivered(net, ~n + 1);  // minus n
}

void release_taken(Net& net, NetDevice& dev, std::uint64_t n) {
  dev.driver_waiting.fetch_sub(n, std::memory_order_relaxed);
  delivered(net, n);
}

}  // namespace txp
