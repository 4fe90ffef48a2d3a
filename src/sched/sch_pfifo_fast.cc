// SPDX-License-Identifier: Apache-2.0
// pfifo_fast: three bands by priority, each a ring of txqueuelen packets; band 0 goes first.
// Kernel twin: net/sched/sch_generic.c (pfifo_fast_ops), include/linux/ptr_ring.h.
//
// Differs: the kernel's is lockless with counters per CPU; this one takes the discipline's lock.
// The rings' late freeing of slots is the kernel's: a consumed slot is free only when its batch of
// 16 is through or the ring's end was passed, so a ring that was drained in part holds less.
// Drops: what finds its band's ring full (QDISC_OVERLIMIT).
#include <array>

#include "sched/registry.h"

namespace txp {
namespace {

constexpr std::uint8_t kPrio2Band[16] = {1, 2, 2, 2, 1, 2, 0, 0, 1, 1, 1, 1, 1, 1, 1, 1};

class PfifoFast final : public Qdisc {
 public:
  PfifoFast(QdiscSpec s, std::uint32_t txqlen) : Qdisc(std::move(s)) {
    limit = txqlen;
    can_bypass = true;
  }

  TxResult enqueue(Net& net, SkbPtr skb) final {
    Band& band = bands_[kPrio2Band[skb->priority & 15]];
    if (band.queue.qlen() + band.unfreed >= limit) {
      stats.drops.add();
      drop(net, Stage::qdisc_enqueue, std::move(skb), DropReason::QDISC_OVERLIMIT);
      return TxResult::drop();
    }
    add(*skb);
    band.queue.push_back(std::move(skb));
    return TxResult::success();
  }

  SkbPtr dequeue(Net&) final {
    for (Band& band : bands_) {
      SkbPtr skb = band.queue.pop_front();
      if (!skb) continue;
      consumed(band);
      sub(*skb);
      bstats_update(*skb);
      return skb;
    }
    return nullptr;
  }

  void reset(Net& net, DropReason reason) final {
    for (Band& band : bands_) {
      while (SkbPtr skb = band.queue.pop_front()) {
        consumed(band);
        sub(*skb);
        drop(net, Stage::qdisc_enqueue, std::move(skb), reason);
      }
    }
  }

  void each(void (*visit)(Skb&, void*), void* arg) final {
    for (Band& band : bands_)
      for (Skb* s = band.queue.peek(); s != nullptr; s = s->next) visit(*s, arg);
  }

 private:
  struct Band {
    SkbQueue queue;
    std::uint32_t head = 0;     // ptr_ring's consumer_head
    std::uint32_t unfreed = 0;  // consumer_head - consumer_tail
  };

  // __ptr_ring_discard_one().
  void consumed(Band& band) const {
    constexpr std::uint32_t kBatch = 16;  // two cache lines of pointers (__ptr_ring_set_size())
    const std::uint32_t batch = limit / 2 >= kBatch ? kBatch : 1;
    ++band.head;
    ++band.unfreed;
    if (band.unfreed >= batch || band.head >= limit) band.unfreed = 0;
    if (band.head >= limit) band.head = 0;
  }

  std::array<Band, 3> bands_;
};

}  // namespace

std::shared_ptr<Qdisc> make_pfifo_fast(const QdiscTree& tree, const Link& link) {
  if (link.txqlen == 0) return nullptr;  // pfifo_fast_init() refuses rings of no size
  return std::make_shared<PfifoFast>(tree.spec, link.txqlen);
}

}  // namespace txp
