// SPDX-License-Identifier: Apache-2.0
// A packet with its link header comes to its device: egress hooks, the transmit queue, then the
// queue's discipline, or the device at once when it has none.
// Kernel twin: net/core/dev.c (__dev_queue_xmit(), qdisc_pkt_len_init()).
//
// Differs: tcx programs are not run, a packet that would meet one is unknown. No net_prio cgroup,
// no offloaded subordinate devices. Drops: RECURSION_LIMIT (a device that sends into itself) and
// DEV_READY (a device without a queue that is stopped or busy), both ENETDOWN; TXPATH_UNKNOWN.
#include <atomic>
#include <optional>

#include "dev/netdevice.h"
#include "net.h"
#include "netfilter/nf_hook.h"
#include "observe/trace.h"
#include "plan/plan_recorder.h"
#include "sched/classful.h"
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

// The checks before a packet goes to a device that keeps none; the reason when one fails.
std::optional<DropReason> refused(const Cpu& cpu, const NetDevice& dev, const TxQueue& txq) {
  if (!dev.is_up()) return DropReason::DEV_READY;
  if (cpu.xmit_recursion > kXmitRecursionLimit ||
      txq.xmit_lock_owner.load(std::memory_order_relaxed) == &cpu)
    return DropReason::RECURSION_LIMIT;
  return std::nullopt;
}

// Sends a chain under the queue's lock; answers what the device refused.
SkbPtr xmit_locked(Net& net, Cpu& cpu, SkbPtr chain, NetDevice& dev, TxQueue& txq) {
  const HardTxLock lock(cpu, dev, txq);
  if (txq.xoff()) [[unlikely]]
    return chain;
  NetdevTx rc = NetdevTx::ok;
  ++cpu.xmit_recursion;
  chain = dev_hard_start_xmit(net, std::move(chain), dev, txq, rc);
  --cpu.xmit_recursion;
  return chain;
}

// A device without a queue (noqueue): loopback, veth, dummy.
TxResult xmit_noqueue(Net& net, SkbPtr skb, NetDevice& dev, TxQueue& txq) {
  Cpu& cpu = net.this_cpu();
  if (const auto why = refused(cpu, dev, txq)) [[unlikely]]
    return drop_noqueue(net, std::move(skb), dev, *why);
  SkbPtr chain = validate_xmit_skb(net, std::move(skb), dev);
  // The kernel answers -ENOMEM, the value that its rc began with.
  if (!chain) [[unlikely]]
    return TxResult::error(ENOMEM);
  const bool is_list = chain->next != nullptr;
  chain = xmit_locked(net, cpu, std::move(chain), dev, txq);
  if (!chain) [[likely]]
    return std::exchange(cpu.below, TxResult::success());
  const TxResult rc = drop_noqueue(net, std::move(chain), dev, DropReason::DEV_READY);
  return is_list ? TxResult::success() : rc;
}

// Filters, and disciplines that tell packets apart: each one has to come as a walk brings it.
bool looks_at_each(const NetDevice& dev, const Qdisc& q) {
  return dev.clsact.get() != nullptr || q.state_is_shared ||
         dynamic_cast<const ClassfulQdisc*>(&q) != nullptr;
}

}  // namespace

void drop_chain(Net& net, Stage stage, SkbPtr chain, DropReason reason) {
  while (chain) {
    SkbPtr rest(std::exchange(chain->next, nullptr));
    drop(net, stage, std::move(chain), reason);
    chain = std::move(rest);
  }
}

TxResult drop_noqueue(Net& net, SkbPtr chain, NetDevice& dev, DropReason reason) {
  dev.tx_dropped.fetch_add(1, std::memory_order_relaxed);
  drop_chain(net, Stage::dev_queue_xmit, std::move(chain), reason);
  return TxResult::error(ENETDOWN);
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
  // What looks at a frame with a tag beside it sees the tag in the kernel; here it would not.
  if (skb->vlan_proto != 0 && (dev.nf_egress.get() != nullptr || dev.clsact.get() != nullptr))
      [[unlikely]]
    return unknown(net, Stage::dev_queue_xmit, std::move(skb), "filter",
                   "filters on the egress of " + dev.name() + ", which see a VLAN tag");
  if (dev.nf_egress.get() != nullptr) [[unlikely]] {
    // Its chains see every packet.
    if (PlanRecorder* r = net.this_cpu().recorder; r != nullptr) r->refuse(Walk::netfilter);
    TxResult result = TxResult::success();
    skb = nf_hook_egress(net, std::move(skb), dev, result);
    if (!skb) return result;
  }

  if (dev.clsact.get() != nullptr) [[unlikely]] {
    TxResult rc = TxResult::success();
    skb = sch_handle_egress(net, std::move(skb), dev, rc);
    if (!skb) return rc;
  }
  TxQueue& txq = *dev.tx[netdev_pick_tx(net, dev, *skb)];
  if (PlanRecorder* r = net.this_cpu().recorder; r != nullptr) [[unlikely]] {
    if (looks_at_each(dev, *txq.qdisc)) r->refuse(Walk::filter);
    r->device(*skb);
  }
  return dev_queue_xmit_txq(net, std::move(skb), dev, txq);
}

TxResult dev_queue_xmit_txq(Net& net, SkbPtr skb, NetDevice& dev, TxQueue& txq) {
  Qdisc& q = *txq.qdisc;
  if (q.has_no_queue) return xmit_noqueue(net, std::move(skb), dev, txq);
  return dev_xmit_skb(net, std::move(skb), q, dev, txq);
}

}  // namespace txp
