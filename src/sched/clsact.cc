// SPDX-License-Identifier: Apache-2.0
// Runs a device's egress filters over a packet that comes to it.
// Kernel twin: net/core/dev.c (sch_handle_egress(), tc_run()).
//
// Left out: tcx programs (unknown before this), a filter that redirects by itself (bpf, unknown),
// skb->tc_index. Drops: TC_EGRESS; what an action keeps ends without an error for the sender.
#include "sched/clsact.h"

#include <algorithm>
#include <utility>

#include "dev/netdevice.h"
#include "net.h"
#include "observe/trace.h"

namespace txp {

SkbPtr sch_handle_egress(Net& net, SkbPtr skb, NetDevice& dev, TxResult& rc) {
  Clsact* clsact = dev.clsact.get();
  if (clsact == nullptr || clsact->egress.empty()) return skb;
  const std::uint32_t len = skb->pkt_len;
  const std::uint64_t packets = skb->is_gso() ? skb->gso_segs : 1;
  TcfResult res;
  res.verdict = clsact->egress.classify(net, *skb, res);
  clsact->bytes.fetch_add(len, std::memory_order_relaxed);
  clsact->packets.fetch_add(packets, std::memory_order_relaxed);
  if (res.filter != nullptr && skb->trace != nullptr)
    skb->trace->by(Stage::dev_queue_xmit, NamedObject{.kind = "filter", .text = *res.filter});
  switch (res.verdict) {
    case TcAct::unknown:
      rc = unknown(net, Stage::dev_queue_xmit, std::move(skb), "filter", res.what);
      return nullptr;
    case TcAct::shot:
      clsact->drops.fetch_add(1, std::memory_order_relaxed);
      rc = TxResult::drop();
      drop(net, Stage::dev_queue_xmit, std::move(skb), DropReason::TC_EGRESS);
      return nullptr;
    case TcAct::stolen:
    case TcAct::queued:
    case TcAct::trap:
      // The kernel consumes it; here every packet's end has a count.
      rc = TxResult::success();
      drop(net, Stage::dev_queue_xmit, std::move(skb), DropReason::TXPATH_TC_STOLEN);
      return nullptr;
    default: return skb;
  }
}

void DevTable::set_clsact(int ifindex, const QdiscSpec* spec, std::vector<FilterSpec> egress) {
  NetDevice* dev = owned(ifindex);
  if (dev == nullptr) return;
  const Clsact* old = dev->clsact.get();
  if (spec == nullptr) {
    if (old == nullptr) return;
    net_.retired.retire(dev->clsact.set(nullptr));
    net_.generations.changed(Basis::filter);
    return;
  }
  const auto equal = [](const FilterSpec& a, const FilterSpec& b) {
    return a.text == b.text && a.options == b.options;
  };
  if (old != nullptr && std::ranges::equal(old->specs, egress, equal)) return;
  auto* next = new Clsact;
  next->spec = *spec;
  next->egress = TcfChain(egress);
  next->specs = std::move(egress);
  if (old != nullptr) {
    next->bytes = old->bytes.load();
    next->packets = old->packets.load();
    next->drops = old->drops.load();
  }
  net_.retired.retire(dev->clsact.set(next));
  net_.generations.changed(Basis::filter);
}

}  // namespace txp
