// SPDX-License-Identifier: Apache-2.0
// Neighbours: who has the next hop's hardware address. Kernel twins: net/core/neighbour.c,
// net/ipv4/arp.c, include/net/neighbour.h.
#pragma once

#include <atomic>
#include <cstdint>
#include <functional>
#include <vector>

#include "base/clock.h"
#include "base/result.h"
#include "base/spinlock.h"
#include "neigh/neigh_spec.h"
#include "observe/counters.h"
#include "skb/skb.h"
#include "softirq/timer.h"

namespace txp {

struct NetDevice;
struct NeighParms;

// struct neighbour. Reached through NeighTable inside an RcuReader; fields under `lock` unless
// atomic.
struct Neighbour {
  NetDevice* dev = nullptr;
  Ip4 primary_key;
  std::atomic<Nud> nud_state{Nud::none};
  std::atomic<std::uint32_t> seq{0};  // hh seqlock: odd while ha changes (write_seqlock(&hh_lock))
  std::atomic<std::uint64_t> ha{0};   // the six address bytes, in memory order
  std::uint8_t type = 1;              // RTN_UNICAST, RTN_BROADCAST, RTN_MULTICAST, RTN_LOCAL
  std::uint8_t flags = 0;             // NTF_*
  Spinlock lock;
  bool dead = false;
  SkbQueue arp_queue;
  std::uint32_t arp_queue_len_bytes = 0;  // truesize
  std::atomic<Nanos> used{0};
  Nanos confirmed = 0;
  Nanos updated = 0;
  std::uint32_t probes = 0;
  Timer timer;
  std::atomic<Neighbour*> next{nullptr};  // hash chain

  MacAddr mac() const;
  NeighSpec spec() const;  // for traces and `stat`
};

// Who answers "who has": the engine speaks ARP itself (standing alone), or the kernel owns the
// table and is asked over netlink (a mirrored namespace).
enum class NeighOwner : std::uint8_t { engine, kernel };

// arp_tbl. Lookups inside an RcuReader, from any thread.
class NeighTable {
 public:
  explicit NeighTable(Net& net);
  ~NeighTable();

  NeighOwner owner = NeighOwner::engine;
  // With NeighOwner::kernel: asks the kernel to resolve (RTM_NEWNEIGH with NTF_USE). May be empty
  // (explain): then nobody is asked, and packets wait.
  std::function<void(int ifindex, Ip4 next_hop)> ask_kernel;

  Neighbour* lookup(const NetDevice& dev, Ip4 next_hop) const;  // __ipv4_neigh_lookup_noref()
  // neigh_create(): null when gc_thresh3 forbids it (NEIGH_CREATEFAIL).
  Neighbour* create(NetDevice& dev, Ip4 next_hop, Trace* trace);

  // Configuration and mirror: an entry as `ip neigh replace` or a kernel notification gives it.
  // Sends what waited when the state becomes valid; drops it (NEIGH_FAILED) when it failed.
  void set(const NeighSpec& spec);
  void remove(int ifindex, Ip4 next_hop);
  void flush_dev(int ifindex);  // neigh_ifdown(): drops what waits
  void set_gc(std::uint32_t thresh1, std::uint32_t thresh2, std::uint32_t thresh3);

  std::vector<NeighSpec> all() const;
  std::uint64_t queued() const;  // packets that wait in arp_queues
  // /proc/net/stat/arp_cache, by the kernel's field names.
  struct Stats {
    std::uint64_t entries, allocs, destroys, hash_grows, lookups, hits, res_failed,
        unresolved_discards, table_fulls;
  };
  Stats stats() const;

 private:
  struct Impl;
  friend struct NeighImplAccess;
  Net& net_;
  std::unique_ptr<Impl> impl_;
};

// NEIGH_UPDATE_F_*.
inline constexpr std::uint32_t kNeighUpdateOverride = 1;
inline constexpr std::uint32_t kNeighUpdateWeakOverride = 2;
inline constexpr std::uint32_t kNeighUpdateAdmin = 0x80000000;
// neigh_update(): an event (ARP packet, configuration) about `neigh`. `mac` null: no address given.
void neigh_update(Net& net, Neighbour& neigh, const MacAddr* mac, Nud new_state,
                  std::uint32_t flags);

// The output stages.
TxResult neigh_output(Net& net, SkbPtr skb, Neighbour& neigh);
TxResult neigh_resolve_output(Net& net, SkbPtr skb, Neighbour& neigh);

// arp_solicit() and arp_rcv().
void arp_solicit(Net& net, Neighbour& neigh, const Skb* first_waiting);
void arp_rcv(Net& net, NetDevice& dev, std::span<const std::uint8_t> packet, PacketType type);

}  // namespace txp
