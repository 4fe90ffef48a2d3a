// SPDX-License-Identifier: Apache-2.0
// Which discipline stands on which queue, and when it is active: only while the device is up and
// has a carrier. Otherwise noop stands there and drops.
// Kernel twin: net/sched/sch_generic.c (dev_activate(), dev_deactivate(), dev_graft_qdisc()) and
// net/sched/sch_mq.c (mq_attach()).
//
// Differs: the kernel acts on a lost carrier a moment later (linkwatch); here at once.
// Drops: what waits in a discipline that is deactivated or replaced (QUEUE_PURGE).
#include <algorithm>
#include <utility>

#include "dev/netdevice.h"
#include "net.h"
#include "sched/registry.h"

namespace txp {
namespace {

constexpr std::uint32_t kTcHRoot = 0xffffffff;     // TC_H_ROOT
constexpr std::uint32_t kTcHIngress = 0xfffffff1;  // TC_H_INGRESS, TC_H_CLSACT

// IFF_NO_QUEUE: devices that get no queue of their own by default.
bool no_queue(const Link& link) {
  return (link.flags & kIffLoopback) != 0 || link.kind == "veth" || link.kind == "dummy" ||
         link.kind == "netdevsim" || link.txqlen == 0;
}

QdiscSpec default_spec(const Link& link, std::string kind, std::uint32_t parent) {
  QdiscSpec spec;
  spec.ifindex = link.ifindex;
  spec.parent = parent;
  spec.text = "qdisc " + kind + " 0: dev " + link.name;
  if (parent == kTcHRoot) {
    spec.text += " root";
  } else {
    // tc prints the minor in hexadecimal.
    static constexpr char kHex[] = "0123456789abcdef";
    std::string minor;
    for (std::uint32_t m = parent & 0xffff; m != 0; m >>= 4) minor.insert(0, 1, kHex[m & 0xf]);
    spec.text += " parent :" + minor;
  }
  spec.kind = std::move(kind);
  return spec;
}

bool same(const QdiscSpec& a, const QdiscSpec& b) {
  return a.kind == b.kind && a.handle == b.handle && a.parent == b.parent && a.options == b.options;
}
bool same(const ClassSpec& a, const ClassSpec& b) {
  return a.kind == b.kind && a.classid == b.classid && a.parent == b.parent &&
         a.options == b.options;
}
bool same(const FilterSpec& a, const FilterSpec& b) {
  return a.parent == b.parent && a.kind == b.kind && a.handle == b.handle && a.chain == b.chain &&
         a.prio == b.prio && a.protocol == b.protocol && a.options == b.options;
}
bool same(const QdiscTree& a, const QdiscTree& b);
constexpr auto kSame = [](const auto& a, const auto& b) { return same(a, b); };

// Equal but for the filters, which are changed in place.
bool same(const QdiscTree& a, const QdiscTree& b) {
  return same(a.spec, b.spec) && std::ranges::equal(a.classes, b.classes, kSame) &&
         std::ranges::equal(a.children, b.children, kSame);
}

void set_filters(Qdisc& root, const QdiscTree& was, const QdiscTree& is) {
  for (std::size_t i = 0; i < is.children.size(); ++i)
    set_filters(root, was.children[i], is.children[i]);
  if (std::ranges::equal(was.filters, is.filters, kSame)) return;
  qdisc_walk(root, [&](Qdisc& q) {
    auto* classful = dynamic_cast<ClassfulQdisc*>(&q);
    if (classful == nullptr || !classful->has_filters || q.spec.handle != is.spec.handle) return;
    const auto swap_in = [&](TcfChain& chain, std::uint32_t parent) {
      TcfChain fresh = make_filters(is, parent);
      root.lock.lock();
      std::swap(chain, fresh);
      if (!chain.empty()) q.can_bypass = false;  // a packet must pass them, queue or no queue
      root.lock.unlock();
    };
    swap_in(classful->filters, q.spec.handle);
    for (const auto& c : classful->classes()) swap_in(c->filters, c->spec.classid);
  });
}

// What hangs on `spec`: by the class ids, whose upper half is its handle.
QdiscTree plant(const QdiscSpec& spec, const std::vector<QdiscSpec>& specs,
                const std::vector<ClassSpec>& classes, const std::vector<FilterSpec>& filters,
                int depth = 0) {
  constexpr int kMaxDepth = 8;  // the kernel's limit on nesting (check_loop())
  QdiscTree tree(spec);
  if (spec.handle == 0) return tree;  // a default discipline: nothing can name it
  const auto mine = [&](std::uint32_t id) { return (id & 0xffff0000) == spec.handle; };
  for (const ClassSpec& c : classes)
    if (mine(c.classid)) tree.classes.push_back(c);
  for (const FilterSpec& f : filters)
    if (mine(f.parent)) tree.filters.push_back(f);
  if (depth == kMaxDepth) return tree;
  for (const QdiscSpec& s : specs)
    if (mine(s.parent) && s.parent != spec.handle && s.handle != spec.handle)
      tree.children.push_back(plant(s, specs, classes, filters, depth + 1));
  return tree;
}

}  // namespace

void DevTable::set_qdiscs(int ifindex, const std::vector<QdiscSpec>& specs,
                          const std::vector<ClassSpec>& classes,
                          const std::vector<FilterSpec>& filters) {
  NetDevice* dev = owned(ifindex);
  if (dev == nullptr) return;
  const Link& link = dev->link();
  const auto root = std::ranges::find(specs, kTcHRoot, &QdiscSpec::parent);
  std::vector<QdiscSpec> wanted;
  if (root != specs.end()) {
    wanted.push_back(*root);
  } else if (link.qdisc != "noop" && (link.flags & kIffUp) != 0) {
    std::string kind = link.qdisc;
    if (kind.empty())
      kind = no_queue(link) ? "noqueue" : dev->tx.size() > 1 ? "mq" : default_kind();
    wanted.push_back(default_spec(link, std::move(kind), kTcHRoot));
  }
  if (!wanted.empty() && wanted.front().kind == "mq") {
    const std::uint32_t major = wanted.front().handle & 0xffff0000;
    for (std::uint32_t i = 1; i <= dev->tx.size(); ++i) {
      const auto child = std::ranges::find_if(specs, [&](const QdiscSpec& s) {
        return s.parent == (major | i) && s.parent != kTcHRoot && s.parent != kTcHIngress;
      });
      wanted.push_back(child != specs.end() ? *child
                                            : default_spec(link, default_kind(), major | i));
    }
  }
  const bool mq = !wanted.empty() && wanted.front().kind == "mq";
  std::vector<QdiscTree> trees;
  for (const QdiscSpec& s : wanted)
    trees.push_back(mq && trees.empty() ? QdiscTree(s) : plant(s, specs, classes, filters));
  std::vector<std::shared_ptr<Qdisc>> qdiscs;
  bool changed = trees.size() != dev->qdiscs.size();
  for (std::size_t i = 0; i < trees.size(); ++i) {
    if (i < dev->qdiscs.size() && same(dev->qdisc_trees[i], trees[i])) {
      qdiscs.push_back(dev->qdiscs[i]);
      set_filters(*qdiscs[i], dev->qdisc_trees[i], trees[i]);
      continue;
    }
    changed = true;
    qdiscs.push_back(make_qdisc(trees[i], link));
  }
  dev->qdisc_trees = std::move(trees);
  if (changed) graft(*dev, std::move(qdiscs));
}

std::string DevTable::default_kind() const { return net_.sysctl().default_qdisc; }

// Puts `qdiscs` on the device's queues; what they replace is purged. Empty: noop.
void DevTable::graft(NetDevice& dev, std::vector<std::shared_ptr<Qdisc>> qdiscs) {
  const bool active = dev.is_up() && dev.link().carrier;
  dev_deactivate(dev);
  net_.generations.changed(Basis::filter);
  const bool mq = qdiscs.size() > 1;
  for (const auto& q : qdiscs) qdisc_adopt(*q, dev, nullptr);
  for (std::size_t i = 0; i < dev.tx.size(); ++i) {
    TxQueue& txq = *dev.tx[i];
    std::shared_ptr<Qdisc> q = qdiscs.empty() ? noop_ : mq ? qdiscs[i + 1] : qdiscs[0];
    if (q != noop_ && (mq || i == 0)) {
      qdisc_adopt(*q, dev, &txq);
      q->one_txqueue = mq || dev.tx.size() == 1;
    }
    txq.qdisc_sleeping = std::move(q);
  }
  for (auto& old : dev.qdiscs)
    if (std::ranges::find(qdiscs, old) == qdiscs.end())
      net_.retired.retire(new std::shared_ptr<Qdisc>(std::move(old)));
  dev.qdiscs = std::move(qdiscs);
  if (active) transition_qdiscs(dev);
}

void DevTable::dev_activate(NetDevice& dev) {
  if (dev.qdiscs.empty()) set_qdiscs(dev.ifindex, {});  // attach_default_qdiscs()
  if (dev.link().carrier) transition_qdiscs(dev);
}

// transition_one_qdisc() on every queue.
void DevTable::transition_qdiscs(NetDevice& dev) {
  for (const auto& txq : dev.tx) {
    Qdisc* q = txq->qdisc_sleeping.get();
    if (txq->qdisc.get() == q) continue;
    if (q->dev != nullptr) {
      q->lock.lock();
      q->deactivated = false;
      q->lock.unlock();
    }
    (void)txq->qdisc.set(q);  // qdisc_sleeping owns it
  }
}

void DevTable::dev_deactivate(NetDevice& dev) {
  for (const auto& txq : dev.tx) {
    Qdisc* q = txq->qdisc_sleeping.get();
    (void)txq->qdisc.set(noop_.get());
    if (q->dev == nullptr) continue;
    q->lock.lock();
    q->deactivated = true;  // a sender that still holds it drops its packet
    qdisc_reset(net_, *q, DropReason::QUEUE_PURGE);
    q->lock.unlock();
  }
}

// dev_qdisc_change_tx_queue_len(): only pfifo_fast follows, and starts empty.
void DevTable::change_tx_queue_len(NetDevice& dev) {
  if (std::ranges::none_of(dev.qdiscs, [](const auto& q) { return q->spec.kind == "pfifo_fast"; }))
    return;
  dev_deactivate(dev);
  for (const auto& q : dev.qdiscs)
    if (q->spec.kind == "pfifo_fast") q->limit = dev.link().txqlen;
  if (dev.is_up()) dev_activate(dev);
}

}  // namespace txp
