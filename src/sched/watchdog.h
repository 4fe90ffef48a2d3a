// SPDX-License-Identifier: Apache-2.0
// Wakes a discipline that holds packets back, by the Net's clock: runs its root in NET_TX.
// Kernel twin: net/sched/sch_api.c (qdisc_watchdog_schedule_ns()).
#pragma once

#include "net.h"
#include "sched/qdisc.h"
#include "softirq/net_tx_action.h"

namespace txp {

class QdiscWatchdog {
 public:
  explicit QdiscWatchdog(Qdisc& q) {
    timer_.arg = &q;
    timer_.function = [](Net& net, Timer& t) {
      netif_schedule(net, *static_cast<Qdisc*>(t.arg)->root);
    };
  }
  ~QdiscWatchdog() {
    if (net_ != nullptr) net_->timers.del(timer_);
  }
  QdiscWatchdog(const QdiscWatchdog&) = delete;
  QdiscWatchdog& operator=(const QdiscWatchdog&) = delete;

  // Under the root's lock.
  void schedule(Net& net, Nanos expires) {
    net_ = &net;
    net.timers.mod(timer_, expires);
  }
  void cancel() {
    if (net_ != nullptr) net_->timers.cancel(timer_);
  }

 private:
  Timer timer_;
  Net* net_ = nullptr;
};

}  // namespace txp
