// SPDX-License-Identifier: Apache-2.0
// skbedit: priority, mark and queue of the packet. Kernel twin: net/sched/act_skbedit.c.
//
// Left out: a queue by the packet's hash (txqhash) and the priority of the DS field
// (inheritdsfield), which make it unknown; the packet's type means nothing on the way out.
#include <linux/tc_act/tc_skbedit.h>

#include <optional>

#include "mirror/attrs.h"
#include "sched/act.h"
#include "skb/skb.h"

namespace txp {

namespace {

class Skbedit final : public TcAction {
 public:
  TcVerdict verdict;
  std::optional<std::uint32_t> priority, mark;
  std::uint32_t mask = 0xffffffff;

  TcAct act(Net&, Skb& skb, TcfResult& res) final {
    if (priority) skb.priority = *priority;
    if (mark) skb.mark = (skb.mark & ~mask) | (*mark & mask);
    return verdict.give(res);
  }
};

}  // namespace

std::unique_ptr<TcAction> make_skbedit(std::span<const std::uint8_t> options) {
  Attrs<TCA_SKBEDIT_MAX> a(options, "skbedit");
  tc_skbedit p{};
  const auto raw = a.raw(TCA_SKBEDIT_PARMS);
  if (!raw || take_header(*raw, p) == nullptr) return nullptr;
  const auto verdict = tc_verdict(p.action);
  if (!verdict || a.u64(TCA_SKBEDIT_FLAGS).value_or(0) != 0 || a.has(TCA_SKBEDIT_QUEUE_MAPPING))
    return nullptr;
  auto edit = std::make_unique<Skbedit>();
  edit->verdict = *verdict;
  edit->priority = a.u32(TCA_SKBEDIT_PRIORITY);
  edit->mark = a.u32(TCA_SKBEDIT_MARK);
  edit->mask = a.u32(TCA_SKBEDIT_MASK).value_or(0xffffffff);
  if (!a.error().empty()) return nullptr;
  return edit;
}

}  // namespace txp
