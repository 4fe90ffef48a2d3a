// SPDX-License-Identifier: Apache-2.0
// neigh_resolve_output: resolves the next hop; a packet waits until somebody answers.
//
// Kernel twin: net/core/neighbour.c, neigh_resolve_output(), neigh_event_send().
// Differs: with NeighOwner::kernel the kernel is asked (NTF_USE) instead of a probe sent; its
// answer comes as NeighTable::set(). A packet without room waits for nobody: the oldest goes, as
// there. Drops: NEIGH_FAILED (nobody may be asked), NEIGH_QUEUEFULL (the oldest that waits),
// NEIGH_DEAD, NEIGH_HH_FILLFAIL. Only the last is an error to the sender.
#include "neigh/neigh_impl.h"
#include "observe/trace.h"

namespace txp {
namespace {

constexpr Stage kStage = Stage::neigh_resolve_output;

void set_state(Net& net, Neighbour& n, Nud state, Nanos now) {
  neigh_set_state(net, n, state);
  n.updated = now;
}

// Queues `skb`; answers the old packets that had to make room. `n.lock` held.
SkbQueue enqueue(NeighTable::Impl& table, Neighbour& n, SkbPtr skb) {
  SkbQueue pushed_out;
  const std::uint32_t limit = neigh_parms(n).unres_qlen_bytes;
  while (n.arp_queue_len_bytes + skb->truesize > limit && !n.arp_queue.empty()) {
    SkbPtr oldest = n.arp_queue.pop_front();
    n.arp_queue_len_bytes -= oldest->truesize;
    pushed_out.push_back(std::move(oldest));
  }
  n.arp_queue_len_bytes += skb->truesize;
  if (skb->trace != nullptr) skb->trace->queued(kStage);
  if (telling(skb->trace) == nullptr) skb->trace = nullptr;  // a waiting packet takes no time
  n.arp_queue.push_back(std::move(skb));
  table.waiting.fetch_add(1, std::memory_order_release);
  return pushed_out;
}

}  // namespace

void neigh_ask_kernel(Net& net, Neighbour& n, std::unique_lock<Spinlock>& guard) {
  const Nanos now = net.clock.now();
  const bool may = n.tbl->ask_kernel || n.tbl->ask_kernel6;
  const bool ask = may && (n.asked < 0 || now >= n.asked + neigh_retrans_time(neigh_parms(n)));
  if (ask) n.asked = now;
  guard.unlock();
  if (!ask) return;
  if (n.tbl->family == NeighTable::Family::inet)
    n.tbl->ask_kernel(n.dev->ifindex, n.primary_key);
  else
    n.tbl->ask_kernel6(n.dev->ifindex, n.primary_key6);
}

bool neigh_event_send(Net& net, Neighbour& n, SkbPtr& skb) {
  const bool by_kernel = n.tbl->owner == NeighOwner::kernel;
  const Nanos now = net.clock.now();
  n.used.store(now, std::memory_order_relaxed);
  std::unique_lock guard(n.lock);
  const Nud state = n.nud_state.load(std::memory_order_relaxed);
  if (nud_connected(state) || state == Nud::delay || state == Nud::probe) return false;
  if (n.dead) {
    if (state == Nud::stale) return false;
    guard.unlock();
    if (skb) drop(net, kStage, std::move(skb), DropReason::NEIGH_DEAD);
    return true;
  }
  const NeighParms& parms = neigh_parms(n);
  if (state == Nud::stale) {
    set_state(net, n, Nud::delay, now);
    neigh_add_timer(net, n, now + Nanos{parms.delay_first_probe_time_ms} * kMillisecond);
    if (by_kernel) neigh_ask_kernel(net, n, guard);
    return false;
  }
  bool probe_now = false;
  if (state != Nud::incomplete) {
    if (!by_kernel && parms.mcast_solicit + parms.app_solicit == 0) {
      set_state(net, n, Nud::failed, now);
      guard.unlock();
      if (skb) drop(net, kStage, std::move(skb), DropReason::NEIGH_FAILED);
      return true;
    }
    n.probes = parms.ucast_solicit;
    set_state(net, n, Nud::incomplete, now);
    neigh_add_timer(net, n, now + neigh_retrans_time(parms));
    probe_now = !by_kernel;
  }
  NeighTable::Impl& table = n.tbl->impl();
  SkbQueue pushed_out = skb ? enqueue(table, n, std::move(skb)) : SkbQueue();
  if (probe_now)
    neigh_probe(net, n, guard);
  else if (by_kernel)
    neigh_ask_kernel(net, n, guard);
  else
    guard.unlock();
  if (!pushed_out.empty()) {
    table.stats.unresolved_discards.fetch_add(pushed_out.qlen(), std::memory_order_relaxed);
    table.purge(pushed_out, DropReason::NEIGH_QUEUEFULL);
  }
  return true;
}

void neigh_resolve(Net& net, Neighbour& neigh) {
  SkbPtr none;
  static_cast<void>(neigh_event_send(net, neigh, none));
}

TxResult neigh_resolve_output(Net& net, SkbPtr skb, Neighbour& neigh) {
  enter(net, kStage, *skb);
  if (telling(skb->trace) != nullptr) skb->trace->by(kStage, neigh.spec());
  if (neigh_event_send(net, neigh, skb)) return TxResult::success();
  if (!dev_hard_header(*skb, *neigh.dev, skb->protocol, neigh.mac())) {
    drop(net, kStage, std::move(skb), DropReason::NEIGH_HH_FILLFAIL);
    return TxResult::error(EINVAL);
  }
  return dev_queue_xmit(net, std::move(skb));
}

}  // namespace txp
