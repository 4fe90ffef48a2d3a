// SPDX-License-Identifier: Apache-2.0
// red: random early detection before one queue. Kernel twin: net/sched/sch_red.c.
//
// Left out: adaptative mode and qevents (both unknown), offload. The kernel does not list the table
// of idle times (tc makes it from avpkt and bandwidth): a mirrored red decays in a line instead.
// Drops: by chance and above the upper threshold (QDISC_CONGESTED; the sender is not told), what
// the inner discipline refuses.
#include <linux/pkt_sched.h>

#include <cstring>

#include "mirror/attrs.h"
#include "net.h"
#include "sched/ecn.h"
#include "sched/red.h"
#include "sched/registry.h"

namespace txp {

namespace {

struct RedOptions {
  std::uint32_t limit = 0;
  std::uint32_t flags = 0;
  RedParms parms;
};

std::optional<RedOptions> read_red(std::span<const std::uint8_t> options) {
  Attrs<TCA_RED_MAX> a(options, "red");
  tc_red_qopt q{};
  const auto raw = a.raw(TCA_RED_PARMS);
  if (!raw || take_header(*raw, q) == nullptr) return std::nullopt;
  RedOptions o;
  if (const auto stab = a.raw(TCA_RED_STAB, o.parms.stab.size()))
    std::memcpy(o.parms.stab.data(), stab->data(), o.parms.stab.size());
  o.limit = q.limit;
  o.flags = q.flags;
  if (const auto v = a.raw(TCA_RED_FLAGS)) {
    nla_bitfield32 bits{};
    if (take_header(*v, bits) == nullptr) return std::nullopt;
    o.flags = bits.value;
  }
  if ((o.flags & TC_RED_ADAPTATIVE) != 0) return std::nullopt;
  if ((o.flags & TC_RED_NODROP) != 0 && (o.flags & TC_RED_ECN) == 0) return std::nullopt;
  if (a.u32(TCA_RED_EARLY_DROP_BLOCK).value_or(0) != 0 ||
      a.u32(TCA_RED_MARK_BLOCK).value_or(0) != 0)
    return std::nullopt;
  if (!o.parms.set(q.qth_min, q.qth_max, q.Wlog, q.Plog, q.Scell_log,
                   a.u32(TCA_RED_MAX_P).value_or(0)) ||
      !a.error().empty())
    return std::nullopt;
  return o;
}

class Red final : public ClassfulQdisc {
 public:
  Red(QdiscSpec s, const RedOptions& o, std::shared_ptr<Qdisc> inner)
      : ClassfulQdisc(std::move(s)), o_(o), inner_(*inner) {
    limit = o.limit;
    state_is_shared = true;
    xstats = {{"early", &early_}, {"marked", &marked_}, {"pdrop", &pdrop_}};
    ClassSpec c;
    c.ifindex = spec.ifindex;
    c.kind = "red";
    c.classid = spec.handle | 1;
    c.parent = spec.handle;
    c.text = fmt::format("class red {0:x}:1 parent {0:x}:", spec.handle >> 16);
    auto cl = std::make_unique<TcClass>(std::move(c));
    cl->stats = TcClass::Stats::none;
    cl->leaf = std::move(inner);
    add_class(std::move(cl));
  }

  TxResult enqueue(Net& net, SkbPtr skb) final {
    vars_.update(o_.parms, inner_.backlog(), net.clock.now());
    const RedVars::Action action = vars_.decide(o_.parms, net.random);
    if (action != RedVars::Action::pass) {
      stats.overlimits.add();
      const bool ecn = (o_.flags & TC_RED_ECN) != 0 && (action == RedVars::Action::mark_by_chance ||
                                                        (o_.flags & TC_RED_HARDDROP) == 0);
      if (ecn && inet_ecn_set_ce(*skb)) {
        marked_.add();
      } else if (!ecn || (o_.flags & TC_RED_NODROP) == 0) {
        early_.add();
        (void)drop_one(net, std::move(skb), DropReason::QDISC_CONGESTED);
        return TxResult::cn();
      }
    }
    const TxResult rc = enqueue_child(net, std::move(skb), inner_);
    if (!rc.ok() && rc.counts_as_drop()) pdrop_.add();
    return rc;
  }

  const Skb* peek(Net& net) final { return inner_.peek(net); }

  SkbPtr dequeue(Net& net) final {
    SkbPtr skb = inner_.dequeue_peeked(net);
    if (skb)
      left(*skb);
    else
      vars_.idle(net.clock.now());
    return skb;
  }

  void reset(Net& net, DropReason reason) final {
    ClassfulQdisc::reset(net, reason);
    vars_.restart();
  }

 private:
  const RedOptions o_;
  Qdisc& inner_;
  RedVars vars_;
  Count early_, marked_, pdrop_;
};

}  // namespace

std::shared_ptr<Qdisc> make_red(const QdiscTree& tree, const Link& link) {
  const auto o = read_red(tree.spec.options);
  if (!o) return nullptr;
  std::shared_ptr<Qdisc> inner = make_limited_leaf(tree, tree.spec.handle | 1, o->limit, link);
  return std::make_shared<Red>(tree.spec, *o, std::move(inner));
}

}  // namespace txp
