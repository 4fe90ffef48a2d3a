// SPDX-License-Identifier: Apache-2.0
// fq_codel (RFC 8290): flows by hash, served in rounds by a deficit of bytes, new ones first; each
// under its own CoDel law. Kernel twin: net/sched/sch_fq_codel.c.
//
// Differs: the hash is the engine's own (dev/skb_hash.h), so which flows share a queue is not the
// kernel's choice.
// Drops: from the fattest flow when the limit of packets or of memory is passed (QDISC_OVERLIMIT),
// what the law takes (QDISC_CONGESTED), what a filter ends.
#include <linux/pkt_sched.h>

#include <algorithm>

#include "dev/skb_hash.h"
#include "mirror/attrs.h"
#include "net.h"
#include "sched/codel.h"
#include "sched/flow_list.h"
#include "sched/registry.h"

namespace txp {

namespace {

struct FqCodelOptions {
  CodelParams params;
  std::uint32_t limit = 10 * 1024;
  std::uint32_t flows = 1024;
  std::uint32_t quantum = 0;
  std::uint32_t drop_batch = 64;
  std::uint32_t memory_limit = 32 << 20;
};

std::optional<FqCodelOptions> read_fq_codel(std::span<const std::uint8_t> options,
                                            const Link& link) {
  constexpr std::uint32_t kQuantumMax = 1 << 20;  // FQ_CODEL_QUANTUM_MAX
  Attrs<TCA_FQ_CODEL_MAX> a(options, "fq_codel");
  FqCodelOptions o;
  o.params.mtu = psched_mtu(link);
  o.params.ecn = true;
  o.quantum = std::clamp<std::uint32_t>(psched_mtu(link), 256, kQuantumMax);
  if (const auto v = a.u32(TCA_FQ_CODEL_FLOWS)) o.flows = *v;
  if (const auto v = a.u32(TCA_FQ_CODEL_QUANTUM)) {
    if (*v > kQuantumMax) return std::nullopt;
    o.quantum = std::max<std::uint32_t>(*v, 256);
  }
  if (const auto v = a.u32(TCA_FQ_CODEL_TARGET)) o.params.target = codel_us(*v);
  if (const auto v = a.u32(TCA_FQ_CODEL_CE_THRESHOLD)) o.params.ce_threshold = codel_us(*v);
  if (const auto v = a.u8(TCA_FQ_CODEL_CE_THRESHOLD_SELECTOR)) o.params.ce_threshold_selector = *v;
  if (const auto v = a.u8(TCA_FQ_CODEL_CE_THRESHOLD_MASK)) o.params.ce_threshold_mask = *v;
  if (const auto v = a.u32(TCA_FQ_CODEL_INTERVAL)) o.params.interval = codel_us(*v);
  if (const auto v = a.u32(TCA_FQ_CODEL_LIMIT)) o.limit = *v;
  if (const auto v = a.u32(TCA_FQ_CODEL_ECN)) o.params.ecn = *v != 0;
  if (const auto v = a.u32(TCA_FQ_CODEL_DROP_BATCH_SIZE)) o.drop_batch = std::max(1U, *v);
  if (const auto v = a.u32(TCA_FQ_CODEL_MEMORY_LIMIT)) o.memory_limit = std::min(1U << 31, *v);
  if (o.flows == 0 || o.flows > 65536 || !a.error().empty()) return std::nullopt;
  return o;
}

class FqCodel final : public ClassfulQdisc {
 public:
  FqCodel(const QdiscTree& tree, const FqCodelOptions& o)
      : ClassfulQdisc(tree.spec), o_(o), flows_(o.flows), backlogs_(o.flows) {
    limit = o.limit;
    state_is_shared = true;
    can_bypass = limit >= 1;
    has_filters = true;
    filters = make_filters(tree, spec.handle);
    can_bypass = can_bypass && filters.empty();
    xstats = {{"drop_overlimit", &drop_overlimit_},
              {"new_flow_count", &new_flow_count_},
              {"ecn_mark", &ecn_mark_},
              {"drop_overmemory", &drop_overmemory_}};
  }

  TxResult enqueue(Net& net, SkbPtr skb) final {
    std::uint32_t idx = 0;
    if (TxResult ended = TxResult::success(); !choose(net, skb, idx, ended)) return ended;
    Flow& flow = flows_[idx];
    const std::uint32_t len = skb->pkt_len;
    skb->qdisc_time = net.clock.now();
    memory_ += skb->truesize;
    backlogs_[idx] += len;
    backlog_ += len;
    add(*skb);
    flow.queue.push_back(std::move(skb));
    if (!flow.listed) {
      new_flows_.push_back(flow);
      new_flow_count_.add();
      flow.deficit = o_.quantum;
    }
    const bool too_much_memory = memory_ > o_.memory_limit;
    if (qlen() <= limit && !too_much_memory) return TxResult::success();
    const std::int64_t had = qlen(), had_bytes = backlog();
    const std::uint32_t from = drop_from_fattest(net);
    const std::int64_t n = had - qlen(), bytes = had_bytes - backlog();
    drop_overlimit_.add(static_cast<std::uint64_t>(n));
    if (too_much_memory) drop_overmemory_.add(static_cast<std::uint64_t>(n));
    if (from != idx) {
      tree_reduce_backlog(n, bytes);
      return TxResult::success();
    }
    // Of this very flow: its sender is told, and the parents never counted this packet.
    tree_reduce_backlog(n - 1, bytes - len);
    return TxResult::cn();
  }

  SkbPtr dequeue(Net& net) final {
    CodelStats st;
    SkbPtr skb = dequeue_from_flows(net, st);
    ecn_mark_.add(st.ecn_mark + st.ce_mark);
    if (st.drop_count != 0)
      tree_reduce_backlog(st.drop_count, static_cast<std::int64_t>(st.drop_len));
    return skb;
  }

  void reset(Net& net, DropReason reason) final {
    new_flows_.clear();
    old_flows_.clear();
    for (Flow& f : flows_) {
      while (SkbPtr skb = f.queue.pop_front()) {
        sub(*skb);
        drop(net, Stage::qdisc_enqueue, std::move(skb), reason);
      }
      f.codel = Codel();
    }
    std::ranges::fill(backlogs_, 0);
    backlog_ = 0;
    memory_ = 0;
  }

  void each(void (*visit)(Skb&, void*), void* arg) final {
    for (Flow& f : flows_)
      for (Skb* s = f.queue.peek(); s != nullptr; s = s->next) visit(*s, arg);
  }

 private:
  struct Flow {
    SkbQueue queue;
    Codel codel;
    std::int64_t deficit = 0;
    Flow* next = nullptr;
    bool listed = false;
  };

  // fq_codel_classify(). False: a filter ended the packet, or named a flow that is not there.
  bool choose(Net& net, SkbPtr& skb, std::uint32_t& idx, TxResult& ended) {
    const std::uint32_t minor = skb->priority & 0xffff;
    // A default discipline's handle is 0: there, as in the kernel, a plain priority names a flow.
    if ((skb->priority & 0xffff0000) == spec.handle && minor > 0 && minor <= o_.flows) {
      idx = minor - 1;
      return true;
    }
    if (filters.empty()) {
      idx = static_cast<std::uint32_t>((std::uint64_t{skb_get_hash(*skb)} * o_.flows) >> 32);
      return true;
    }
    TcfResult res;
    if (!classify(net, skb, filters, res, ended)) return false;
    const std::uint32_t flow = res.classid & 0xffff;
    if (res.verdict == TcAct::unspec || flow == 0 || flow > o_.flows) {
      stats.drops.add();
      drop(net, Stage::qdisc_enqueue, std::move(skb), DropReason::QDISC_DROP);
      ended = TxResult::bypass();
      return false;
    }
    idx = flow - 1;
    return true;
  }

  SkbPtr take_head(Flow& f) {
    SkbPtr skb = f.queue.pop_front();
    if (!skb) return skb;
    backlogs_[static_cast<std::size_t>(&f - flows_.data())] -= skb->pkt_len;
    backlog_ -= skb->pkt_len;
    memory_ -= skb->truesize;
    sub(*skb);
    return skb;
  }

  // fq_codel_drop(): half of the fattest flow, at most a batch. Answers which flow.
  std::uint32_t drop_from_fattest(Net& net) {
    const auto fattest = std::ranges::max_element(backlogs_);
    const auto idx = static_cast<std::uint32_t>(fattest - backlogs_.begin());
    const std::uint32_t threshold = *fattest >> 1;
    Flow& f = flows_[idx];
    std::uint32_t n = 0;
    std::uint32_t len = 0;
    do {
      SkbPtr skb = take_head(f);
      if (!skb) break;
      len += skb->pkt_len;
      (void)drop_one(net, std::move(skb), DropReason::QDISC_OVERLIMIT);
    } while (++n < o_.drop_batch && len < threshold);
    f.codel.count += n;
    return idx;
  }

  SkbPtr dequeue_from_flows(Net& net, CodelStats& st) {
    for (;;) {
      const bool is_new = !new_flows_.empty();
      FlowList<Flow>& list = is_new ? new_flows_ : old_flows_;
      Flow* f = list.first();
      if (f == nullptr) return nullptr;
      if (f->deficit <= 0) {
        f->deficit += o_.quantum;
        list.pop_front();
        old_flows_.push_back(*f);
        continue;
      }
      SkbPtr skb = f->codel.dequeue(
          net.clock.now(), o_.params, st, backlog_, [&] { return take_head(*f); },
          [&](SkbPtr s) { (void)drop_one(net, std::move(s), DropReason::QDISC_CONGESTED); });
      if (!skb) {
        // One round through the old ones, so that a flow that is ever new cannot starve them.
        list.pop_front();
        if (is_new && !old_flows_.empty()) old_flows_.push_back(*f);
        continue;
      }
      bstats_update(*skb);
      f->deficit -= skb->pkt_len;
      return skb;
    }
  }

  const FqCodelOptions o_;
  std::vector<Flow> flows_;
  std::vector<std::uint32_t> backlogs_;  // bytes by flow: what the search for the fattest reads
  FlowList<Flow> new_flows_;
  FlowList<Flow> old_flows_;
  std::uint32_t backlog_ = 0;  // bytes in all flows
  std::uint64_t memory_ = 0;   // truesize in all flows
  Count drop_overlimit_;
  Count new_flow_count_;
  Count ecn_mark_;
  Count drop_overmemory_;
};

}  // namespace

std::shared_ptr<Qdisc> make_fq_codel(const QdiscTree& tree, const Link& link) {
  const auto o = read_fq_codel(tree.spec.options, link);
  return o ? std::make_shared<FqCodel>(tree, *o) : nullptr;
}

}  // namespace txp
