// SPDX-License-Identifier: Apache-2.0
#include "sched/registry.h"

#include <algorithm>

namespace txp {
namespace {

struct QdiscKind {
  std::string_view kind;
  std::shared_ptr<Qdisc> (*make)(const QdiscSpec& spec, const Link& link);  // null: bad options
};

constexpr QdiscKind kKinds[] = {
    {"noqueue", make_noqueue},        //
    {"pfifo_fast", make_pfifo_fast},  //
    {"pfifo", make_pfifo},            //
    {"bfifo", make_bfifo},            //
    {"mq", make_mq},                  //
};

const QdiscKind* find(std::string_view kind) {
  const auto* it = std::ranges::find(kKinds, kind, &QdiscKind::kind);
  return it == std::end(kKinds) ? nullptr : it;
}

}  // namespace

bool qdisc_is_known(std::string_view kind) { return find(kind) != nullptr; }

std::shared_ptr<Qdisc> make_qdisc(const QdiscSpec& spec, const Link& link) {
  const QdiscKind* kind = find(spec.kind);
  std::shared_ptr<Qdisc> q = kind != nullptr ? kind->make(spec, link) : nullptr;
  return q != nullptr ? q : make_unknown(spec);
}

}  // namespace txp
