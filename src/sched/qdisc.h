// SPDX-License-Identifier: Apache-2.0
// A queueing discipline. Kernel twin: include/net/sch_generic.h, struct Qdisc and Qdisc_ops.
// Adding one: a file here, a line in registry.cc, a scenario.
#pragma once

#include <atomic>
#include <cstdint>
#include <memory>
#include <string>

#include "base/result.h"
#include "base/spinlock.h"
#include "dev/link.h"
#include "observe/counters.h"
#include "skb/skb.h"

namespace txp {

struct NetDevice;
struct TxQueue;

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

class Qdisc {
 public:
  explicit Qdisc(QdiscSpec s) : spec(std::move(s)) {}
  virtual ~Qdisc() = default;
  Qdisc(const Qdisc&) = delete;
  Qdisc& operator=(const Qdisc&) = delete;

  // Both under `lock`. enqueue() ends what it does not take in drop(net, Stage::qdisc_enqueue, ...)
  // and counts stats.drops; qlen and backlog are the discipline's to keep.
  virtual TxResult enqueue(Net& net, SkbPtr skb) = 0;
  virtual SkbPtr dequeue(Net& net) = 0;  // null: nothing to send now
  // Drops everything with `reason` (qdisc_reset(); QUEUE_PURGE when the device goes).
  virtual void reset(Net& net, DropReason reason) = 0;
  // TCQ_F_CAN_BYPASS: an empty discipline lets a packet straight through to the device.
  virtual bool can_bypass() const { return false; }

  const QdiscSpec spec;
  QdiscStats stats;
  Spinlock lock;                       // qdisc_lock()
  SkbQueue gso_skb;                    // requeued by dev_requeue_skb(); goes first
  std::atomic<bool> running{false};    // qdisc_run_begin()
  std::atomic<bool> scheduled{false};  // __QDISC_STATE_SCHED
  NetDevice* dev = nullptr;
  TxQueue* txq = nullptr;
};

}  // namespace txp
