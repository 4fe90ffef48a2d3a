// SPDX-License-Identifier: Apache-2.0
// netem: delay, jitter, loss, duplication, corruption, reordering, rate and slots, all drawn from
// one seeded generator. Kernel twin: net/sched/sch_netem.c.
//
// Left out: nothing of the algorithm. The kernel does not list a delay's distribution table, so a
// mirrored `distribution normal` is uniform here; by the API it is what the table says. A traced
// packet whose fate is drawn at random is unknown.
// Drops: what the loss model loses, beyond the limit (both QDISC_DROP), what the inner discipline
// refuses.
#include <linux/pkt_sched.h>

#include <algorithm>
#include <cstring>
#include <limits>
#include <utility>

#include "dev/netdevice.h"
#include "mirror/attrs.h"
#include "net.h"
#include "observe/trace.h"
#include "sched/ecn.h"
#include "sched/netem_loss.h"
#include "sched/ratecfg.h"
#include "sched/registry.h"
#include "sched/skb_heap.h"
#include "sched/watchdog.h"

namespace txp {

namespace {

constexpr unsigned kTcaNetemPrngSeed = 14;  // newer than the headers of Debian 12

struct NetemOptions {
  Nanos latency = 0;
  Nanos jitter = 0;
  std::uint32_t limit = 1000;
  std::uint32_t gap = 0;
  std::uint32_t duplicate = 0;
  std::uint32_t reorder = 0;
  std::uint32_t corrupt = 0;
  bool ecn = false;
  std::uint64_t rate = 0;  // bytes a second
  std::int32_t packet_overhead = 0;
  std::uint32_t cell_size = 0;
  std::int32_t cell_overhead = 0;
  std::uint32_t delay_rho = 0, duplicate_rho = 0, reorder_rho = 0, corrupt_rho = 0;
  NetemLoss loss;
  std::vector<std::int16_t> delay_dist;
  std::vector<std::int16_t> slot_dist;
  tc_netem_slot slot{};
  bool slotted = false;
  std::optional<std::uint64_t> seed;
};

bool read_netem_loss(std::span<const std::uint8_t> nested, NetemLoss& loss) {
  Attrs<NETEM_LOSS_MAX> a(nested, "netem loss");
  if (const auto v = a.raw(NETEM_LOSS_GI)) {
    tc_netem_gimodel m{};
    if (take_header(*v, m) == nullptr) return false;
    loss.model = NetemLoss::Model::four_states;
    loss.a1 = m.p13;
    loss.a2 = m.p31;
    loss.a3 = m.p32;
    loss.a4 = m.p14;
    loss.a5 = m.p23;
  } else if (const auto ge = a.raw(NETEM_LOSS_GE)) {
    tc_netem_gemodel m{};
    if (take_header(*ge, m) == nullptr) return false;
    loss.model = NetemLoss::Model::gilbert_elliott;
    loss.a1 = m.p;
    loss.a2 = m.r;
    loss.a3 = m.h;
    loss.a4 = m.k1;
  }
  return a.error().empty();
}

std::vector<std::int16_t> read_netem_dist(std::span<const std::uint8_t> bytes) {
  constexpr std::size_t kMax = 16384;  // NETEM_DIST_MAX
  std::vector<std::int16_t> table(std::min(bytes.size() / 2, kMax));
  if (!table.empty()) std::memcpy(table.data(), bytes.data(), table.size() * 2);
  return table;
}

std::optional<NetemOptions> read_netem(std::span<const std::uint8_t> options) {
  tc_netem_qopt q{};
  if (take_header(options, q) == nullptr) return std::nullopt;
  Attrs<kTcaNetemPrngSeed> a(options.subspan(sizeof q), "netem");
  const auto header = [&a](unsigned type, auto& to) {
    const auto v = a.raw(type);
    if (!v) return true;
    return take_header(*v, to) != nullptr;
  };
  NetemOptions o;
  o.latency = psched_ticks2ns(q.latency);
  o.jitter = psched_ticks2ns(q.jitter);
  o.limit = q.limit;
  o.gap = q.gap;
  o.loss.loss = q.loss;
  o.duplicate = q.duplicate;
  if (o.gap != 0) o.reorder = 0xffffffff;  // what an older tc meant by a gap
  tc_netem_corr corr{};
  tc_netem_reorder reorder{};
  tc_netem_corrupt corrupt{};
  tc_netem_rate rate{};
  if (!header(TCA_NETEM_CORR, corr) || !header(TCA_NETEM_REORDER, reorder) ||
      !header(TCA_NETEM_CORRUPT, corrupt) || !header(TCA_NETEM_RATE, rate) ||
      !header(TCA_NETEM_SLOT, o.slot))
    return std::nullopt;
  o.delay_rho = corr.delay_corr;
  o.loss.correlation.rho = corr.loss_corr;
  o.duplicate_rho = corr.dup_corr;
  if (a.has(TCA_NETEM_REORDER)) o.reorder = reorder.probability;
  o.reorder_rho = reorder.correlation;
  o.corrupt = corrupt.probability;
  o.corrupt_rho = corrupt.correlation;
  o.rate = std::max<std::uint64_t>(rate.rate, a.u64(TCA_NETEM_RATE64).value_or(0));
  o.packet_overhead = rate.packet_overhead;
  o.cell_size = rate.cell_size;
  o.cell_overhead = rate.cell_overhead;
  if (const auto v = a.u64(TCA_NETEM_LATENCY64)) o.latency = static_cast<Nanos>(*v);
  if (const auto v = a.u64(TCA_NETEM_JITTER64)) o.jitter = static_cast<Nanos>(*v);
  o.ecn = a.u32(TCA_NETEM_ECN).value_or(0) != 0;
  if (const auto v = a.raw(TCA_NETEM_DELAY_DIST)) o.delay_dist = read_netem_dist(*v);
  if (const auto v = a.raw(TCA_NETEM_SLOT_DIST)) o.slot_dist = read_netem_dist(*v);
  if (const auto v = a.u64(kTcaNetemPrngSeed)) o.seed = v;
  if (const auto v = a.raw(TCA_NETEM_LOSS); v && !read_netem_loss(*v, o.loss)) return std::nullopt;
  o.slotted = (o.slot.min_delay | o.slot.max_delay | o.slot.dist_jitter) != 0;
  if (o.slot.max_packets == 0) o.slot.max_packets = std::numeric_limits<std::int32_t>::max();
  if (o.slot.max_bytes == 0) o.slot.max_bytes = std::numeric_limits<std::int32_t>::max();
  const bool negative = o.latency < 0 || o.jitter < 0 || o.slot.min_delay < 0 ||
                        o.slot.max_delay < o.slot.min_delay || o.slot.dist_delay < 0 ||
                        o.slot.dist_jitter < 0;
  constexpr Nanos kMaxTime = Nanos{1} << 56;  // times are added up: two years are enough
  if (negative || o.latency > kMaxTime || o.jitter > std::numeric_limits<std::int32_t>::max() ||
      o.slot.max_delay > kMaxTime || o.slot.dist_delay > kMaxTime || !a.error().empty())
    return std::nullopt;
  if (o.cell_size != 0 && std::int64_t{o.cell_size} + o.cell_overhead <= 0) return std::nullopt;
  return o;
}

class Netem final : public ClassfulQdisc {
 public:
  Netem(const QdiscTree& tree, NetemOptions o, const Link& link)
      : ClassfulQdisc(tree.spec), o_(std::move(o)), loss_(o_.loss), watchdog_(*this) {
    limit = o_.limit;
    state_is_shared = true;
    delay_.rho = o_.delay_rho;
    duplicate_.rho = o_.duplicate_rho;
    reorder_.rho = o_.reorder_rho;
    corrupt_.rho = o_.corrupt_rho;
    if (tree.child(spec.handle | 1) == nullptr) return;
    ClassSpec c;
    c.ifindex = spec.ifindex;
    c.kind = "netem";
    c.classid = spec.handle | 1;
    c.parent = spec.handle;
    c.text = fmt::format("class netem {0:x}:1 parent {0:x}:", spec.handle >> 16);
    auto cl = std::make_unique<TcClass>(std::move(c));
    cl->stats = TcClass::Stats::none;
    cl->leaf = make_leaf(tree, spec.handle | 1, "pfifo", link);
    inner_ = cl->leaf.get();
    add_class(std::move(cl));
  }

  TxResult enqueue(Net& net, SkbPtr skb) final {
    if (!ready_) make_ready(net);
    if (skb->trace != nullptr && drawn())
      return unknown(net, Stage::qdisc_enqueue, std::move(skb), "qdisc",
                     spec.text + " (the packet's fate is drawn at random)");
    int count = 1;
    if (o_.duplicate != 0 && !duplicating_ && o_.duplicate >= duplicate_.next(random_)) ++count;
    if (loss_.draw(random_)) {
      if (o_.ecn && inet_ecn_set_ce(*skb))
        stats.drops.add();  // marked, and counted so
      else
        --count;
    }
    if (count == 0) {
      (void)drop_one(net, std::move(skb));
      return TxResult::bypass();
    }
    if (o_.latency != 0 || o_.jitter != 0 || o_.rate != 0) skb_orphan(*skb);
    SkbPtr copy;
    if (count > 1) {
      copy = skb_copy(net, *skb);
      if (copy) {
        copy->pkt_len = skb->pkt_len;
        born(net);
      }
    }
    SkbPtr segments;
    const std::int64_t whole = skb->pkt_len;
    if (o_.corrupt != 0 && o_.corrupt >= corrupt_.next(random_)) {
      if (skb->is_gso()) {
        skb = skb_gso_segment(net, std::move(skb), Stage::qdisc_enqueue);
        if (!skb) {
          stats.drops.add();
          if (copy) (void)drop_one(net, std::move(copy));
          return TxResult::drop();
        }
        segments.reset(std::exchange(skb->next, nullptr));
        skb->pkt_len = skb->len;
      }
      if (skb->ip_summed == IpSummed::partial) (void)skb_checksum_help(*skb);
      if (const std::uint32_t n = skb->headlen(); n != 0)
        skb->data[net.random.below(n)] ^= static_cast<std::uint8_t>(1U << net.random.below(8));
    }
    if (qlen() >= limit) {
      (void)drop_one(net, std::move(skb));
      drop_chain(net, Stage::qdisc_enqueue, std::move(segments), DropReason::QDISC_DROP);
      if (copy) drop(net, Stage::qdisc_enqueue, std::move(copy), DropReason::QDISC_DROP);
      return TxResult::drop();
    }
    if (copy) {
      // From the root again: the parents expect that one packet is queued here.
      duplicating_ = true;
      (void)root->enqueue(net, std::move(copy));
      duplicating_ = false;
    }
    std::int64_t bytes = skb->pkt_len;
    std::int64_t taken = 1;
    insert(net, std::move(skb));
    if (!segments) return TxResult::success();
    while (segments) {
      SkbPtr rest(std::exchange(segments->next, nullptr));
      segments->pkt_len = segments->len;
      const std::uint32_t len = segments->pkt_len;
      const TxResult rc = enqueue(net, std::move(segments));
      if (rc.ok()) {
        ++taken;
        bytes += len;
      }
      segments = std::move(rest);
    }
    tree_reduce_backlog(1 - taken, whole - bytes);
    return TxResult::success();
  }

  SkbPtr dequeue(Net& net) final {
    for (;;) {
      if (SkbPtr skb = front_.pop_front()) {
        left(*skb);
        return skb;
      }
      const Skb* head = timed_.peek();
      if (head == nullptr) return from_inner(net);
      const Nanos now = net.clock.now();
      const Nanos due = head->qdisc_time;
      if (slot_next_ != 0 && slot_next_ < due) next_slot(net, now);
      if (due > now || slot_next_ > now) {
        if (SkbPtr skb = from_inner(net)) return skb;
        watchdog_.schedule(net, std::max(due, slot_next_));
        return nullptr;
      }
      SkbPtr skb = timed_.pop();
      if (timed_.size() == 0) last_time_ = -1;
      if (slot_next_ != 0) {
        --packets_left_;
        bytes_left_ -= skb->pkt_len;
        if (packets_left_ <= 0 || bytes_left_ <= 0) next_slot(net, now);
      }
      if (inner_ == nullptr) {
        left(*skb);
        return skb;
      }
      const std::uint32_t len = skb->pkt_len;
      const TxResult rc = inner_->enqueue(net, std::move(skb));
      if (rc.ok()) continue;
      if (rc.counts_as_drop()) stats.drops.add();
      take_off(1, len);
      tree_reduce_backlog(1, len);
    }
  }

  void reset(Net& net, DropReason reason) final {
    ClassfulQdisc::reset(net, reason);
    const auto purge = [&](SkbPtr skb) {
      sub(*skb);
      drop(net, Stage::qdisc_enqueue, std::move(skb), reason);
    };
    while (SkbPtr skb = front_.pop_front()) purge(std::move(skb));
    while (SkbPtr skb = timed_.pop()) purge(std::move(skb));
    last_time_ = -1;
    watchdog_.cancel();
  }

  void each(void (*visit)(Skb&, void*), void* arg) final {
    for (Skb* s = front_.peek(); s != nullptr; s = s->next) visit(*s, arg);
    timed_.each([&](Skb& s) { visit(s, arg); });
    ClassfulQdisc::each(visit, arg);
  }

 private:
  // Whether chance decides what becomes of a packet, not only when it leaves.
  bool drawn() const {
    const bool certain = loss_.model == NetemLoss::Model::random && loss_.loss == 0xffffffff;
    return (loss_.possible() && !certain) || o_.duplicate != 0 || o_.corrupt != 0;
  }

  void make_ready(Net& net) {
    ready_ = true;
    random_.seed(o_.seed ? *o_.seed : net.random.u64());
    for (CorrelatedRandom* c : {&delay_, &loss_.correlation, &duplicate_, &reorder_, &corrupt_})
      c->last = net.random.u32();
    if (!o_.slotted) return;
    slot_next_ = net.clock.now();
    packets_left_ = o_.slot.max_packets;
    bytes_left_ = o_.slot.max_bytes;
  }

  void insert(Net& net, SkbPtr skb) {
    add(*skb);
    const bool in_turn =
        o_.gap == 0 || counter_ < o_.gap - 1 || o_.reorder < reorder_.next(random_);
    if (!in_turn) {
      counter_ = 0;
      stats.requeues.add();
      front_.push_front(std::move(skb));
      return;
    }
    Nanos now = net.clock.now();
    Nanos delay = o_.jitter == 0 ? o_.latency
                                 : tabledist(o_.latency, static_cast<std::int32_t>(o_.jitter),
                                             delay_.next(random_), o_.delay_dist);
    if (o_.rate != 0) {
      if (last_time_ >= 0) {  // after the last one; the time until then counts as delay
        delay = std::max<Nanos>(delay - (last_time_ - now), 0);
        now = last_time_;
      }
      delay += packet_time(skb->pkt_len);
    }
    skb->qdisc_time = now + delay;
    last_time_ = std::max(last_time_, skb->qdisc_time);
    ++counter_;
    timed_.push(std::move(skb));
  }

  Nanos packet_time(std::uint64_t len) const {
    len += static_cast<std::uint64_t>(std::int64_t{o_.packet_overhead});
    if (o_.cell_size != 0) {
      const std::uint64_t cells = (len + o_.cell_size - 1) / o_.cell_size;
      len = cells * static_cast<std::uint64_t>(std::int64_t{o_.cell_size} + o_.cell_overhead);
    }
    return static_cast<Nanos>(len * 1000000000 / o_.rate);
  }

  void next_slot(Net& net, Nanos now) {
    Nanos delay = 0;
    if (o_.slot_dist.empty()) {
      const auto span = static_cast<std::uint64_t>(o_.slot.max_delay - o_.slot.min_delay);
      const std::uint64_t r = net.random.u32();
      delay = o_.slot.min_delay +
              static_cast<Nanos>((span >> 32) * r + (((span & 0xffffffff) * r) >> 32));
    } else {
      delay = tabledist(o_.slot.dist_delay, static_cast<std::int32_t>(o_.slot.dist_jitter),
                        random_.u32(), o_.slot_dist);
    }
    slot_next_ = now + delay;
    packets_left_ = o_.slot.max_packets;
    bytes_left_ = o_.slot.max_bytes;
  }

  SkbPtr from_inner(Net& net) {
    if (inner_ == nullptr) return nullptr;
    SkbPtr skb = inner_->dequeue(net);
    if (skb) left(*skb);
    return skb;
  }

  const NetemOptions o_;
  NetemLoss loss_;
  Qdisc* inner_ = nullptr;
  bool ready_ = false;
  bool duplicating_ = false;
  Prandom random_;
  CorrelatedRandom delay_, duplicate_, reorder_, corrupt_;
  SkbQueue front_;  // reordered: goes before all
  SkbHeap timed_;
  Nanos last_time_ = -1;  // of the last packet in timed_; -1: there is none
  std::uint32_t counter_ = 0;
  Nanos slot_next_ = 0;
  std::int64_t packets_left_ = 0;
  std::int64_t bytes_left_ = 0;
  QdiscWatchdog watchdog_;
};

}  // namespace

std::shared_ptr<Qdisc> make_netem(const QdiscTree& tree, const Link& link) {
  auto o = read_netem(tree.spec.options);
  return o ? std::make_shared<Netem>(tree, std::move(*o), link) : nullptr;
}

}  // namespace txp
