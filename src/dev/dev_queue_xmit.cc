// SPDX-License-Identifier: Apache-2.0
// A packet with its link header comes to its device: egress hooks, the transmit queue, then the
// queue's discipline, or the device at once when it has none.
// Kernel twin: net/core/dev.c (__dev_queue_xmit(), qdisc_pkt_len_init()).
//
// Differs: egress hooks (clsact filters, netdev chains) are not run, a packet that would meet one
// is unknown; an empty clsact is transparent. No net_prio cgroup, no offloaded subordinate devices.
// Drops: RECURSION_LIMIT (a device that sends into itself) and DEV_READY (a device without a queue
// that is stopped or busy), both ENETDOWN; TXPATH_UNKNOWN.
#include <atomic>

#include "dev/netdevice.h"
#include "net.h"
#include "observe/trace.h"
#include "socket/error_queue.h"
#include "socket/timestamping.h"

namespace txp {
namespace {

constexpr int kXmitRecursionLimit = 8;  // XMIT_RECURSION_LIMIT

// Bytes as disciplines count them: of a GSO packet, every segment's headers.
void qdisc_pkt_len_init(Skb& skb) {
  skb.pkt_len = skb.len;
  if (skb.is_gso() && skb.gso_segs > 0) {
    const std::uint32_t hdr_len =
        static_cast<std::uint32_t>(skb.transport_header - skb.mac_header) + 8;  // the UDP header
    skb.pkt_len += (skb.gso_segs - 1U) * hdr_len;
  }
}

// What stands on this device that the engine cannot follow; null: nothing.
bool meets_unknown(Net& net, NetDevice& dev, std::string_view& kind, std::string_view& text) {
  if (const std::string* what = dev.unknown_kind.get()) {
    kind = "device";
    text = *what;
    return true;
  }
  if (const auto* filters = dev.egress_filters.get()) {
    kind = "filter";
    text = filters->front().text;
    return true;
  }
  if (const auto* obstacles = net.obstacles()) {
    for (const Net::Obstacle& o : *obstacles) {
      if (o.stage != Stage::dev_queue_xmit) continue;
      kind = o.kind;
      text = o.text;
      return true;
    }
  }
  return false;
}

TxResult drop_noqueue(Net& net, SkbPtr chain, NetDevice& dev, DropReason reason) {
  dev.tx_dropped.fetch_add(1, std::memory_order_relaxed);
  drop_chain(net, Stage::dev_queue_xmit, std::move(chain), reason);
  return TxResult::error(ENETDOWN);
}

// A device without a queue (noqueue): loopback, veth, dummy.
TxResult xmit_noqueue(Net& net, SkbPtr skb, NetDevice& dev, TxQueue& txq) {
  Cpu& cpu = net.this_cpu();
  if (!dev.is_up()) return drop_noqueue(net, std::move(skb), dev, DropReason::DEV_READY);
  if (cpu.xmit_recursion > kXmitRecursionLimit ||
      txq.xmit_lock_owner.load(std::memory_order_relaxed) == &cpu)
    return drop_noqueue(net, std::move(skb), dev, DropReason::RECURSION_LIMIT);

  SkbPtr chain = validate_xmit_skb(net, std::move(skb), dev);
  // The kernel answers -ENOMEM, the value that its rc began with.
  if (!chain) return TxResult::error(ENOMEM);
  const bool is_list = chain->next != nullptr;
  {
    const HardTxLock lock(net, dev, txq);
    if (!txq.stopped.load(std::memory_order_acquire)) {
      NetdevTx rc = NetdevTx::ok;
      ++cpu.xmit_recursion;
      chain = dev_hard_start_xmit(net, std::move(chain), dev, txq, rc);
      --cpu.xmit_recursion;
    }
  }
  if (!chain) return TxResult::success();
  const TxResult rc = drop_noqueue(net, std::move(chain), dev, DropReason::DEV_READY);
  return is_list ? TxResult::success() : rc;
}

}  // namespace

void drop_chain(Net& net, Stage stage, SkbPtr chain, DropReason reason) {
  while (chain) {
    SkbPtr rest(std::exchange(chain->next, nullptr));
    drop(net, stage, std::move(chain), reason);
    chain = std::move(rest);
  }
}

TxResult dev_queue_xmit(Net& net, SkbPtr skb) {
  NetDevice& dev = *skb->dev;
  skb->set_mac_header();
  enter(net, Stage::dev_queue_xmit, *skb);
  if (telling(skb->trace) != nullptr) skb->trace->by(Stage::dev_queue_xmit, dev.link());
  if ((skb->tx_flags & kSkbTxSchedTstamp) != 0) skb_tstamp_tx(*skb, kScmTstampSched);
  qdisc_pkt_len_init(*skb);

  std::string_view kind;
  std::string_view text;
  if (meets_unknown(net, dev, kind, text))
    return unknown(net, Stage::dev_queue_xmit, std::move(skb), kind, text);

  TxQueue& txq = *dev.tx[netdev_pick_tx(net, dev, *skb)];
  Qdisc& q = *txq.qdisc;
  if (q.has_no_queue) return xmit_noqueue(net, std::move(skb), dev, txq);
  return dev_xmit_skb(net, std::move(skb), q, dev, txq);
}

}  // namespace txp
