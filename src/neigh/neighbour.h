// SPDX-License-Identifier: Apache-2.0
// Neighbours: who has the next hop's hardware address. Kernel twins: net/core/neighbour.c,
// net/ipv4/arp.c, include/net/neighbour.h.
#pragma once

#include <atomic>
#include <cstdint>
#include <expected>
#include <functional>
#include <memory>
#include <optional>
#include <span>
#include <vector>

#include "base/clock.h"
#include "base/result.h"
#include "base/spinlock.h"
#include "neigh/neigh_spec.h"
#include "observe/counters.h"
#include "skb/skb.h"
#include "softirq/timer.h"

namespace txp {

class NeighTable;
struct NetDevice;
struct NeighParms;

// struct neighbour. Reached through NeighTable inside an RcuReader; fields under `lock` unless
// atomic. Lock order: the table's, then a neighbour's; never one of them across a send.
//
// The state machine (NeighOwner::engine), as net/core/neighbour.c has it. p: probes sent since the
// state began; U, A, M, R: ucast_solicit, app_solicit, mcast_solicit, mcast_resolicit. What is not
// listed changes nothing. "locked": within locktime of the last change, and not a gratuitous ARP.
//
//  state         event                       becomes      does
//  NONE, FAILED  packet, A + M > 0           INCOMPLETE   p = U, probes at once; the packet waits
//                packet, A + M = 0           FAILED       drops it: NEIGH_FAILED
//                reply to us                 REACHABLE    takes the address
//                request, broadcast reply    STALE        takes the address
//  INCOMPLETE    packet                      INCOMPLETE   it waits; the oldest: NEIGH_QUEUEFULL
//                timer, p < U + A + M        INCOMPLETE   probes; again after retrans_time
//                timer, p = U + A + M        FAILED       drops what waits: NEIGH_FAILED, and ICMP
//                                                         host unreachable to the senders
//                reply to us                 REACHABLE    takes the address, sends what waited
//                request, broadcast reply    STALE        takes the address, sends what waited,
//                which
//                                                         makes it DELAY at once
//  STALE         packet                      DELAY        is sent; timer in delay_first_probe_time
//                reply to us                 REACHABLE
//  DELAY         timer, confirmed since      REACHABLE
//                timer                       PROBE        p = 0, probes the known address
//                reply to us                 REACHABLE
//  PROBE         timer, p < U + A + R        PROBE        probes; again after retrans_time
//                timer, p = U + A + R        FAILED
//                reply to us                 REACHABLE
//  REACHABLE     timer, confirmed since      REACHABLE    again at confirmed + reachable_time
//                timer, used within          DELAY        timer in delay_first_probe_time
//                  delay_first_probe_time
//                timer                       STALE
//  any valid     other address, locked       (the same)   keeps the old address
//                reply, other address        REACHABLE    takes the new address
//                request, other address      STALE        takes the new address
//
// NOARP and PERMANENT change by configuration only and are sent through; both count as connected,
// with REACHABLE. With NeighOwner::kernel a packet asks the kernel (a state without an address: it
// waits; STALE: DELAY, it is sent) and only NeighTable::set() and remove() change the state.
struct Neighbour {
  NetDevice* dev = nullptr;
  NeighTable* tbl = nullptr;  // arp_tbl or nd_tbl
  Ip4 primary_key;
  Ip6 primary_key6;  // of nd_tbl's
  std::atomic<Nud> nud_state{Nud::none};
  std::atomic<std::uint64_t> ha{0};    // the six address bytes, in memory order; whole at any time
  std::uint8_t type = 1;               // RTN_UNICAST, RTN_BROADCAST, RTN_MULTICAST, RTN_LOCAL
  std::atomic<std::uint8_t> flags{0};  // NTF_*
  Spinlock lock;
  bool dead = false;
  SkbQueue arp_queue;
  std::uint32_t arp_queue_len_bytes = 0;  // truesize
  std::atomic<Nanos> used{0};             // last packet that went the slow way
  Nanos confirmed = 0;
  Nanos updated = 0;
  Nanos asked = -1;  // last ask_kernel; -1: never
  std::uint32_t probes = 0;
  Timer timer;
  std::atomic<Neighbour*> next{nullptr};  // hash chain
  Neighbour* gc_next = nullptr;           // under the table's lock
  Neighbour* gc_prev = nullptr;
  bool on_gc_list = false;

  MacAddr mac() const;
  void set_mac(const MacAddr& mac);
  NeighSpec spec() const;  // for traces and `stat`
};

// Who answers "who has": the engine speaks ARP itself (standing alone), or the kernel owns the
// table and is asked over netlink (a mirrored namespace).
enum class NeighOwner : std::uint8_t { engine, kernel };

// arp_tbl or nd_tbl. Lookups inside an RcuReader, from any thread.
class NeighTable {
 public:
  enum class Family : std::uint8_t { inet, inet6 };
  NeighTable(Net& net, Family family);
  ~NeighTable();
  const Family family;

  NeighOwner owner = NeighOwner::engine;
  // With NeighOwner::kernel: asks the kernel to resolve (RTM_NEWNEIGH with NTF_USE). May be empty
  // (explain): then nobody is asked, and packets wait.
  std::function<void(int ifindex, Ip4 next_hop)> ask_kernel;
  std::function<void(int ifindex, const Ip6& next_hop)> ask_kernel6;  // the same of nd_tbl
  // With NeighOwner::kernel: tells the kernel that a next hop answers (MSG_CONFIRM). May be empty.
  std::function<void(int ifindex, Ip4 next_hop)> confirm_kernel;
  std::function<void(int ifindex, const Ip6& next_hop)> confirm_kernel6;

  Neighbour* lookup(const NetDevice& dev, Ip4 next_hop) const;  // __ipv4_neigh_lookup_noref()
  // neigh_create(): null when gc_thresh3 forbids it (NEIGH_CREATEFAIL).
  Neighbour* create(NetDevice& dev, Ip4 next_hop, Trace* trace);
  Neighbour* lookup(const NetDevice& dev, const Ip6& next_hop) const;
  Neighbour* create(NetDevice& dev, const Ip6& next_hop, Trace* trace);

  // Configuration and mirror: an entry as `ip neigh replace` or a kernel notification gives it.
  // Sends what waited when the state becomes valid; drops it (NEIGH_FAILED) when it failed.
  void set(const NeighSpec& spec);
  void remove(int ifindex, Ip4 next_hop);
  void remove(int ifindex, const Ip6& next_hop);
  void flush_dev(int ifindex);  // neigh_ifdown(): drops what waits
  void flush_waiting();         // drops what waits, with the entries that it waits for
  void set_gc(std::uint32_t thresh1, std::uint32_t thresh2, std::uint32_t thresh3);

  // Frees what garbage collection took out. Net::poll() calls it: not inside an RcuReader (there it
  // does nothing), any thread.
  void reap();

  std::vector<NeighSpec> all() const;
  std::uint64_t queued() const;  // packets that wait in arp_queues
  // /proc/net/stat/arp_cache, by the kernel's field names.
  struct Stats {
    std::uint64_t entries, allocs, destroys, hash_grows, lookups, hits, res_failed,
        unresolved_discards, table_fulls;
  };
  Stats stats() const;

  struct Impl;  // neigh_impl.h: neigh/'s own files
  Impl& impl() const { return *impl_; }

 private:
  template <typename Key>
  void remove_key(int ifindex, const Key& key);
  template <typename Key>
  void set_key(const NeighSpec& spec, NetDevice& dev, const Key& key);
  void flush(const std::function<bool(Neighbour&)>& goes);
  Net& net_;
  std::unique_ptr<Impl> impl_;
};

inline constexpr std::uint8_t kNtfExtLearned = 0x10;

// NEIGH_UPDATE_F_*.
inline constexpr std::uint32_t kNeighUpdateOverride = 1;
inline constexpr std::uint32_t kNeighUpdateWeakOverride = 2;
inline constexpr std::uint32_t kNeighUpdateAdmin = 0x80000000;
// neigh_update(): an event (ARP packet, configuration) about `neigh`. `mac` null: no address given.
// 0, or the kernel's errno: EPERM (dead, or not the administrator's to change), EINVAL (no
// address).
int neigh_update(Net& net, Neighbour& neigh, const MacAddr* mac, Nud new_state,
                 std::uint32_t flags);

// The output stages.
TxResult neigh_output(Net& net, SkbPtr skb, Neighbour& neigh);
TxResult neigh_resolve_output(Net& net, SkbPtr skb, Neighbour& neigh);

// neigh_event_send() without a packet: asks for the address of one that will be needed.
void neigh_resolve(Net& net, Neighbour& neigh);

// MSG_CONFIRM: the program knows that the neighbour answers (neigh_confirm()); the same for the
// next hop of a route, when it is in the table (dst_confirm_neigh()).
void neigh_confirm(Net& net, Neighbour& neigh);
void dst_confirm_neigh(Net& net, const Rtable& rt, Ip4 daddr);
void ip6_confirm_neigh(Net& net, const NetDevice& dev, const Ip6& next_hop);

// Writes the link's header before skb->data (dev_hard_header()); a device without one is left
// alone. False: no headroom.
bool dev_hard_header(Skb& skb, const NetDevice& dev, std::uint16_t proto, const MacAddr& dest);
// dev->header_ops: whether the device's frames have an Ethernet header.
bool dev_has_header(const NetDevice& dev);

// arp_solicit(): one probe for `neigh`; `waiting` is the source of the newest packet that waits.
void arp_solicit(Net& net, Neighbour& neigh, std::optional<Ip4> waiting);
// ndisc_solicit(): the same for an IPv6 neighbour.
void ndisc_solicit(Net& net, Neighbour& neigh, const std::optional<Ip6>& waiting);
// A received ARP packet, Ethernet header taken off. The error is why it was refused.
std::expected<void, DropReason> arp_rcv(Net& net, NetDevice& dev,
                                        std::span<const std::uint8_t> packet, PacketType type);

}  // namespace txp
