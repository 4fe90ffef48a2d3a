// SPDX-License-Identifier: Apache-2.0
// fq: a queue for every socket, in rounds by credit within three bands, each flow paced to its
// socket's SO_MAX_PACING_RATE or to the time that SO_TXTIME gives a packet.
// Kernel twin: net/sched/sch_fq.c.
//
// Left out: TCP's pacing rate; the slack of the timer; a change of the parameters starts anew.
// Drops: FQ_BAND_LIMIT, FQ_HORIZON_LIMIT, FQ_FLOW_LIMIT.
#include <linux/pkt_sched.h>

#include <algorithm>
#include <array>
#include <bit>
#include <cstring>
#include <deque>
#include <limits>

#include "dev/skb_hash.h"
#include "mirror/attrs.h"
#include "net.h"
#include "sched/ecn.h"
#include "sched/flow_list.h"
#include "sched/registry.h"
#include "sched/skb_heap.h"
#include "sched/timed_heap.h"
#include "sched/watchdog.h"
#include "socket/sock.h"

namespace txp {

namespace {

constexpr std::size_t kFqBands = 3;
constexpr Nanos kNever = std::numeric_limits<Nanos>::max();
constexpr std::uint64_t kNoRate = ~std::uint64_t{0};
// Newer than the headers of Debian 12.
constexpr unsigned kTcaFqPriomap = 16, kTcaFqWeights = 17, kTcaFqMax = 20;

struct FqOptions {
  std::uint32_t limit = 10000;
  std::uint32_t flow_plimit = 100;
  std::uint32_t quantum = 0;
  std::uint32_t initial_quantum = 0;
  Nanos flow_refill_delay = 40 * kMillisecond;
  std::uint64_t flow_max_rate = kNoRate;
  Nanos ce_threshold = Nanos{0xffffffff} * 1000;
  Nanos horizon = 10 * kSecond;
  bool horizon_drop = true;
  bool rate_enable = true;
  std::uint32_t orphan_mask = 1023;
  std::uint32_t low_rate_threshold = 550000 / 8;
  std::uint32_t buckets_log = 10;
  std::array<std::uint8_t, 16> prio2band{1, 2, 2, 2, 1, 2, 0, 0, 1, 1, 1, 1, 1, 1, 1, 1};
  std::array<std::int64_t, kFqBands> weights{9 << 16, 3 << 16, 1 << 16};
};

std::optional<FqOptions> read_fq(std::span<const std::uint8_t> options, const Link& link) {
  Attrs<kTcaFqMax> a(options, "fq");
  FqOptions o;
  const std::uint32_t mtu = std::clamp<std::uint32_t>(psched_mtu(link), 1, 1 << 20);
  o.quantum = std::clamp<std::uint32_t>(2 * mtu, 256, 1 << 20);
  o.initial_quantum = std::min<std::uint32_t>(10 * mtu, 1 << 20);
  const auto us = [](std::uint32_t v) { return Nanos{v} * 1000; };
  if (const auto v = a.u32(TCA_FQ_BUCKETS_LOG)) {
    if (*v < 1 || *v > 18) return std::nullopt;
    o.buckets_log = *v;
  }
  if (const auto v = a.u32(TCA_FQ_PLIMIT)) o.limit = *v;
  if (const auto v = a.u32(TCA_FQ_FLOW_PLIMIT)) o.flow_plimit = *v;
  if (const auto v = a.u32(TCA_FQ_QUANTUM)) o.quantum = std::clamp<std::uint32_t>(*v, 256, 1 << 20);
  if (const auto v = a.u32(TCA_FQ_INITIAL_QUANTUM)) o.initial_quantum = *v;
  if (const auto v = a.u32(TCA_FQ_FLOW_MAX_RATE)) o.flow_max_rate = *v == ~0U ? kNoRate : *v;
  if (const auto v = a.u32(TCA_FQ_LOW_RATE_THRESHOLD)) o.low_rate_threshold = *v;
  if (const auto v = a.u32(TCA_FQ_RATE_ENABLE)) {
    if (*v > 1) return std::nullopt;
    o.rate_enable = *v != 0;
  }
  if (const auto v = a.u32(TCA_FQ_FLOW_REFILL_DELAY)) o.flow_refill_delay = us(*v);
  if (const auto v = a.u32(TCA_FQ_ORPHAN_MASK)) o.orphan_mask = *v;
  if (const auto v = a.u32(TCA_FQ_CE_THRESHOLD)) o.ce_threshold = us(*v);
  if (const auto v = a.u32(TCA_FQ_HORIZON)) o.horizon = us(*v);
  if (const auto v = a.u8(TCA_FQ_HORIZON_DROP)) o.horizon_drop = *v != 0;
  if (const auto v = a.raw(kTcaFqPriomap)) {
    tc_prio_qopt map{};
    if (take_header(*v, map) == nullptr || map.bands != static_cast<int>(kFqBands))
      return std::nullopt;
    for (std::size_t i = 0; i < o.prio2band.size(); ++i) {
      if (map.priomap[i] >= kFqBands) return std::nullopt;
      o.prio2band[i] = map.priomap[i];
    }
  }
  if (const auto v = a.raw(kTcaFqWeights)) {
    std::array<std::int32_t, kFqBands> weights{};
    constexpr std::int32_t kMinWeight = 16384;  // FQ_MIN_WEIGHT
    if (take_header(*v, weights) == nullptr) return std::nullopt;
    for (std::size_t i = 0; i < kFqBands; ++i) {
      if (weights[i] < kMinWeight) return std::nullopt;
      o.weights[i] = weights[i];
    }
  }
  if (!a.error().empty()) return std::nullopt;
  return o;
}

class Fq final : public Qdisc {
 public:
  Fq(QdiscSpec s, const FqOptions& o)
      : Qdisc(std::move(s)), o_(o), buckets_(std::size_t{1} << o.buckets_log), watchdog_(*this) {
    limit = o.limit;
    state_is_shared = true;
    for (std::size_t i = 0; i < kFqBands; ++i) bands_[i].quantum = o.weights[i];
    xstats = {{"flows", &flows_made_},          {"gc", &gc_flows_},
              {"throttled", &throttled_},       {"fastpath", &fastpath_packets_},
              {"flows_plimit", &flow_drops_},   {"horizon_drops", &horizon_drops_},
              {"horizon_caps", &horizon_caps_}, {"ce_mark", &ce_marks_}};
  }

  TxResult enqueue(Net& net, SkbPtr skb) final {
    const std::uint8_t band = o_.prio2band[skb->priority & 15];
    if (bands_[band].packets >= limit)
      return drop_one(net, std::move(skb), DropReason::FQ_BAND_LIMIT);
    const Nanos now = net.clock.now();
    skb->qdisc_time = now;
    if (skb->tstamp != 0) {
      if (skb->tstamp > now + o_.horizon) {
        if (o_.horizon_drop) {
          horizon_drops_.add();
          return drop_one(net, std::move(skb), DropReason::FQ_HORIZON_LIMIT);
        }
        horizon_caps_.add();
        skb->tstamp = now + o_.horizon;
      }
      skb->qdisc_time = skb->tstamp;
    }
    Flow* f = choose(*skb, now);
    if (f != &internal_) {
      if (f->qlen >= o_.flow_plimit) {
        flow_drops_.add();
        return drop_one(net, std::move(skb), DropReason::FQ_FLOW_LIMIT);
      }
      f->band = band;  // of the list that it joins, and stays in while it has packets
      if (!f->listed && !f->is_throttled()) {
        if (f->emptied_at >= 0 && now > f->emptied_at + o_.flow_refill_delay)
          f->credit = std::max<std::int64_t>(f->credit, o_.quantum);
        bands_[band].new_flows.push_back(*f);
        f->emptied_at = -1;
      }
      ++bands_[band].packets;
      if (f->qlen == 0) --inactive_;
    }
    ++f->qlen;
    add(*skb);
    f->push(std::move(skb), band);
    return TxResult::success();
  }

  SkbPtr dequeue(Net& net) final {
    if (qlen() == 0) return nullptr;
    std::uint8_t band = 0;
    if (internal_.peek() != nullptr) {
      --internal_.qlen;
      return leave(internal_.pop(band));
    }
    const Nanos now = net.clock.now();
    unthrottle(now);
    for (;;) {
      FlowList<Flow>* list = select();
      if (list == nullptr) {
        if (next_delayed_ != kNever) watchdog_.schedule(net, next_delayed_);
        return nullptr;
      }
      Band& pband = bands_[band_nr_];
      Flow* f = list->first();
      if (f->credit <= 0) {
        f->credit += o_.quantum;
        list->pop_front();
        pband.old_flows.push_back(*f);
        continue;
      }
      Skb* head = f->peek();
      if (head == nullptr) {
        const bool was_new = list == &pband.new_flows;
        list->pop_front();
        if (was_new)
          pband.old_flows.push_back(*f);  // one round, so that new flows cannot starve old ones
        else
          f->emptied_at = now;
        continue;
      }
      const Nanos due = std::max(head->qdisc_time, f->time_next_packet);
      if (now < due) {
        list->pop_front();
        f->time_next_packet = due;
        throttle(*f);
        continue;
      }
      if (now - due - o_.ce_threshold > 0 && inet_ecn_set_ce(*head)) ce_marks_.add();
      if (--f->qlen == 0) ++inactive_;
      SkbPtr skb = f->pop(band);
      --bands_[band].packets;
      f->credit -= skb->pkt_len;
      pband.credit -= skb->pkt_len;
      if (o_.rate_enable) pace(*f, *skb, now);
      return leave(std::move(skb));
    }
  }

  void reset(Net& net, DropReason reason) final {
    const auto purge = [&](Flow& f) {
      std::uint8_t band = 0;
      while (SkbPtr skb = f.pop(band)) {
        sub(*skb);
        drop(net, Stage::qdisc_enqueue, std::move(skb), reason);
      }
      f.qlen = 0;
    };
    purge(internal_);
    delayed_.clear();
    for (Band& b : bands_) {
      b.new_flows.clear();
      b.old_flows.clear();
      b.packets = 0;
    }
    for (Flow*& chain : buckets_) {
      while (Flow* f = chain) {
        purge(*f);
        chain = f->chain;
        give_back(*f);
      }
    }
    flows_ = inactive_ = 0;
    next_delayed_ = kNever;
    watchdog_.cancel();
  }

  void each(void (*visit)(Skb&, void*), void* arg) final {
    internal_.each([&](Skb& s) { visit(s, arg); });
    for (Flow* chain : buckets_)
      for (Flow* f = chain; f != nullptr; f = f->chain) f->each([&](Skb& s) { visit(s, arg); });
  }

 private:
  struct Flow {
    std::uint64_t key = 0;   // the socket, or a hash of a packet without a connected one
    std::uint16_t port = 0;  // the socket's: another one may get its address
    Flow* chain = nullptr;   // of its bucket, or of the free ones
    SkbQueue queue;          // by time
    SkbHeap early;           // what came later than a packet that leaves later
    std::uint32_t qlen = 0;
    std::int64_t credit = 0;
    std::uint8_t band = 0;
    Flow* next = nullptr;  // FlowList
    bool listed = false;
    Nanos time_next_packet = 0;
    Nanos emptied_at = -1;  // -1: it has not been emptied
    TimedNode rate_node;    // throttled

    bool is_throttled() const { return rate_node.index >= 0; }
    bool is_detached() const { return !listed && !is_throttled(); }
    Skb* peek() const {
      Skb* a = early.peek();
      Skb* b = queue.peek();
      if (a == nullptr || b == nullptr) return a != nullptr ? a : b;
      return a->qdisc_time < b->qdisc_time ? a : b;
    }
    void push(SkbPtr skb, std::uint8_t of_band) {
      // fq_skb_cb(skb)->band: kept where no discipline below uses it.
      skb->csum = of_band;
      if (queue.empty() || skb->qdisc_time >= queue.peek_tail()->qdisc_time)
        queue.push_back(std::move(skb));
      else
        early.push(std::move(skb));
    }
    SkbPtr pop(std::uint8_t& of_band) {
      Skb* head = peek();
      if (head == nullptr) return nullptr;
      SkbPtr skb = head == queue.peek() ? queue.pop_front() : early.pop();
      of_band = static_cast<std::uint8_t>(skb->csum);
      return skb;
    }
    template <typename Visit>
    void each(Visit&& visit) {
      for (Skb* s = queue.peek(); s != nullptr; s = s->next) visit(*s);
      early.each(visit);
    }
  };
  struct Band {
    FlowList<Flow> new_flows;
    FlowList<Flow> old_flows;
    std::int64_t credit = 0;
    std::int64_t quantum = 0;
    std::uint32_t packets = 0;
  };

  SkbPtr leave(SkbPtr skb) {
    sub(*skb);
    bstats_update(*skb);
    return skb;
  }

  // fq_fastpath_check(): straight through when nothing else could go first.
  bool fastpath(const Skb& skb, Nanos now) const {
    if (skb.qdisc_time > now) return false;
    if (qlen() != 0) {
      if (flows_ != inactive_ + throttled_now_ || internal_.qlen >= 8 || next_delayed_ <= now)
        return false;
    }
    if (skb.sk != nullptr && skb.sk->max_pacing_rate.load(std::memory_order_relaxed) != kNoRate)
      return false;
    return o_.flow_max_rate == kNoRate;
  }

  Flow* choose(Skb& skb, Nanos now) {
    std::uint64_t key = 0;
    std::uint16_t port = 0;
    if (skb.sk != nullptr && skb.sk->connected) {
      key = std::bit_cast<std::uintptr_t>(skb.sk);
      port = skb.sk->inet_num;
    } else {
      key = (std::uint64_t{skb_get_hash(skb) & o_.orphan_mask} << 1) | 1;
    }
    if (fastpath(skb, now)) {
      fastpath_packets_.add();
      return &internal_;
    }
    const std::uint64_t hash = key * 0x61c8864680b583ebULL;  // GOLDEN_RATIO_64
    Flow** chain = &buckets_[hash >> (64 - o_.buckets_log)];
    collect(chain, key, now);
    for (Flow* f = *chain; f != nullptr; f = f->chain) {
      if (f->key != key) continue;
      if (f->port != port) {  // another socket at the same address
        f->port = port;
        f->credit = o_.initial_quantum;
        f->time_next_packet = 0;
        if (f->is_throttled()) release(*f);
      }
      return f;
    }
    Flow* f = free_;
    if (f != nullptr) {
      free_ = f->chain;
    } else {
      f = &pool_.emplace_back();
    }
    f->key = key;
    f->port = port;
    f->credit = o_.initial_quantum;
    f->emptied_at = now;
    f->time_next_packet = 0;
    f->chain = *chain;
    *chain = f;
    ++flows_;
    ++inactive_;
    flows_made_.add();
    return f;
  }

  // fq_gc(): flows of this bucket that have been empty for three seconds, eight at most.
  void collect(Flow** chain, std::uint64_t keep, Nanos now) {
    int n = 0;
    for (Flow** at = chain; *at != nullptr && n < 8;) {
      Flow* f = *at;
      if (f->key == keep || !f->is_detached() || f->qlen != 0 ||
          now <= f->emptied_at + 3 * kSecond) {
        at = &f->chain;
        continue;
      }
      *at = f->chain;
      give_back(*f);
      --flows_;
      --inactive_;
      gc_flows_.add();
      ++n;
    }
  }
  void give_back(Flow& f) {
    f.chain = free_;
    free_ = &f;
  }

  void throttle(Flow& f) {
    delayed_.add(f, f.time_next_packet);
    ++throttled_now_;
    throttled_.add();
    next_delayed_ = std::min(next_delayed_, f.time_next_packet);
  }
  void release(Flow& f) {
    delayed_.remove(f);
    --throttled_now_;
    bands_[f.band].old_flows.push_back(f);
  }
  void unthrottle(Nanos now) {
    if (next_delayed_ > now) return;
    next_delayed_ = kNever;
    while (Flow* f = delayed_.first()) {
      if (f->time_next_packet > now) {
        next_delayed_ = f->time_next_packet;
        break;
      }
      release(*f);
    }
  }

  // The list of the band whose turn it is; bands have credit by their weights.
  FlowList<Flow>* select() {
    const auto of = [](Band& b) -> FlowList<Flow>* {
      if (b.credit <= 0) return nullptr;
      if (!b.new_flows.empty()) return &b.new_flows;
      return b.old_flows.empty() ? nullptr : &b.old_flows;
    };
    // Three bands in a row without a flow to serve end it; one in debt is given its quantum until
    // it has credit, and the count begins again.
    for (std::size_t empty = 0;;) {
      if (FlowList<Flow>* list = of(bands_[band_nr_])) return list;
      do {
        if (++empty > kFqBands) return nullptr;
        band_nr_ = (band_nr_ + 1) % kFqBands;
        Band& b = bands_[band_nr_];
        b.credit = std::min(b.credit + b.quantum, b.quantum);
        if (b.credit > 0) break;
        empty = 0;
      } while (true);
    }
  }

  // When the flow may send next, after `skb` at its rate.
  void pace(Flow& f, const Skb& skb, Nanos now) {
    std::uint64_t rate = o_.flow_max_rate;
    std::uint64_t plen = skb.pkt_len;
    if (skb.tstamp == 0) {
      if (skb.sk != nullptr)
        rate = std::min(rate, skb.sk->max_pacing_rate.load(std::memory_order_relaxed));
      if (rate <= o_.low_rate_threshold) {
        f.credit = 0;
      } else {
        plen = std::max<std::uint64_t>(plen, o_.quantum);
        if (f.credit > 0) return;
      }
    }
    if (rate == kNoRate) return;
    std::uint64_t len = plen * 1000000000;
    if (rate != 0) len /= rate;
    auto wait = static_cast<Nanos>(std::min<std::uint64_t>(len, kSecond));
    // What the timer was late is given back.
    if (f.time_next_packet != 0) wait -= std::min(wait / 2, now - f.time_next_packet);
    f.time_next_packet = now + wait;
  }

  const FqOptions o_;
  std::vector<Flow*> buckets_;
  std::deque<Flow> pool_;
  Flow* free_ = nullptr;
  Flow internal_;  // the fast path
  std::array<Band, kFqBands> bands_;
  std::size_t band_nr_ = 0;
  TimedHeap<Flow, &Flow::rate_node> delayed_;
  Nanos next_delayed_ = kNever;
  std::uint32_t flows_ = 0;
  std::uint32_t inactive_ = 0;  // without packets
  std::uint32_t throttled_now_ = 0;
  Count flows_made_, gc_flows_, throttled_, fastpath_packets_, flow_drops_, horizon_drops_,
      horizon_caps_, ce_marks_;
  QdiscWatchdog watchdog_;
};

}  // namespace

std::shared_ptr<Qdisc> make_fq(const QdiscTree& tree, const Link& link) {
  const auto o = read_fq(tree.spec.options, link);
  return o ? std::make_shared<Fq>(tree.spec, *o) : nullptr;
}

}  // namespace txp
