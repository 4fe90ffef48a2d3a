// SPDX-License-Identifier: Apache-2.0
// Growth and garbage collection of the neighbour table, and the way out of it.
//
// Kernel twin: net/core/neighbour.c, neigh_forced_gc(), neigh_periodic_work(), neigh_hash_grow(),
// neigh_update_gc_list(), neigh_mark_dead().
// Differs: the periodic work sleeps while the table is below gc_thresh1 (there it would do
// nothing); with NeighOwner::kernel nothing is collected here, the kernel's own collection comes as
// remove(). An entry counts as referenced, as there, while its timer is set.
#include <algorithm>

#include "neigh/neigh_impl.h"

namespace txp {
namespace {

constexpr Nanos kReachRedraw = 300 * kSecond;

// refcount_read(&n->refcnt) == 1: the timer holds a reference.
bool unreferenced(const Neighbour& n) {
  return !nud_in_timer(n.nud_state.load(std::memory_order_relaxed));
}

}  // namespace

NeighTable::Impl::Impl(Net& n, NeighTable& t)
    : net(n),
      tbl(t),
      nht(new NeighHash(3)),
      hash_rnd(n.random.u32() | 1),
      last_flush(n.clock.now()) {
  gc_work.arg = this;
  gc_work.function = [](Net&, Timer& t) { static_cast<Impl*>(t.arg)->periodic_gc(); };
}

NeighTable::Impl::~Impl() {
  free_dead();
  delete nht.set(nullptr);
}

void NeighTable::Impl::gc_add(Neighbour& n) {
  n.gc_next = nullptr;
  n.gc_prev = gc_last;
  (gc_last != nullptr ? gc_last->gc_next : gc_first) = &n;
  gc_last = &n;
  n.on_gc_list = true;
  gc_entries.fetch_add(1, std::memory_order_relaxed);
}

void NeighTable::Impl::gc_del(Neighbour& n) {
  (n.gc_prev != nullptr ? n.gc_prev->gc_next : gc_first) = n.gc_next;
  (n.gc_next != nullptr ? n.gc_next->gc_prev : gc_last) = n.gc_prev;
  n.gc_next = n.gc_prev = nullptr;
  n.on_gc_list = false;
  gc_entries.fetch_sub(1, std::memory_order_relaxed);
}

NeighHash& NeighTable::Impl::grow(const NeighHash& old) {
  auto* bigger = new NeighHash(old.shift + 1);
  stats.hash_grows.fetch_add(1, std::memory_order_relaxed);
  // A reader on its way through an old chain may slip into a new one and miss: it then comes to
  // create(), which looks again under the lock.
  for (std::size_t b = 0; b < old.size(); ++b) {
    Neighbour* n = old.buckets[b].load(std::memory_order_relaxed);
    while (n != nullptr) {
      Neighbour* next = n->next.load(std::memory_order_relaxed);
      auto& to = bigger->bucket_of(*n, hash_rnd);
      n->next.store(to.load(std::memory_order_relaxed), std::memory_order_release);
      to.store(n, std::memory_order_release);
      n = next;
    }
  }
  NeighHash* was = nht.set(bigger);
  const std::lock_guard guard(graveyard_mutex);
  dead_hashes.push_back(was);
  return *bigger;
}

void NeighTable::Impl::unlink(Neighbour& n) {
  std::atomic<Neighbour*>* link = &nht->bucket_of(n, hash_rnd);
  while (link->load(std::memory_order_relaxed) != &n)
    link = &link->load(std::memory_order_relaxed)->next;
  link->store(n.next.load(std::memory_order_relaxed), std::memory_order_release);
  if (n.on_gc_list) gc_del(n);
  entries.fetch_sub(1, std::memory_order_relaxed);
}

void NeighTable::Impl::bury(Neighbour& n, SkbQueue& left) {
  n.dead = true;
  net.timers.cancel(n.timer);
  net.generations.changed(Basis::neighbour);
  while (!n.arp_queue.empty()) left.push_back(n.arp_queue.pop_front());
  n.arp_queue_len_bytes = 0;
}

void NeighTable::Impl::retire(Neighbour& n) {
  stats.destroys.fetch_add(1, std::memory_order_relaxed);
  const std::lock_guard guard(graveyard_mutex);
  dead_neighs.push_back(&n);
}

void NeighTable::Impl::free_dead() {
  for (Neighbour* n : dead_neighs) delete n;
  for (NeighHash* h : dead_hashes) delete h;
  dead_neighs.clear();
  dead_hashes.clear();
}

void NeighTable::reap() {
  std::vector<Neighbour*> neighs;
  std::vector<NeighHash*> hashes;
  {
    const std::lock_guard guard(impl_->graveyard_mutex);
    if ((impl_->dead_neighs.empty() && impl_->dead_hashes.empty()) || urcu_bp_read_ongoing() != 0)
      return;
    neighs.swap(impl_->dead_neighs);
    hashes.swap(impl_->dead_hashes);
  }
  urcu_bp_synchronize_rcu();
  rcu_tell_tsan_grace_period(&rcu_tsan_domain);
  for (Neighbour* n : neighs) delete n;
  for (NeighHash* h : hashes) delete h;
}

SkbPtr NeighTable::Impl::take(Neighbour& n) {
  SkbPtr skb = n.arp_queue.pop_front();
  if (!skb) return skb;
  n.arp_queue_len_bytes -= std::min(n.arp_queue_len_bytes, skb->truesize);
  waiting.fetch_sub(1, std::memory_order_release);
  return skb;
}

void NeighTable::Impl::purge(SkbQueue& left, DropReason reason) {
  while (SkbPtr skb = left.pop_front()) {
    waiting.fetch_sub(1, std::memory_order_release);
    drop(net, Stage::neigh_resolve_output, std::move(skb), reason);
  }
}

std::size_t NeighTable::Impl::forced_gc() {
  const Nanos now = net.clock.now();
  const bool collect = tbl.owner == NeighOwner::engine;
  std::size_t shrunk = 0;
  std::vector<Neighbour*> gone;
  SkbQueue left;
  {
    const std::lock_guard table(lock);
    const auto max_clean = static_cast<std::int64_t>(gc_entries.load(std::memory_order_relaxed)) -
                           gc_thresh2.load(std::memory_order_relaxed);
    Neighbour* n = gc_first;
    while (n != nullptr) {
      Neighbour* next = n->gc_next;
      const std::lock_guard guard(n->lock);
      const Nud state = n->nud_state.load(std::memory_order_relaxed);
      if (unreferenced(*n) &&
          (state == Nud::failed || state == Nud::noarp || n->primary_key.is_multicast() ||
           n->primary_key6.is_multicast() || now > n->updated + 5 * kSecond)) {
        if (collect) {
          unlink(*n);
          bury(*n, left);
          gone.push_back(n);
        }
        ++shrunk;
      }
      if (static_cast<std::int64_t>(shrunk) >= max_clean) break;
      n = next;
    }
    last_flush = now;
  }
  purge(left, DropReason::QUEUE_PURGE);
  for (Neighbour* n : gone) retire(*n);
  return shrunk;
}

void NeighTable::Impl::arm_gc() {
  if (tbl.owner == NeighOwner::kernel) return;
  if (entries.load(std::memory_order_relaxed) < gc_thresh1.load(std::memory_order_relaxed)) return;
  const std::lock_guard guard(lock);
  if (gc_armed) return;
  gc_armed = true;
  const Nanos base = Nanos{NeighParms{}.base_reachable_time_ms} * kMillisecond;
  net.timers.mod(gc_work, net.clock.now() + base / 2);
}

void NeighTable::Impl::periodic_gc() {
  const Nanos now = net.clock.now();
  std::vector<Neighbour*> gone;
  SkbQueue left;
  {
    const std::lock_guard table(lock);
    gc_armed = false;
  }
  if (entries.load(std::memory_order_relaxed) >= gc_thresh1.load(std::memory_order_relaxed)) {
    const std::lock_guard table(lock);
    const NeighHash& hash = *nht;
    for (std::size_t b = 0; b < hash.size(); ++b) {
      Neighbour* n = hash.buckets[b].load(std::memory_order_relaxed);
      while (n != nullptr) {
        Neighbour* next = n->next.load(std::memory_order_relaxed);
        const std::lock_guard guard(n->lock);
        const Nud state = n->nud_state.load(std::memory_order_relaxed);
        const bool keep = state == Nud::permanent || nud_in_timer(state) ||
                          (n->flags.load(std::memory_order_relaxed) & kNtfExtLearned) != 0;
        const Nanos stale_time = Nanos{neigh_parms(*n).gc_stale_time_ms} * kMillisecond;
        const Nanos used = std::max(n->used.load(std::memory_order_relaxed), n->confirmed);
        if (!keep && (state == Nud::failed || now >= used + stale_time)) {
          unlink(*n);
          bury(*n, left);
          gone.push_back(n);
        }
        n = next;
      }
    }
  }
  purge(left, DropReason::QUEUE_PURGE);
  for (Neighbour* n : gone) retire(*n);
  arm_gc();
}

void NeighTable::Impl::update_gc_list(Neighbour& n) {
  const std::lock_guard table(lock);
  const std::lock_guard guard(n.lock);
  if (n.dead) return;
  const bool exempt = n.nud_state.load(std::memory_order_relaxed) == Nud::permanent ||
                      (n.flags.load(std::memory_order_relaxed) & kNtfExtLearned) != 0;
  if (exempt && n.on_gc_list)
    gc_del(n);
  else if (!exempt && !n.on_gc_list)
    gc_add(n);
}

bool NeighTable::Impl::is_proxy(int ifindex, Ip4 addr) {
  const std::lock_guard guard(lock);
  return std::ranges::any_of(proxies, [&](const Proxy& p) {
    return p.addr == addr && (p.ifindex == ifindex || p.ifindex == 0);
  });
}

Nanos NeighTable::Impl::reachable_time(const Neighbour& n) {
  const std::uint32_t base = neigh_parms(n).base_reachable_time_ms;
  const Nanos now = net.clock.now();
  const std::lock_guard guard(reach_lock);
  Reach& r = reach[n.dev->ifindex];
  if (r.time == 0 || r.base_ms != base || now > r.drawn + kReachRedraw) {
    // neigh_rand_reach_time(): base/2 ... 3*base/2.
    r = {base, now, (Nanos{net.random.below(base)} + (base >> 1)) * kMillisecond};
  }
  return r.time;
}

}  // namespace txp
