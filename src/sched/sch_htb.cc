// SPDX-License-Identifier: Apache-2.0
// htb: a tree of classes with a rate and a ceil each; a class below its ceil borrows what its
// parents do not use. Kernel twin: net/sched/sch_htb.c.
//
// Left out: hysteresis (a module parameter), rate estimators, offload to hardware, the pause after
// two jiffies of mode changes. A change of the classes' parameters starts with full buckets and,
// unlike the kernel's, empty queues.
// Drops: beyond direct_qlen (QDISC_DROP), what a filter ends, what a leaf refuses.
#include <linux/pkt_sched.h>

#include <algorithm>
#include <limits>
#include <map>

#include "mirror/attrs.h"
#include "net.h"
#include "observe/trace.h"
#include "sched/htb.h"
#include "sched/registry.h"
#include "sched/watchdog.h"

namespace txp {

namespace {

struct HtbGlob {
  std::uint32_t rate2quantum = 10;
  std::uint32_t defcls = 0;
  std::uint32_t direct_qlen = 0;
};

std::optional<HtbGlob> read_htb(std::span<const std::uint8_t> options, const Link& link) {
  Attrs<TCA_HTB_MAX> a(options, "htb");
  tc_htb_glob g{};
  const auto init = a.raw(TCA_HTB_INIT);
  if (!init || take_header(*init, g) == nullptr) return std::nullopt;
  if (g.version != 3 && g.version >> 16 != 3) return std::nullopt;  // TC_HTB_PROTOVER
  if (a.has(TCA_HTB_OFFLOAD)) return std::nullopt;
  HtbGlob glob;
  glob.rate2quantum = std::max(g.rate2quantum, 1U);
  glob.defcls = g.defcls;
  glob.direct_qlen = a.u32(TCA_HTB_DIRECT_QLEN).value_or(link.txqlen);
  if (!a.error().empty()) return std::nullopt;
  return glob;
}

// htb_change_class(). False: the kernel would refuse it.
bool read_htb_class(HtbClass& c, const HtbGlob& glob) {
  Attrs<TCA_HTB_MAX> a(c.spec.options, "htb class");
  tc_htb_opt o{};
  const auto parms = a.raw(TCA_HTB_PARMS);
  if (!parms || take_header(*parms, o) == nullptr) return false;
  if (o.rate.rate == 0 || o.ceil.rate == 0) return false;
  c.rate = Ratecfg(o.rate, a.u64(TCA_HTB_RATE64).value_or(0));
  c.ceil = Ratecfg(o.ceil, a.u64(TCA_HTB_CEIL64).value_or(0));
  c.buffer = psched_ticks2ns(o.buffer);
  c.cbuffer = psched_ticks2ns(o.cbuffer);
  c.prio = std::min<std::uint32_t>(o.prio, kHtbPrios - 1);
  constexpr std::uint64_t kMaxQuantum = std::numeric_limits<std::int32_t>::max();
  c.quantum = o.quantum != 0 ? o.quantum
                             : static_cast<std::int64_t>(std::clamp<std::uint64_t>(
                                   c.rate.rate_bytes_ps / glob.rate2quantum, 1000, 200000));
  if (c.quantum > static_cast<std::int64_t>(kMaxQuantum)) return false;
  c.tokens = c.buffer;
  c.ctokens = c.cbuffer;
  return a.error().empty();
}

class Htb final : public ClassfulQdisc {
 public:
  Htb(QdiscSpec s, const HtbGlob& glob)
      : ClassfulQdisc(std::move(s)), glob_(glob), watchdog_(*this) {
    has_filters = true;
    state_is_shared = true;
    xstats.push_back({"direct_packets_stat", &direct_pkts_});
  }

  bool build(const QdiscTree& tree, const Link& link) {
    filters = make_filters(tree, spec.handle);
    for (const ClassSpec& s : tree.classes) {
      if (find(s.classid) != nullptr) return false;
      auto c = std::make_unique<HtbClass>(s);
      if (!read_htb_class(*c, glob_)) return false;
      c->stats = TcClass::Stats::own;
      c->filters = make_filters(tree, s.classid);
      add_class(std::move(c));
    }
    for (const auto& c : classes()) {
      auto& cl = static_cast<HtbClass&>(*c);
      if (cl.spec.parent == 0xffffffff || cl.spec.parent == spec.handle) continue;
      cl.parent = static_cast<HtbClass*>(find(cl.spec.parent));
      if (cl.parent == nullptr) return false;
      cl.parent->children.push_back(&cl);
    }
    std::array<std::vector<HtbClass*>, kHtbMaxDepth> by_level;
    for (const auto& c : classes()) {
      auto& cl = static_cast<HtbClass&>(*c);
      int depth = 0;
      for (const HtbClass* p = cl.parent; p != nullptr && depth < kHtbMaxDepth; p = p->parent)
        ++depth;
      if (depth >= kHtbMaxDepth - (cl.children.empty() ? 0 : 1)) return false;
      if (cl.children.empty()) {
        cl.leaf = make_leaf(tree, cl.spec.classid, "pfifo", link);
        cl.leaf->parent = this;
      } else {
        cl.level = kHtbMaxDepth - 1 - depth;
        std::ranges::sort(cl.children, {}, [](const HtbClass* x) { return x->spec.classid; });
        for (std::size_t i = 0; i < cl.children.size(); ++i)
          cl.children[i]->place = static_cast<int>(i);
        for (HtbRow& feed : cl.feeds) feed.set.resize(cl.children.size());
      }
      cl.xstats = {{"lended", &cl.lends}, {"borrowed", &cl.borrows}};
      by_level[static_cast<std::size_t>(cl.level)].push_back(&cl);
    }
    for (int l = 0; l < kHtbMaxDepth; ++l) {
      auto& all = by_level[static_cast<std::size_t>(l)];
      std::ranges::sort(all, {}, [](const HtbClass* x) { return x->spec.classid; });
      for (std::size_t i = 0; i < all.size(); ++i) all[i]->row_place = static_cast<int>(i);
      Level& level = at(l);
      level.wait.reserve(all.size());
      for (HtbRow& row : level.rows) row.set.resize(all.size());
      level.classes = std::move(all);
    }
    return true;
  }

  TxResult enqueue(Net& net, SkbPtr skb) final {
    TxResult ended = TxResult::success();
    HtbClass* c = nullptr;
    if (!choose(net, skb, c, ended)) return ended;
    if (c == nullptr) {
      if (direct_.qlen() >= glob_.direct_qlen) return drop_one(net, std::move(skb));
      direct_pkts_.add();
      add(*skb);
      direct_.push_back(std::move(skb));
      return TxResult::success();
    }
    if (Trace* trace = skb->trace)
      trace->by(Stage::qdisc_enqueue, NamedObject{.kind = "class", .text = c->spec.text});
    const TxResult rc = enqueue_child(net, std::move(skb), *c->leaf);
    if (rc.ok())
      activate(*c);
    else if (rc.counts_as_drop())
      c->drops.add();
    return rc;
  }

  SkbPtr dequeue(Net& net) final {
    SkbPtr skb = direct_.pop_front();
    if (skb) {
      left(*skb);
      return skb;
    }
    if (qlen() == 0) return nullptr;
    now_ = net.clock.now();
    Nanos next_event = now_ + 5 * kSecond;
    for (int l = 0; l < kHtbMaxDepth; ++l) {
      Level& level = at(l);
      if (now_ >= level.near_event) level.near_event = do_events(l);
      next_event = std::min(next_event, level.near_event);
      for (std::uint32_t rows = level.row_mask; rows != 0; rows &= rows - 1) {
        skb = dequeue_tree(net, static_cast<std::uint32_t>(std::countr_zero(rows)), l);
        if (!skb) continue;
        left(*skb);
        return skb;
      }
    }
    watchdog_.schedule(net, next_event);
    return nullptr;
  }

  void reset(Net& net, DropReason reason) final {
    ClassfulQdisc::reset(net, reason);
    for (const auto& c : classes()) {
      auto& cl = static_cast<HtbClass&>(*c);
      cl.prio_activity = 0;
      cl.mode = HtbMode::can_send;
      for (HtbRow& feed : cl.feeds) forget(feed);
    }
    watchdog_.cancel();
    while (SkbPtr skb = direct_.pop_front()) {
      sub(*skb);
      drop(net, Stage::qdisc_enqueue, std::move(skb), reason);
    }
    for (Level& level : levels_) {
      for (HtbRow& row : level.rows) forget(row);
      level.wait.clear();
      level.row_mask = 0;
    }
  }

  void each(void (*visit)(Skb&, void*), void* arg) final {
    for (Skb* s = direct_.peek(); s != nullptr; s = s->next) visit(*s, arg);
    ClassfulQdisc::each(visit, arg);
  }

  void qlen_notify(Qdisc& child) final {
    if (auto* c = static_cast<HtbClass*>(find(child.spec.parent))) deactivate(*c);
  }

 private:
  struct Level {
    std::array<HtbRow, kHtbPrios> rows;
    std::uint32_t row_mask = 0;
    HtbWaitHeap wait;
    Nanos near_event = 0;
    std::vector<HtbClass*> classes;
  };
  Level& at(int level) { return levels_[static_cast<std::size_t>(level)]; }
  static void forget(HtbRow& row) {
    row.set.clear();
    row.ptr = row.hint = -1;
  }

  // htb_classify(). A null class is the direct queue. False: the packet ended.
  bool choose(Net& net, SkbPtr& skb, HtbClass*& c, TxResult& ended) {
    if (skb->priority == spec.handle) return true;
    const TcfChain* chain = &filters;
    if (auto* named = static_cast<HtbClass*>(find(skb->priority))) {
      c = named;
      if (named->level == 0) return true;
      chain = &named->filters;
    }
    for (int hops = 0; !chain->empty();) {
      TcfResult res;
      if (!classify(net, skb, *chain, res, ended)) return false;
      if (res.verdict == TcAct::unspec) break;
      c = nullptr;
      if (res.classid == spec.handle) return true;
      c = static_cast<HtbClass*>(find(res.classid));
      if (c == nullptr) break;
      if (c->level == 0) return true;
      if (++hops > kHtbMaxDepth) {  // filters that lead in a circle
        ended = TxResult::bypass();
        stats.drops.add();
        drop(net, Stage::qdisc_enqueue, std::move(skb), DropReason::QDISC_DROP);
        return false;
      }
      chain = &c->filters;
    }
    c = static_cast<HtbClass*>(find(spec.handle | (glob_.defcls & 0xffff)));
    if (c != nullptr && c->level != 0) c = nullptr;
    return true;
  }

  void add_to_wait(HtbClass& c, Nanos delay) {
    Level& level = at(c.level);
    const Nanos when = now_ + std::max<Nanos>(delay, 1);
    level.near_event = std::min(level.near_event, when);
    level.wait.add(c, when);
  }

  // htb_activate_prios(): into the parents' feeds as far up as they are yellow, then into a row.
  void activate_prios(HtbClass& leaf) {
    HtbClass* c = &leaf;
    std::uint32_t mask = c->prio_activity;
    while (c->mode == HtbMode::may_borrow && c->parent != nullptr && mask != 0) {
      HtbClass* p = c->parent;
      for (std::uint32_t m = mask; m != 0; m &= m - 1) {
        const int prio = std::countr_zero(m);
        HtbRow& feed = p->feeds[static_cast<std::size_t>(prio)];
        if (!feed.set.empty()) mask &= ~(1U << prio);  // the parent is active in it already
        feed.set.set(c->place);
      }
      p->prio_activity |= mask;
      c = p;
    }
    if (c->mode != HtbMode::can_send || mask == 0) return;
    Level& level = at(c->level);
    level.row_mask |= mask;
    for (std::uint32_t m = mask; m != 0; m &= m - 1)
      level.rows[static_cast<std::size_t>(std::countr_zero(m))].set.set(c->row_place);
  }

  // htb_deactivate_prios(): the other way. The mode is still the old one.
  void deactivate_prios(HtbClass& leaf) {
    HtbClass* c = &leaf;
    std::uint32_t mask = c->prio_activity;
    while (c->mode == HtbMode::may_borrow && c->parent != nullptr && mask != 0) {
      HtbClass* p = c->parent;
      std::uint32_t emptied = 0;
      for (std::uint32_t m = mask; m != 0; m &= m - 1) {
        const int prio = std::countr_zero(m);
        HtbRow& feed = p->feeds[static_cast<std::size_t>(prio)];
        if (feed.ptr == c->place) {
          feed.hint = c->place;
          feed.ptr = -1;
        }
        feed.set.clear(c->place);
        if (feed.set.empty()) emptied |= 1U << prio;
      }
      mask = emptied;
      p->prio_activity &= ~mask;
      c = p;
    }
    if (c->mode != HtbMode::can_send || mask == 0) return;
    Level& level = at(c->level);
    for (std::uint32_t m = mask; m != 0; m &= m - 1) {
      const int prio = std::countr_zero(m);
      HtbRow& row = level.rows[static_cast<std::size_t>(prio)];
      if (row.ptr == c->row_place) row.advance();
      row.set.clear(c->row_place);
      if (row.set.empty()) level.row_mask &= ~(1U << prio);
    }
  }

  void activate(HtbClass& c) {
    if (c.prio_activity != 0) return;
    c.prio_activity = 1U << c.prio;
    activate_prios(c);
  }
  void deactivate(HtbClass& c) {
    if (c.prio_activity == 0) return;
    deactivate_prios(c);
    c.prio_activity = 0;
  }

  // htb_change_class_mode().
  void change_mode(HtbClass& c, Nanos& diff) {
    const HtbMode mode = c.mode_at(diff);
    if (mode == c.mode) return;
    if (mode == HtbMode::cant_send) {
      c.overlimits.add();
      stats.overlimits.add();
    }
    if (c.prio_activity == 0) {
      c.mode = mode;
      return;
    }
    if (c.mode != HtbMode::cant_send) deactivate_prios(c);
    c.mode = mode;
    if (mode != HtbMode::cant_send) activate_prios(c);
  }

  // htb_charge_class(): the leaf and its ancestors pay for a packet that was sent with the tokens
  // of `level`.
  void charge(HtbClass* c, int level, const Skb& skb) {
    for (; c != nullptr; c = c->parent) {
      Nanos diff = std::min(now_ - c->t_c, HtbClass::kMbuffer);
      const auto pay = [&](Nanos tokens, Nanos depth, const Ratecfg& rate) {
        tokens = std::min(diff + tokens, depth) - rate.l2t_ns(skb.pkt_len);
        return std::max(tokens, 1 - HtbClass::kMbuffer);
      };
      if (c->level >= level) {
        if (c->level == level) c->lends.add();
        c->tokens = pay(c->tokens, c->buffer, c->rate);
      } else {
        c->borrows.add();
        c->tokens += diff;  // t_c moves
      }
      c->ctokens = pay(c->ctokens, c->cbuffer, c->ceil);
      c->t_c = now_;

      const HtbMode old = c->mode;
      diff = 0;
      change_mode(*c, diff);
      if (old != c->mode) {
        if (old != HtbMode::can_send) at(c->level).wait.remove(*c);
        if (c->mode != HtbMode::can_send) add_to_wait(*c, diff);
      }
      if (c->level != 0) count(*c, skb);
    }
  }

  static void count(HtbClass& c, const Skb& skb) {
    c.bytes.add(skb.pkt_len);
    c.packets.add(skb.is_gso() ? skb.gso_segs : 1);
  }

  // htb_do_events(): the mode changes that are due; answers when the next one is.
  Nanos do_events(int l) {
    HtbWaitHeap& wait = at(l).wait;
    while (HtbClass* c = wait.first()) {
      if (c->wait.at > now_) return c->wait.at;
      wait.remove(*c);
      Nanos diff = std::min(now_ - c->t_c, HtbClass::kMbuffer);
      change_mode(*c, diff);
      if (c->mode != HtbMode::can_send) add_to_wait(*c, diff);
    }
    return now_ + kSecond;
  }

  // htb_lookup_leaf(): whose turn it is in a row, through the feeds below.
  HtbClass* lookup_leaf(HtbRow& row, const std::vector<HtbClass*>& members, std::uint32_t prio) {
    if (row.set.empty()) return nullptr;
    struct Step {
      HtbRow* row;
      const std::vector<HtbClass*>* members;
    };
    Step stack[kHtbMaxDepth] = {{&row, &members}};
    int depth = 0;
    for (int i = 0; i < 65535; ++i) {
      HtbRow& r = *stack[depth].row;
      if (r.ptr < 0 && r.hint >= 0) r.ptr = r.set.next(r.hint);
      r.hint = -1;
      if (r.ptr < 0) {  // past the end: back to the start, and on to the next one above
        r.ptr = r.set.next(0);
        if (depth > 0) stack[--depth].row->advance();
        continue;
      }
      HtbClass* c = (*stack[depth].members)[static_cast<std::size_t>(r.ptr)];
      if (c->level == 0) return c;
      if (depth + 1 == kHtbMaxDepth) return nullptr;
      stack[++depth] = {&c->feeds[prio], &c->children};
    }
    return nullptr;
  }

  // The row or feed in which a leaf that sends at `level` has its turn.
  HtbRow& turn_of(HtbClass& c, std::uint32_t prio, int level) {
    return level != 0 ? c.parent->feeds[prio] : at(0).rows[prio];
  }

  // htb_dequeue_tree().
  SkbPtr dequeue_tree(Net& net, std::uint32_t prio, int l) {
    Level& level = at(l);
    HtbRow& row = level.rows[prio];
    HtbClass* c = lookup_leaf(row, level.classes, prio);
    HtbClass* start = c;
    SkbPtr skb;
    do {
      // A leaf may have emptied itself.
      while (c != nullptr && c->leaf->qlen() == 0) {
        deactivate(*c);
        if ((level.row_mask & (1U << prio)) == 0) return nullptr;
        HtbClass* next = lookup_leaf(row, level.classes, prio);
        if (c == start) start = next;
        c = next;
      }
      if (c == nullptr) return nullptr;
      skb = c->leaf->dequeue(net);
      if (skb) break;
      turn_of(*c, prio, l).advance();  // a leaf that holds its packets back
      c = lookup_leaf(row, level.classes, prio);
    } while (c != start);
    if (!skb) return nullptr;
    count(*c, *skb);
    std::int64_t& deficit = c->deficit[static_cast<std::size_t>(l)];
    deficit -= skb->pkt_len;
    if (deficit < 0) {
      deficit += c->quantum;
      turn_of(*c, prio, l).advance();
    }
    if (c->leaf->qlen() == 0) deactivate(*c);
    charge(c, l, *skb);
    return skb;
  }

  const HtbGlob glob_;
  SkbQueue direct_;
  Count direct_pkts_;
  Nanos now_ = 0;  // of the last dequeue()
  std::array<Level, kHtbMaxDepth> levels_;
  QdiscWatchdog watchdog_;
};

}  // namespace

std::shared_ptr<Qdisc> make_htb(const QdiscTree& tree, const Link& link) {
  const auto glob = read_htb(tree.spec.options, link);
  if (!glob) return nullptr;
  auto htb = std::make_shared<Htb>(tree.spec, *glob);
  return htb->build(tree, link) ? htb : nullptr;
}

}  // namespace txp
