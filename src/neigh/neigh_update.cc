// SPDX-License-Identifier: Apache-2.0
// neigh_update: what somebody says of a neighbour: an ARP packet, or the configuration.
//
// Kernel twin: net/core/neighbour.c, __neigh_update(), neigh_event_ns().
// Differs: NTF_MANAGED and NTF_USE entries are not refreshed here (NTF_USE is a question, which the
// mirror asks the kernel). Drops: NEIGH_FAILED by neigh_invalidate(), QUEUE_PURGE for what still
// waits when an entry becomes valid and invalid again while its queue is sent.
#include "neigh/neigh_impl.h"
#include "observe/trace.h"

namespace txp {
namespace {

// The packets that waited, in order, each without the lock held.
void send_waiting(Net& net, Neighbour& n, std::unique_lock<Spinlock>& guard) {
  NeighTable::Impl& table = n.tbl->impl();
  while (nud_valid(n.nud_state.load(std::memory_order_relaxed))) {
    SkbPtr skb = table.take(n);
    if (!skb) break;
    guard.unlock();
    static_cast<void>(neigh_resolve_output(net, std::move(skb), n));
    guard.lock();
  }
  SkbQueue left;
  while (!n.arp_queue.empty()) left.push_back(n.arp_queue.pop_front());
  n.arp_queue_len_bytes = 0;
  if (left.empty()) return;
  guard.unlock();
  table.purge(left, DropReason::QUEUE_PURGE);
  guard.lock();
}

// NUD_NONE, INCOMPLETE or FAILED: the address is not valid any more.
void invalidate(Net& net, Neighbour& n, Nud old, Nud state, std::unique_lock<Spinlock>& guard) {
  neigh_del_timer(net, n);
  neigh_set_state(net, n, state);
  if ((old == Nud::incomplete || old == Nud::probe) && state == Nud::failed)
    neigh_invalidate(net, n, guard);
}

}  // namespace

int neigh_update(Net& net, Neighbour& n, const MacAddr* mac, Nud new_state, std::uint32_t flags) {
  std::unique_lock guard(n.lock);
  const Nud old = n.nud_state.load(std::memory_order_relaxed);
  const bool admin = (flags & kNeighUpdateAdmin) != 0;
  if (n.dead) return EPERM;
  if (!admin && (old == Nud::noarp || old == Nud::permanent)) return EPERM;
  if (!nud_valid(new_state)) {
    invalidate(net, n, old, new_state, guard);
    return 0;
  }
  const MacAddr known = n.mac();
  MacAddr address = known;
  if (dev_has_header(*n.dev)) {
    if (mac != nullptr)
      address = *mac;
    else if (!nud_valid(old))
      return EINVAL;
  }
  const Nanos now = net.clock.now();
  if (nud_connected(new_state)) n.confirmed = now;
  // An address that is given but equal is no other address only when the entry was valid.
  bool other = mac != nullptr && dev_has_header(*n.dev) && (!nud_valid(old) || address != known);
  if (nud_valid(old)) {
    if (other && (flags & kNeighUpdateOverride) == 0) {
      if ((flags & kNeighUpdateWeakOverride) == 0 || !nud_connected(old)) return 0;
      other = false;
      new_state = Nud::stale;
    } else if (!other && new_state == Nud::stale && !admin) {
      new_state = old;
    }
  }
  if (new_state != old || other) n.updated = now;
  if (new_state != old) {
    neigh_del_timer(net, n);
    if (new_state == Nud::probe) n.probes = 0;
    neigh_set_state(net, n, new_state);
    if (nud_in_timer(new_state)) {
      const Nanos in = new_state == Nud::reachable ? n.tbl->impl().reachable_time(n) : Nanos{0};
      neigh_add_timer(net, n, now + in);
    }
  }
  if (other) {
    n.set_mac(address);
    net.generations.changed(Basis::neighbour);
    if (!nud_connected(new_state))
      n.confirmed = now - 2 * Nanos{neigh_parms(n).base_reachable_time_ms} * kMillisecond;
  }
  if (new_state != old && !nud_valid(old)) send_waiting(net, n, guard);
  guard.unlock();
  if ((new_state == Nud::permanent) != (old == Nud::permanent)) n.tbl->impl().update_gc_list(n);
  return 0;
}

bool neigh_event_ns(Net& net, NetDevice& dev, Ip4 addr, const MacAddr& mac) {
  NeighTable::Impl& table = net.neigh->impl();
  Neighbour* n = table.lookup_counted(dev, addr);
  if (n == nullptr) n = table.create(dev, neigh_key(dev, addr), false, false);
  if (n == nullptr) return false;
  neigh_update(net, *n, &mac, Nud::stale, kNeighUpdateOverride);
  return true;
}

}  // namespace txp
