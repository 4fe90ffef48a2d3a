// SPDX-License-Identifier: Apache-2.0
// What neigh/'s files share: the inside of NeighTable and the state machine's parts.
#pragma once

#include <mutex>
#include <optional>
#include <unordered_map>
#include <vector>

#include "base/rcu.h"
#include "base/sysctl.h"
#include "dev/netdevice.h"
#include "neigh/neighbour.h"
#include "net.h"

namespace txp {

// struct neigh_hash_table.
struct NeighHash {
  explicit NeighHash(unsigned bits);
  ~NeighHash() { delete[] buckets; }
  NeighHash(const NeighHash&) = delete;
  NeighHash& operator=(const NeighHash&) = delete;
  std::size_t size() const { return std::size_t{1} << shift; }
  std::atomic<Neighbour*>& bucket(int ifindex, Ip4 key, std::uint32_t rnd) const;
  std::atomic<Neighbour*>& bucket(int ifindex, const Ip6& key, std::uint32_t rnd) const;
  std::atomic<Neighbour*>& bucket_of(const Neighbour& n, std::uint32_t rnd) const;

  const unsigned shift;
  std::atomic<Neighbour*>* const buckets;
};

struct NeighTable::Impl {
  Impl(Net& n, NeighTable& t);
  ~Impl();

  Net& net;
  NeighTable& tbl;
  Spinlock lock;  // tbl->lock: writers of the chains, the gc list and the proxies
  RcuPtr<NeighHash> nht;
  const std::uint32_t hash_rnd;
  std::atomic<std::uint64_t> waiting{0};  // packets in all arp_queues
  std::atomic<std::uint32_t> entries{0};
  std::atomic<std::uint32_t> gc_entries{0};
  Neighbour* gc_first = nullptr;  // by age of creation
  Neighbour* gc_last = nullptr;
  std::atomic<std::uint32_t> gc_thresh1{NeighGc{}.thresh1};
  std::atomic<std::uint32_t> gc_thresh2{NeighGc{}.thresh2};
  std::atomic<std::uint32_t> gc_thresh3{NeighGc{}.thresh3};
  Nanos last_flush = 0;
  Timer gc_work;
  bool gc_armed = false;  // under `lock`

  struct Proxy {
    int ifindex;  // 0: any
    Ip4 addr;
  };
  std::vector<Proxy> proxies;

  // neigh_parms.reachable_time by device: random, drawn anew every 300 s.
  struct Reach {
    std::uint32_t base_ms;
    Nanos drawn;
    Nanos time;
  };
  Spinlock reach_lock;
  std::unordered_map<int, Reach> reach;

  // Out of the table, waiting for their readers.
  std::mutex graveyard_mutex;
  std::vector<Neighbour*> dead_neighs;
  std::vector<NeighHash*> dead_hashes;

  struct {
    std::atomic<std::uint64_t> allocs{0}, destroys{0}, hash_grows{0}, lookups{0}, hits{0},
        res_failed{0}, unresolved_discards{0}, table_fulls{0};
  } stats;

  Neighbour* find(int ifindex, Ip4 key) const;  // ___neigh_lookup_noref()
  Neighbour* find(int ifindex, const Ip6& key) const;
  Neighbour* lookup_counted(const NetDevice& dev, Ip4 key);  // neigh_lookup()
  // ___neigh_create(). `unlimited`: gc_thresh3 does not forbid it.
  template <typename Key>
  Neighbour* create(NetDevice& dev, const Key& key, bool exempt_from_gc, bool unlimited);
  void unlink(Neighbour& n);  // `lock` held: takes it out of its chain and the gc list
  void bury(Neighbour& n, SkbQueue& left);  // neigh_mark_dead() and its timer; n.lock held
  void retire(Neighbour& n);
  std::size_t forced_gc();  // neigh_forced_gc()
  void periodic_gc();       // neigh_periodic_work()
  void arm_gc();
  void update_gc_list(Neighbour& n);  // neigh_update_gc_list()
  bool is_proxy(int ifindex, Ip4 addr);
  Nanos reachable_time(const Neighbour& n);
  SkbPtr take(Neighbour& n);  // the oldest packet that waits, or null; n.lock held
  void purge(SkbQueue& left, DropReason reason);
  void free_dead();

 private:
  void gc_add(Neighbour& n);
  void gc_del(Neighbour& n);
  NeighHash& grow(const NeighHash& old);
};

inline constexpr Nanos kNeighMinTimer = 10 * kMillisecond;  // HZ / 100

inline const NeighParms& neigh_parms(const Neighbour& n) {
  return n.tbl->family == NeighTable::Family::inet ? n.dev->in_dev().arp_parms
                                                   : n.dev->in6_dev().nd_parms;
}
// The key that `dev` uses for a next hop (arp_constructor()): all zero where there is but one peer.
inline Ip4 neigh_key(const NetDevice& dev, Ip4 next_hop) {
  return (dev.flags() & (kIffLoopback | kIffPointopoint)) != 0 ? Ip4{} : next_hop;
}

// A change that flow plans must see: after it is made.
inline void neigh_set_state(Net& net, Neighbour& n, Nud state) {
  n.nud_state.store(state, std::memory_order_release);
  net.generations.changed(Basis::neighbour);
}
// max(RETRANS_TIME, HZ/100), ns.
Nanos neigh_retrans_time(const NeighParms& p);
// neigh_add_timer(), unless the kernel owns the table. `n.lock` held.
void neigh_add_timer(Net& net, Neighbour& n, Nanos when);
// neigh_del_timer(). `n.lock` held.
void neigh_del_timer(Net& net, Neighbour& n);
// neigh_timer_handler().
void neigh_timer_handler(Net& net, Timer& timer);
// neigh_probe(): sends one probe and counts it. `n.lock` held, given up.
void neigh_probe(Net& net, Neighbour& n, std::unique_lock<Spinlock>& guard);
// neigh_invalidate(): what waits is dropped and its senders are told. `n.lock` held, given up and
// taken again.
void neigh_invalidate(Net& net, Neighbour& n, std::unique_lock<Spinlock>& guard);
// __neigh_event_send(): true when it has taken `skb` (it waits or was dropped).
bool neigh_event_send(Net& net, Neighbour& n, SkbPtr& skb);
// neigh_event_ns(): someone asked for us and told its own address. False: no room in the table.
bool neigh_event_ns(Net& net, NetDevice& dev, Ip4 addr, const MacAddr& mac);
// Asks the kernel for `n`, at most once in retrans_time. `n.lock` held, given up.
void neigh_ask_kernel(Net& net, Neighbour& n, std::unique_lock<Spinlock>& guard);

}  // namespace txp
