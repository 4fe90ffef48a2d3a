// SPDX-License-Identifier: Apache-2.0
#include "sched/registry.h"

#include <algorithm>
#include <cstring>

#include <fmt/format.h>

#include "dev/netdevice.h"

namespace txp {
namespace {

struct QdiscKind {
  std::string_view kind;
  std::shared_ptr<Qdisc> (*make)(const QdiscTree& tree, const Link& link);  // null: bad options
};

constexpr QdiscKind kKinds[] = {
    {"noqueue", make_noqueue},        //
    {"pfifo_fast", make_pfifo_fast},  //
    {"pfifo", make_pfifo},            //
    {"bfifo", make_bfifo},            //
    {"mq", make_mq},                  //
    {"tbf", make_tbf},                //
    {"prio", make_prio},              //
    {"htb", make_htb},                //
    {"codel", make_codel},            //
    {"fq_codel", make_fq_codel},      //
    {"fq", make_fq},                  //
    {"sfq", make_sfq},                //
    {"red", make_red},                //
    {"drr", make_drr},                //
    {"netem", make_netem},            //
    {"etf", make_etf},                //
};

const QdiscKind* find(std::string_view kind) {
  const auto* it = std::ranges::find(kKinds, kind, &QdiscKind::kind);
  return it == std::end(kKinds) ? nullptr : it;
}

}  // namespace

bool qdisc_is_known(std::string_view kind) { return find(kind) != nullptr; }

std::shared_ptr<Qdisc> make_qdisc(const QdiscTree& tree, const Link& link) {
  const QdiscKind* kind = find(tree.spec.kind);
  std::shared_ptr<Qdisc> q = kind != nullptr ? kind->make(tree, link) : nullptr;
  return q != nullptr ? q : make_unknown(tree.spec);
}

bool qdisc_state_is_shared(const NetDevice& dev) {
  bool shared = false;
  for (const auto& q : dev.qdiscs)
    qdisc_walk(*q, [&](const Qdisc& below) { shared |= below.state_is_shared; });
  return shared;
}

std::shared_ptr<Qdisc> make_leaf(const QdiscTree& tree, std::uint32_t classid,
                                 std::string_view default_kind, const Link& link) {
  if (const QdiscTree* child = tree.child(classid)) return make_qdisc(*child, link);
  QdiscSpec spec;
  spec.ifindex = tree.spec.ifindex;
  spec.kind = default_kind;
  spec.parent = classid;
  spec.text = fmt::format("qdisc {} 0: dev {} parent {:x}:{:x}", default_kind, link.name,
                          classid >> 16, classid & 0xffff);
  return make_qdisc(QdiscTree(std::move(spec)), link);
}

std::shared_ptr<Qdisc> make_limited_leaf(const QdiscTree& tree, std::uint32_t classid,
                                         std::uint32_t limit, const Link& link) {
  if (tree.child(classid) != nullptr) return make_leaf(tree, classid, "bfifo", link);
  QdiscTree fifo;
  fifo.spec.ifindex = tree.spec.ifindex;
  fifo.spec.kind = "bfifo";
  fifo.spec.parent = classid;
  fifo.spec.text = fmt::format("qdisc bfifo 0: dev {} parent {:x}:{:x}", link.name, classid >> 16,
                               classid & 0xffff);
  fifo.spec.options.resize(sizeof limit);
  std::memcpy(fifo.spec.options.data(), &limit, sizeof limit);
  return make_qdisc(fifo, link);
}

std::uint32_t psched_mtu(const Link& link) {
  constexpr std::uint32_t kHardHeaderLen = 14;
  return link.mtu + (link.type == 0xfffe ? 0 : kHardHeaderLen);  // ARPHRD_NONE has no header
}

TcfChain make_filters(const QdiscTree& tree, std::uint32_t parent) {
  std::vector<FilterSpec> mine;
  for (const FilterSpec& f : tree.filters)
    if (f.parent == parent) mine.push_back(f);
  return TcfChain(std::move(mine));
}

}  // namespace txp
