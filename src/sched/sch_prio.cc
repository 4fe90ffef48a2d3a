// SPDX-License-Identifier: Apache-2.0
// prio: up to 16 bands, a lower one goes first; skb->priority, a filter or the priomap chooses.
// Kernel twin: net/sched/sch_prio.c.
//
// Left out: offload to hardware.
// Drops: what a filter's action ends (QDISC_DROP), what a band refuses.
#include <linux/pkt_sched.h>

#include <array>
#include <cstring>

#include "mirror/attrs.h"
#include "net.h"
#include "sched/registry.h"

namespace txp {

namespace {

std::optional<tc_prio_qopt> read_prio(std::span<const std::uint8_t> options) {
  tc_prio_qopt o{};
  if (take_header(options, o) == nullptr) return std::nullopt;
  if (o.bands < TCQ_MIN_PRIO_BANDS || o.bands > TCQ_PRIO_BANDS) return std::nullopt;
  for (const std::uint8_t band : o.priomap)
    if (band >= o.bands) return std::nullopt;
  return o;
}

class Prio final : public ClassfulQdisc {
 public:
  Prio(const QdiscTree& tree, const tc_prio_qopt& o, const Link& link)
      : ClassfulQdisc(tree.spec), bands_(static_cast<std::uint32_t>(o.bands)) {
    std::memcpy(priomap_.data(), o.priomap, priomap_.size());
    has_filters = true;
    filters = make_filters(tree, spec.handle);
    for (std::uint32_t i = 1; i <= bands_; ++i) {
      ClassSpec c;
      c.ifindex = spec.ifindex;
      c.kind = "prio";
      c.classid = spec.handle | i;
      c.parent = spec.handle;
      c.text = fmt::format("class prio {0:x}:{1:x} parent {0:x}:", spec.handle >> 16, i);
      auto cl = std::make_unique<TcClass>(std::move(c));
      cl->leaf = make_leaf(tree, spec.handle | i, "pfifo", link);
      add_class(std::move(cl));
    }
  }

  TxResult enqueue(Net& net, SkbPtr skb) final {
    std::uint32_t band = skb->priority;
    if ((band & 0xffff0000) != spec.handle) {
      TcfResult res;
      TxResult ended = TxResult::success();
      if (!filters.empty() && !classify(net, skb, filters, res, ended)) return ended;
      if (res.verdict == TcAct::unspec) {
        const std::uint32_t prio = (band & 0xffff0000) != 0 ? 0 : band & 15;
        return enqueue_child(net, std::move(skb), *classes()[priomap_[prio]]->leaf);
      }
      band = res.classid;
    }
    band = (band & 0xffff) - 1;
    if (band >= bands_) band = priomap_[0];
    return enqueue_child(net, std::move(skb), *classes()[band]->leaf);
  }

  const Skb* peek(Net& net) final {
    for (const auto& c : classes())
      if (const Skb* skb = c->leaf->peek(net)) return skb;
    return nullptr;
  }

  SkbPtr dequeue(Net& net) final {
    for (const auto& c : classes()) {
      SkbPtr skb = c->leaf->dequeue_peeked(net);
      if (!skb) continue;
      left(*skb);
      return skb;
    }
    return nullptr;
  }

 private:
  const std::uint32_t bands_;
  std::array<std::uint8_t, 16> priomap_{};
};

}  // namespace

std::shared_ptr<Qdisc> make_prio(const QdiscTree& tree, const Link& link) {
  const auto o = read_prio(tree.spec.options);
  return o ? std::make_shared<Prio>(tree, *o, link) : nullptr;
}

}  // namespace txp
