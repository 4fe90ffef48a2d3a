// SPDX-License-Identifier: Apache-2.0
// nf_hook: runs the hooks of one point in order of their priority.
//
// Kernel twin: net/netfilter/core.c, nf_hook_slow(), nf_register_net_hook().
// Differs: a ruleset that cannot be evaluated makes the packet unknown instead of passing it.
// Drops: NETFILTER_DROP (EPERM), TXPATH_UNKNOWN.
#include "netfilter/nf_hook.h"

#include <algorithm>

#include "net.h"

namespace txp {
namespace {

constexpr Stage stage_of(NfHook hook) {
  return hook == NfHook::local_out ? Stage::nf_local_out : Stage::nf_post_routing;
}

void trace_hook(Trace* trace, Stage stage, const NfHookOps& ops) {
  if (trace != nullptr) trace->by(stage, ops.object);
}

}  // namespace

NfHooks::~NfHooks() {
  for (RcuPtr<const std::vector<NfHookOps>>& list : lists_) delete list.set(nullptr);
}

const std::vector<NfHookOps>* NfHooks::at(NfHook hook) const {
  return lists_[static_cast<std::size_t>(hook)].get();
}

void NfHooks::add(NfHookOps ops) {
  std::vector<NfHookOps> all = all_;
  all.push_back(std::move(ops));
  publish(std::move(all));
}

void NfHooks::set_ruleset(std::vector<NfHookOps> chains) {
  std::vector<NfHookOps> all;
  for (NfHookOps& ops : all_)
    if (!ops.of_ruleset) all.push_back(std::move(ops));
  for (NfHookOps& ops : chains) {
    ops.of_ruleset = true;
    all.push_back(std::move(ops));
  }
  publish(std::move(all));
}

void NfHooks::publish(std::vector<NfHookOps> all) {
  all_ = std::move(all);
  for (std::size_t hook = 0; hook < kNfHookCount; ++hook) {
    auto list = std::make_unique<std::vector<NfHookOps>>();
    for (const NfHookOps& ops : all_)
      if (static_cast<std::size_t>(ops.hook) == hook) list->push_back(ops);
    std::ranges::stable_sort(*list, {}, &NfHookOps::priority);
    net_.retired.retire(lists_[hook].set(list->empty() ? nullptr : list.release()));
  }
}

SkbPtr nf_hook(Net& net, NfHook hook, SkbPtr skb, TxResult& result) {
  const Stage stage = stage_of(hook);
  enter(net, stage, *skb);
  result = TxResult::success();
  const std::vector<NfHookOps>* hooks = net.nf->at(hook);
  if (hooks == nullptr) return skb;
  for (const NfHookOps& ops : *hooks) {
    const NfVerdict verdict = ops.function ? ops.function(net, *skb) : NfVerdict::unknown;
    switch (verdict) {
      case NfVerdict::accept:
        trace_hook(skb->trace, stage, ops);
        if (skb->trace != nullptr) skb->trace->result(stage, "accept");
        break;
      case NfVerdict::drop:
        trace_hook(skb->trace, stage, ops);
        drop(net, stage, std::move(skb), DropReason::NETFILTER_DROP);
        result = TxResult::error(EPERM);
        return nullptr;
      case NfVerdict::unknown:
        tell_unknown(net, stage, skb->trace, ops.object);
        drop(net, stage, std::move(skb), DropReason::TXPATH_UNKNOWN);
        result = TxResult::error(kUnknown);
        return nullptr;
    }
  }
  return skb;
}

}  // namespace txp
