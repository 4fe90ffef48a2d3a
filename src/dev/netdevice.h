// SPDX-License-Identifier: Apache-2.0
// Net devices and the tables that hang on them. Kernel twins: include/linux/netdevice.h
// (struct net_device, struct netdev_queue), include/linux/inetdevice.h (struct in_device).
#pragma once

#include <array>
#include <atomic>
#include <functional>
#include <memory>
#include <mutex>
#include <string_view>
#include <unordered_map>
#include <vector>

#include "base/rcu.h"
#include "base/result.h"
#include "base/spinlock.h"
#include "base/sysctl.h"
#include "dev/dql.h"
#include "dev/link.h"
#include "drivers/driver.h"
#include "observe/counters.h"
#include "sched/qdisc.h"
#include "softirq/timer.h"
#include "tap/tap.h"

namespace txp {

struct Clsact;
struct Cpu;
struct NfEgress;

// struct netdev_queue.
struct TxQueue {
  NetDevice* dev = nullptr;
  unsigned index = 0;
  RcuPtr<Qdisc> qdisc;  // the active one: noop while the device is down; never null
  std::shared_ptr<Qdisc> qdisc_sleeping;             // the configured one; under rtnl
  Spinlock xmit_lock;                                // HARD_TX_LOCK
  std::atomic<const Cpu*> xmit_lock_owner{nullptr};  // who holds it, to see a device that loops
  std::atomic<bool> stopped{false};                  // netif_tx_stop_queue(), by the driver
  std::atomic<bool> stack_xoff{false};               // by the byte queue limit
  Dql dql;                                           // of a driver that tells what it completed
  Timer watchdog;                                    // dev_watchdog(): while packets wait for it
  std::atomic<bool> watchdog_armed{false};
  std::uint64_t watchdog_seen = 0;              // tx_packets at its last look
  std::atomic<std::uint64_t> trans_timeout{0};  // times that it found the queue stuck
  bool xoff() const {                           // netif_xmit_stopped()
    return stopped.load(std::memory_order_acquire) || stack_xoff.load(std::memory_order_acquire);
  }
  // What the driver took. Each thread counts in its own place, so that a driver which needs no
  // transmit lock needs none for this either (dev_lstats); the last place is all later threads'.
  struct alignas(64) Sent {
    Count packets;
    Count bytes;
  };
  static constexpr unsigned kSentPlaces = 16;
  std::array<Sent, kSentPlaces> sent;
  Spinlock last_sent_lock;
  void count_sent(unsigned thread, std::uint64_t packets, std::uint64_t bytes) {
    if (thread >= kSentPlaces - 1) [[unlikely]] {
      const std::lock_guard guard(last_sent_lock);
      return add_sent(sent.back(), packets, bytes);
    }
    add_sent(sent[thread], packets, bytes);
  }
  std::uint64_t tx_packets() const { return total(&Sent::packets); }
  std::uint64_t tx_bytes() const { return total(&Sent::bytes); }

  std::atomic<std::uint64_t> tx_dropped{0};
  std::atomic<std::uint64_t> tx_errors{0};

 private:
  static void add_sent(Sent& to, std::uint64_t packets, std::uint64_t bytes) {
    to.packets.add(packets);
    to.bytes.add(bytes);
  }
  std::uint64_t total(Count Sent::* count) const {
    std::uint64_t n = 0;
    for (const Sent& s : sent) n += (s.*count).get();
    return n;
  }
};

// What one socket wants to hear of a group that it joined (struct ip_sf_socklist).
struct McFilter {
  const Sock* sk = nullptr;
  Ip4 group;
  bool include = false;
  std::vector<Ip4> sources = {};
};

// The IPv4 side of a device (struct in_device): immutable, republished on change.
struct InDevice {
  std::vector<InAddr> addrs;   // in the kernel's order: primaries, then secondaries
  std::vector<Ip4> mc_groups;  // joined groups, 224.0.0.1 included, once for each that joined
  std::vector<McFilter> mc_filters = {};  // of those that do not hear everybody
  InDevConf conf;
  NeighParms arp_parms;
};

// Its IPv6 side (struct inet6_dev): immutable, republished on change.
struct Inet6Dev {
  std::vector<In6Addr> addrs;  // in the kernel's order: wide scopes first
  std::vector<Ip6> mc_groups;
  Inet6DevConf conf;
  NeighParms nd_parms;
  friend bool operator==(const Inet6Dev&, const Inet6Dev&) = default;
};

struct NetDevice {
  NetDevice() = default;
  ~NetDevice();
  NetDevice(const NetDevice&) = delete;
  NetDevice& operator=(const NetDevice&) = delete;

  int ifindex = 0;
  RcuPtr<const Link> link_;
  RcuPtr<const InDevice> in_dev_;
  const Link& link() const { return *link_; }
  RcuPtr<const Inet6Dev> in6_dev_;
  const InDevice& in_dev() const { return *in_dev_; }
  const Inet6Dev& in6_dev() const { return *in6_dev_; }
  const std::string& name() const { return link().name; }
  std::uint32_t flags() const { return link().flags; }
  std::uint32_t mtu() const { return link().mtu; }
  bool is_up() const { return (flags() & kIffUp) != 0; }

  std::vector<std::unique_ptr<TxQueue>> tx;  // fixed in number for the device's life
  // The disciplines of `tc qdisc`: the root first, then an mq's children by queue. Under rtnl.
  std::vector<std::shared_ptr<Qdisc>> qdiscs;
  std::vector<QdiscTree> qdisc_trees;            // what they were made of, one by one
  std::atomic<std::uint64_t> driver_waiting{0};  // hold_taken(): packets
  RcuPtr<const std::vector<Tap*>> taps;          // null or the taps on this device
  std::unique_ptr<Driver> driver;                // changed only while nothing sends (attach())
  DriverFeatures features;                       // the driver's, read once
  // Where TXPATH cannot follow: "vxlan vx0" and its like. Empty: the engine knows this device.
  RcuPtr<const std::string> unknown_kind;
  RcuPtr<const NfEgress> nf_egress;                      // netdev chains on its egress; null: none
  RcuPtr<const std::vector<FilterSpec>> egress_filters;  // not tc's (tcx): unknown
  RcuPtr<Clsact> clsact;                                 // null: none

  std::atomic<std::uint64_t> rx_packets{0};
  std::atomic<std::uint64_t> rx_bytes{0};
  std::atomic<std::uint64_t> rx_dropped{0};
  std::atomic<std::uint64_t> tx_dropped{0};  // dev_core_stats: dropped above the driver
};

// The devices of a Net. Readers: inside an RcuReader. Writers: with net.rtnl held.
class DevTable {
 public:
  explicit DevTable(Net& net);
  ~DevTable();

  // Readers. Null when there is none.
  NetDevice* by_index(int ifindex) const;
  NetDevice* by_name(std::string_view name) const;
  const std::vector<NetDevice*>& all() const;  // by ifindex
  NetDevice* loopback() const;

  // Writers. set_link() makes or changes a device; a new one has the null driver (loopback: the
  // loopback driver) and its default qdisc. remove_link() purges its queues, neighbours, routes.
  NetDevice& set_link(const Link& link);
  void remove_link(int ifindex);
  void set_addr(const InAddr& addr);  // adds or changes
  void remove_addr(int ifindex, Ip4 local, std::uint8_t prefixlen);
  void set_in_conf(int ifindex, const InDevConf& conf);
  void set_neigh_parms(int ifindex, const NeighParms& parms);
  void set_mc_groups(int ifindex, std::vector<Ip4> groups);
  // In the place of what the same socket wanted before.
  void set_mc_filter(int ifindex, McFilter filter);
  // Publishes the IPv6 side as `change` leaves it.
  void change_inet6(int ifindex, const std::function<void(Inet6Dev&)>& change);
  // Rebuilds the device's qdisc trees from the kernel's list (roots, mq children, clsact, and what
  // hangs on classes); equal ones stay, with their packets and counts, and filters are changed in
  // place. A kind that is not implemented becomes an UnknownQdisc, which answers unknown for every
  // packet.
  void set_qdiscs(int ifindex, const std::vector<QdiscSpec>& qdiscs,
                  const std::vector<ClassSpec>& classes = {},
                  const std::vector<FilterSpec>& filters = {});
  void set_egress_filters(int ifindex, std::vector<FilterSpec> filters);
  // clsact and the filters of its egress side; a null discipline removes it.
  void set_clsact(int ifindex, const QdiscSpec* spec, std::vector<FilterSpec> egress);

  // Puts `driver` behind a device. Only while nothing sends on it.
  void attach(NetDevice& dev, std::unique_ptr<Driver> driver);
  void add_tap(NetDevice* dev, Tap* tap);  // dev null: every device, also later ones
  // Returns when no thread is in the tap any more; not inside an RcuReader.
  void remove_tap(Tap* tap);

  // Packets that wait in qdiscs and requeue slots now.
  std::uint64_t queued() const;

 private:
  struct Map;
  void publish_map();
  void publish_in_dev(NetDevice& dev, const std::function<void(InDevice&)>& change);
  void publish_taps(NetDevice& dev, std::vector<Tap*> taps);
  void judge_kind(NetDevice& dev);
  std::string default_kind() const;
  void dev_activate(NetDevice& dev);
  void transition_qdiscs(NetDevice& dev);
  void change_tx_queue_len(NetDevice& dev);
  void dev_deactivate(NetDevice& dev);
  void dev_down(NetDevice& dev, bool gone);
  void graft(NetDevice& dev, std::vector<std::shared_ptr<Qdisc>> qdiscs);
  NetDevice* owned(int ifindex) const;

  Net& net_;
  RcuPtr<const Map> map_;
  std::vector<std::unique_ptr<NetDevice>> owned_;  // by ifindex
  std::vector<Tap*> everywhere_;
  std::shared_ptr<Qdisc> noop_;  // noop_qdisc: on every queue of a device that is not running
};

// A frame came in on `dev` (eth_type_trans() and __netif_receive_skb_core()): ARP, IPv4, or
// dropped.
void netif_receive_frame(Net& net, NetDevice& dev, std::span<const std::uint8_t> frame);

// netif_rx(): a packet of this host's own (loopback, multicast copy) comes back; skb->dev is set
// and skb->data is at the IP header. It waits in the thread's backlog until run_backlog(), so that
// a send never receives inside itself. Not "sent" any more: the caller has counted delivered().
void netif_rx(Net& net, SkbPtr skb);
// process_backlog(): receives what netif_rx() left for this thread. Called when a send is over.
std::size_t run_backlog(Net& net);

// The send side, in the path's order.
TxResult dev_queue_xmit(Net& net, SkbPtr skb);
// Its end, where a flight (plan/plan.h) joins the walk: the queue's discipline, or the device.
TxResult dev_queue_xmit_txq(Net& net, SkbPtr skb, NetDevice& dev, TxQueue& txq);
// What a device without a queue does not take: `reason`, tx_dropped, ENETDOWN.
TxResult drop_noqueue(Net& net, SkbPtr chain, NetDevice& dev, DropReason reason);
unsigned netdev_pick_tx(Net& net, NetDevice& dev, Skb& skb);
// skb_gso_segment() for UDP: one packet of gso_size payload bytes each, with headers, lengths, ids
// and checksums of their own, as a chain through Skb::next; null when it was dropped (SKB_GSO_SEG
// at `stage`). n segments make n - 1 more packets (born()).
SkbPtr skb_gso_segment(Net& net, SkbPtr skb, Stage stage);
// Completes an IpSummed::partial checksum in software, over frag_list too. False: offsets lie
// outside the packet.
bool skb_checksum_help(Skb& skb);
// Software GSO, linearising and checksums, as the driver's features ask. The result is a chain
// through Skb::next; null when it was dropped.
SkbPtr validate_xmit_skb(Net& net, SkbPtr skb, NetDevice& dev);
SkbPtr validate_xmit_skb_list(Net& net, SkbPtr chain, NetDevice& dev);
// sch_handle_egress(): clsact's egress filters. Null: they ended the packet, `rc` is the answer.
SkbPtr sch_handle_egress(Net& net, SkbPtr skb, NetDevice& dev, TxResult& rc);
// Byte queue limits (netdev_tx_sent_queue() and its like): a driver that tells both what it took
// and what it completed has its queue stopped at the limit. Others never meet one.
void netdev_tx_sent_queue(TxQueue& txq, std::uint32_t bytes);
void netdev_tx_completed_queue(Net& net, TxQueue& txq, std::uint32_t bytes);
void netdev_tx_reset_queue(Net& net, TxQueue& txq);
// netif_tx_watchdog: looks after a stopped queue with packets waiting; one that stands still for
// kWatchdogTimeo is counted (trans_timeout) and woken, its byte limit forgotten.
inline constexpr Nanos kWatchdogTimeo = 5 * kSecond;
void netdev_watchdog_up(Net& net, TxQueue& txq);
// HARD_TX_LOCK: the queue's transmit lock, unless the driver needs none.
class HardTxLock {
 public:
  HardTxLock(const Cpu& cpu, const NetDevice& dev, TxQueue& txq)
      : txq_(dev.features.lltx ? nullptr : &txq) {
    if (txq_ == nullptr) return;
    txq_->xmit_lock.lock();
    txq_->xmit_lock_owner.store(&cpu, std::memory_order_relaxed);
  }
  ~HardTxLock() {
    if (txq_ == nullptr) return;
    txq_->xmit_lock_owner.store(nullptr, std::memory_order_relaxed);
    txq_->xmit_lock.unlock();
  }
  HardTxLock(const HardTxLock&) = delete;
  HardTxLock& operator=(const HardTxLock&) = delete;

 private:
  TxQueue* txq_;
};
// Sends a chain under the queue's xmit_lock; answers what the driver refused (null: all taken).
SkbPtr dev_hard_start_xmit(Net& net, SkbPtr chain, NetDevice& dev, TxQueue& txq, NetdevTx& result);
NetdevTx ndo_start_xmit(Net& net, SkbPtr& skb, NetDevice& dev, TxQueue& txq, bool more);
void dev_queue_xmit_nit(Net& net, const Skb& skb, NetDevice& dev);
// kfree_skb_list_reason(): ends every packet of a chain.
void drop_chain(Net& net, Stage stage, SkbPtr chain, DropReason reason);

}  // namespace txp
