// SPDX-License-Identifier: Apache-2.0
// For unit tests: virtual time on a bed (drivers/scripted_driver.h), and a link with a rate.
#pragma once

#include <algorithm>
#include <functional>

#include "drivers/scripted_driver.h"
#include "sched/registry.h"
#include "sched/tc_options.h"
#include "softirq/net_tx_action.h"

namespace txp::testing {

struct ShaperBed : Bed {
  using Bed::Bed;
  // Moves the clock to `until`, from timer to timer.
  void run_until(Nanos until) {
    while (net.clock.now() < until) {
      const Nanos next = net.timers.next();
      const Nanos to = next < 0 ? until : std::clamp(next, net.clock.now(), until);
      net.clock.advance(to - net.clock.now());
      net.poll();
    }
  }
  // A device that takes one frame every `gap`: its queue is stopped in between.
  void slow_link(Nanos gap) {
    gap_ = gap;
    driver->on_frame = [this](Net& n, NetDevice& d) {
      d.tx[0]->stopped = true;
      wake_.function = [](Net& woken, Timer& t) {
        netif_tx_wake_queue(woken, *static_cast<TxQueue*>(t.arg));
      };
      wake_.arg = d.tx[0].get();
      n.timers.mod(wake_, n.clock.now() + gap_);
    };
  }
  ~ShaperBed() { net.timers.del(wake_); }
  // A numbered frame of a flow of its own, by its hash.
  SkbPtr of_flow(std::uint32_t flow, std::uint8_t number, std::size_t len = 4) {
    std::vector<std::uint8_t> payload(std::max<std::size_t>(len, 1));
    payload[0] = number;
    SkbPtr skb = frame(payload);
    skb->hash = flow * 0x9e3779b9U + 1;
    return skb;
  }
  std::uint64_t xstat(std::string_view name) {
    for (const Qdisc::Xstat& x : q().xstats)
      if (x.name == name) return x.value->get();
    return ~std::uint64_t{0};
  }

 private:
  Nanos gap_ = 0;
  Timer wake_;
};

}  // namespace txp::testing
