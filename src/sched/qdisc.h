// SPDX-License-Identifier: Apache-2.0
// A queueing discipline. Kernel twin: include/net/sch_generic.h, struct Qdisc and Qdisc_ops.
// Adding one: a file here, a line in registry.cc, a scenario. One with classes: classful.h.
#pragma once

#include <atomic>
#include <cstdint>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"
#include "base/spinlock.h"
#include "dev/link.h"
#include "observe/counters.h"
#include "skb/skb.h"

namespace txp {

struct NetDevice;
struct TxQueue;
struct Link;
class ClassfulQdisc;
class Trace;

// A discipline and all that hangs on it, as the kernel lists it.
struct QdiscTree {
  QdiscTree() = default;
  QdiscTree(QdiscSpec s) : spec(std::move(s)) {}  // NOLINT: a discipline alone is a tree
  QdiscSpec spec;
  std::vector<ClassSpec> classes;
  std::vector<FilterSpec> filters;  // of the discipline and of its classes
  std::vector<QdiscTree> children;  // by the class that is their `parent`
  const QdiscTree* child(std::uint32_t classid) const {
    for (const QdiscTree& c : children)
      if (c.spec.parent == classid) return &c;
    return nullptr;
  }
};

// `tc -s qdisc`. Written under Qdisc::lock, read by anyone.
struct QdiscStats {
  Count bytes;
  Count packets;
  Count drops;
  Count overlimits;
  Count requeues;
  std::atomic<std::uint32_t> qlen{0};     // packets waiting, requeued ones included
  std::atomic<std::uint32_t> backlog{0};  // bytes waiting
};

class Qdisc : public std::enable_shared_from_this<Qdisc> {
 public:
  explicit Qdisc(QdiscSpec s) : spec(std::move(s)) {}
  virtual ~Qdisc() = default;
  Qdisc(const Qdisc&) = delete;
  Qdisc& operator=(const Qdisc&) = delete;

  // All under the root's `lock`. enqueue() ends what it does not take in drop(net,
  // Stage::qdisc_enqueue, ...) and counts stats.drops; it keeps stats.qlen and stats.backlog (in
  // Skb::pkt_len) with add() and sub(). A packet that leaves is counted with bstats_update() by
  // dequeue().
  virtual TxResult enqueue(Net& net, SkbPtr skb) = 0;
  virtual SkbPtr dequeue(Net& net) = 0;  // null: nothing to send now
  // What dequeue_peeked() will give; it stays here. Unless a discipline can tell without taking the
  // packet out, this is qdisc_peek_dequeued(): dequeued, and kept in gso_skb.
  virtual const Skb* peek(Net& net);
  // Drops everything with `reason`; qdisc_reset() calls it.
  virtual void reset(Net& net, DropReason reason) = 0;
  // Calls `visit` for every packet that waits here, those in gso_skb excepted.
  virtual void each(void (*visit)(Skb& skb, void* arg), void* arg) = 0;

  SkbPtr dequeue_peeked(Net& net);  // qdisc_dequeue_peeked()
  // qdisc_tree_reduce_backlog(): packets went from here without a dequeue() of the parent; `n` and
  // `len` may be negative, for packets that became more.
  void tree_reduce_backlog(std::int64_t n, std::int64_t len);
  // Counts the drop and ends the packet (qdisc_drop()).
  TxResult drop_one(Net& net, SkbPtr skb, DropReason reason = DropReason::QDISC_DROP);

  // qdisc_bstats_update(): a GSO packet counts its segments.
  void bstats_update(const Skb& skb) {
    stats.bytes.add(skb.pkt_len);
    stats.packets.add(skb.is_gso() ? skb.gso_segs : 1);
  }
  void add(const Skb& skb) {
    stats.qlen.store(qlen() + 1, std::memory_order_relaxed);
    stats.backlog.store(backlog() + skb.pkt_len, std::memory_order_relaxed);
  }
  void sub(const Skb& skb) {
    stats.qlen.store(qlen() - 1, std::memory_order_relaxed);
    stats.backlog.store(backlog() - skb.pkt_len, std::memory_order_relaxed);
  }
  void take_off(std::int64_t n, std::int64_t len) {
    stats.qlen.store(static_cast<std::uint32_t>(qlen() - n), std::memory_order_relaxed);
    stats.backlog.store(static_cast<std::uint32_t>(backlog() - len), std::memory_order_relaxed);
  }
  std::uint32_t qlen() const { return stats.qlen.load(std::memory_order_relaxed); }
  // Nobody sends and nothing waits. `lock` held.
  bool idle() const { return !running && !deactivated && qlen() == 0; }
  std::uint32_t backlog() const { return stats.backlog.load(std::memory_order_relaxed); }

  const QdiscSpec spec;
  QdiscStats stats;
  Spinlock lock;              // qdisc_lock()
  SkbQueue gso_skb;           // requeued by dev_requeue_skb(); goes first
  bool running = false;       // __QDISC_STATE2_RUNNING; under lock
  bool deactivated = false;   // __QDISC_STATE_DEACTIVATED; under lock
  bool can_bypass = false;    // TCQ_F_CAN_BYPASS: when empty, a packet goes straight to the device
  bool one_txqueue = false;   // TCQ_F_ONETXQUEUE: all its packets go to `txq`
  bool has_no_queue = false;  // noqueue: __dev_queue_xmit() passes it by
  // Rates, fairness, delays that every sender of the host shares: two instances side by side (ours
  // and the kernel's) would not be the discipline that the host configured.
  bool state_is_shared = false;
  std::uint32_t limit = 0;   // packets or bytes, the discipline's own
  NetDevice* dev = nullptr;  // null: noop
  TxQueue* txq = nullptr;
  ClassfulQdisc* parent = nullptr;  // null: a root
  Qdisc* root = this;               // whose lock this one's state is under
  // The kind's own figures, as the second lines of `tc -s` have them.
  struct Xstat {
    std::string_view name;
    const Count* value;
  };
  std::vector<Xstat> xstats;
  // On OutputQueue, which holds it alive (__QDISC_STATE_SCHED).
  std::atomic<bool> scheduled{false};
  Qdisc* next_sched = nullptr;
  std::shared_ptr<Qdisc> sched_ref;
};

// Every packet that waits in `q`, peeked and requeued ones included. Root's lock held.
void qdisc_each(Qdisc& q, void (*visit)(Skb& skb, void* arg), void* arg);
// qdisc_reset(): everything that waits ends with `reason`. `lock` held.
void qdisc_reset(Net& net, Qdisc& q, DropReason reason);
// __dev_xmit_skb(): through the discipline, or past an empty one.
TxResult dev_xmit_skb(Net& net, SkbPtr skb, Qdisc& q, NetDevice& dev, TxQueue& txq);

// The disciplines that wait for net_tx_action() (softnet_data.output_queue), one list a Net: any
// thread that polls runs them.
struct OutputQueue {
  Spinlock lock;
  Qdisc* head = nullptr;
  Qdisc** tail = &head;
  std::atomic<bool> waiting{false};
};

}  // namespace txp
