// SPDX-License-Identifier: Apache-2.0
// neigh_timer_handler: what time does to a neighbour; the table in neighbour.h is its drawing.
//
// Kernel twin: net/core/neighbour.c, neigh_timer_handler(), neigh_probe(), neigh_invalidate(),
// neigh_add_timer(); net/ipv4/arp.c, arp_error_report().
// Differs: times are nanoseconds, not jiffies. Drops: NEIGH_FAILED, with ICMP host unreachable to
// the sender.
#include <algorithm>

#include "ip/icmp.h"
#include "ip/ip.h"
#include "neigh/neigh_impl.h"
#include "wire/ethernet.h"
#include "wire/ipv4.h"
#include "wire/ipv6.h"

namespace txp {
namespace {

std::uint32_t max_probes(const NeighParms& p, Nud state) {
  return p.ucast_solicit + p.app_solicit +
         (state == Nud::probe ? p.mcast_resolicit : p.mcast_solicit);
}

void become(Net& net, Neighbour& n, Nud state, Nanos now) {
  neigh_set_state(net, n, state);
  n.updated = now;
}

}  // namespace

Nanos neigh_retrans_time(const NeighParms& p) {
  return std::max(Nanos{p.retrans_time_ms} * kMillisecond, kNeighMinTimer);
}

void neigh_add_timer(Net& net, Neighbour& n, Nanos when) {
  if (n.used.load(std::memory_order_relaxed) < n.confirmed)
    n.used.store(n.confirmed, std::memory_order_relaxed);
  if (n.tbl->owner == NeighOwner::engine) net.timers.mod(n.timer, when);
}

void neigh_del_timer(Net& net, Neighbour& n) {
  if (nud_in_timer(n.nud_state.load(std::memory_order_relaxed))) net.timers.cancel(n.timer);
}

void neigh_probe(Net& net, Neighbour& n, std::unique_lock<Spinlock>& guard) {
  const Skb* newest = n.arp_queue.peek_tail();
  if (n.tbl->family == NeighTable::Family::inet) {
    std::optional<Ip4> waiting;
    if (newest != nullptr) waiting = Ipv4View(newest->network()).saddr();
    guard.unlock();
    arp_solicit(net, n, waiting);
  } else {
    std::optional<Ip6> waiting;
    if (newest != nullptr) waiting = Ipv6View(newest->network()).saddr();
    guard.unlock();
    ndisc_solicit(net, n, waiting);
  }
  guard.lock();
  ++n.probes;
  guard.unlock();
}

void neigh_invalidate(Net& net, Neighbour& n, std::unique_lock<Spinlock>& guard) {
  NeighTable::Impl& table = n.tbl->impl();
  table.stats.res_failed.fetch_add(1, std::memory_order_relaxed);
  n.updated = net.clock.now();
  // Telling a sender may send through this very neighbour again and start a new resolution; what is
  // left then goes without a word, as there.
  while (n.nud_state.load(std::memory_order_relaxed) == Nud::failed) {
    SkbPtr skb = table.take(n);
    if (!skb) break;
    guard.unlock();
    if (skb->protocol == kEthPIp)  // arp_error_report(): dst_link_failure()
      icmp_send(net, *skb, kIcmpDestUnreach, kIcmpHostUnreach, 0);
    drop(net, Stage::neigh_resolve_output, std::move(skb), DropReason::NEIGH_FAILED);
    guard.lock();
  }
  SkbQueue left;
  while (!n.arp_queue.empty()) left.push_back(n.arp_queue.pop_front());
  n.arp_queue_len_bytes = 0;
  guard.unlock();
  table.purge(left, DropReason::QUEUE_PURGE);
  guard.lock();
}

void neigh_timer_handler(Net& net, Timer& timer) {
  Neighbour& n = *static_cast<Neighbour*>(timer.arg);
  std::unique_lock guard(n.lock);
  Nud state = n.nud_state.load(std::memory_order_relaxed);
  if (n.dead || !nud_in_timer(state)) return;
  const NeighParms& parms = neigh_parms(n);
  const Nanos now = net.clock.now();
  const Nanos delay = Nanos{parms.delay_first_probe_time_ms} * kMillisecond;
  Nanos next = now;
  if (state == Nud::reachable) {
    const Nanos reachable = n.tbl->impl().reachable_time(n);
    if (now <= n.confirmed + reachable) {
      next = n.confirmed + reachable;
    } else if (now <= n.used.load(std::memory_order_relaxed) + delay) {
      become(net, n, Nud::delay, now);
      next = now + delay;
    } else {
      become(net, n, Nud::stale, now);
    }
  } else if (state == Nud::delay) {
    if (now <= n.confirmed + delay) {
      become(net, n, Nud::reachable, now);
      next = n.confirmed + n.tbl->impl().reachable_time(n);
    } else {
      become(net, n, Nud::probe, now);
      n.probes = 0;
      next = now + neigh_retrans_time(parms);
    }
  } else {
    next = now + neigh_retrans_time(parms);
  }

  state = n.nud_state.load(std::memory_order_relaxed);
  const bool probing = state == Nud::incomplete || state == Nud::probe;
  if (probing && n.probes >= max_probes(parms, state)) {
    neigh_set_state(net, n, Nud::failed);
    neigh_invalidate(net, n, guard);
    return;
  }
  if (nud_in_timer(state)) net.timers.mod(n.timer, std::max(next, now + kNeighMinTimer));
  if (probing) neigh_probe(net, n, guard);
}

}  // namespace txp
