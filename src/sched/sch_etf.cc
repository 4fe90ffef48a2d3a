// SPDX-License-Identifier: Apache-2.0
// etf: earliest transmit time first; every packet leaves `delta` before its SO_TXTIME.
// Kernel twin: net/sched/sch_etf.c. Its clock is CLOCK_TAI; TAI is taken to be UTC, as it is on a
// host where nobody set the offset. On a manual clock it is the Net's own time.
//
// Left out: offload (unknown). The error that SO_TXTIME asks for is not queued on the socket.
// Drops: a time that has passed, or a socket without SO_TXTIME on this clock and mode (QDISC_DROP).
#include <linux/pkt_sched.h>

#include <ctime>

#include "mirror/attrs.h"
#include "net.h"
#include "sched/registry.h"
#include "sched/skb_heap.h"
#include "sched/watchdog.h"
#include "socket/sock.h"

namespace txp {

namespace {

std::optional<tc_etf_qopt> read_etf(std::span<const std::uint8_t> options) {
  Attrs<TCA_ETF_MAX> a(options, "etf");
  tc_etf_qopt o{};
  const auto raw = a.raw(TCA_ETF_PARMS);
  if (!raw || take_header(*raw, o) == nullptr || !a.error().empty()) return std::nullopt;
  constexpr std::uint32_t kOffload = 2;  // TC_ETF_OFFLOAD_ON
  if (o.clockid != CLOCK_TAI || o.delta < 0 || (o.flags & kOffload) != 0) return std::nullopt;
  return o;
}

class Etf final : public Qdisc {
 public:
  Etf(QdiscSpec s, const tc_etf_qopt& o)
      : Qdisc(std::move(s)),
        delta_(o.delta),
        deadline_((o.flags & 1) != 0),         // TC_ETF_DEADLINE_MODE_ON
        skip_sock_check_((o.flags & 4) != 0),  // TC_ETF_SKIP_SOCK_CHECK
        watchdog_(*this) {
    state_is_shared = true;
  }

  TxResult enqueue(Net& net, SkbPtr skb) final {
    if (!valid(net, *skb)) return drop_one(net, std::move(skb));
    skb->qdisc_time = skb->tstamp;
    add(*skb);
    queue_.push(std::move(skb));
    arm(net);
    return TxResult::success();
  }

  const Skb* peek(Net&) final { return queue_.peek(); }

  SkbPtr dequeue(Net& net) final {
    const Nanos now = net.clock.wall();
    while (Skb* head = queue_.peek()) {
      if (head->qdisc_time < now) {  // too late, and so are all before now
        SkbPtr skb = queue_.pop();
        sub(*skb);
        stats.overlimits.add();
        (void)drop_one(net, std::move(skb));
        continue;
      }
      if (!deadline_ && head->qdisc_time - delta_ > now) break;
      SkbPtr skb = queue_.pop();
      last_ = skb->qdisc_time;
      if (deadline_) skb->tstamp = now;
      sub(*skb);
      bstats_update(*skb);
      return skb;
    }
    arm(net);
    return nullptr;
  }

  void reset(Net& net, DropReason reason) final {
    while (SkbPtr skb = queue_.pop()) {
      sub(*skb);
      drop(net, Stage::qdisc_enqueue, std::move(skb), reason);
    }
    last_ = 0;
    watchdog_.cancel();
  }

  void each(void (*visit)(Skb&, void*), void* arg) final {
    queue_.each([&](Skb& s) { visit(s, arg); });
  }

 private:
  // is_packet_valid().
  bool valid(Net& net, const Skb& skb) const {
    if (!skip_sock_check_) {
      const Sock* sk = skb.sk;
      if (sk == nullptr || !sk->txtime || sk->clockid != CLOCK_TAI ||
          sk->txtime_deadline_mode != deadline_)
        return false;
    }
    return skb.tstamp >= net.clock.wall() && skb.tstamp >= last_;
  }
  void arm(Net& net) {
    const Skb* head = queue_.peek();
    if (head == nullptr) {
      watchdog_.cancel();
      return;
    }
    watchdog_.schedule(net, net.clock.now() + (head->qdisc_time - delta_ - net.clock.wall()));
  }

  const Nanos delta_;
  const bool deadline_;
  const bool skip_sock_check_;
  SkbHeap queue_;
  Nanos last_ = 0;  // the transmit time of the packet that left last
  QdiscWatchdog watchdog_;
};

}  // namespace

std::shared_ptr<Qdisc> make_etf(const QdiscTree& tree, const Link&) {
  const auto o = read_etf(tree.spec.options);
  return o ? std::make_shared<Etf>(tree.spec, *o) : nullptr;
}

}  // namespace txp
