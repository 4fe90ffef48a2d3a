// SPDX-License-Identifier: Apache-2.0
// nf_hook: runs the hooks of one point in order of their priority.
//
// Kernel twin: net/netfilter/core.c, nf_hook_slow(), nf_register_net_hook().
// Differs: what cannot be evaluated makes the packet unknown instead of passing it.
// Drops: NETFILTER_DROP (EPERM), TXPATH_UNKNOWN.
#include "netfilter/nf_hook.h"

#include <algorithm>
#include <ranges>

#include <linux/netfilter.h>

#include "net.h"
#include "netfilter/nft_program.h"
#include "plan/plan_recorder.h"

namespace txp {
namespace {

constexpr Stage stage_of(NfHook hook) {
  return hook == NfHook::local_out ? Stage::nf_local_out : Stage::nf_post_routing;
}

// What one hook says. Of a drop, `error` is the errno.
NfVerdict run_hook(Net& net, NfHook hook, Skb& skb, const NetDevice* out, const NfHookOps& ops,
                   int& error) {
  error = EPERM;
  if (ops.chain == nullptr) {
    const NfVerdict v = ops.function ? ops.function(net, skb) : NfVerdict::unknown;
    if (v == NfVerdict::unknown)
      tell_unknown(net, stage_of(hook), skb.trace, ops.object);
    else if (telling(skb.trace) != nullptr)
      skb.trace->by(stage_of(hook), ops.object);
    return v;
  }
  NftPkt pkt{net, skb};
  pkt.pf = NFPROTO_IPV4;
  pkt.hooknum = hook == NfHook::local_out ? NF_INET_LOCAL_OUT : NF_INET_POST_ROUTING;
  pkt.out = out;
  const NftResult result = nft_do_base_chain(pkt, *ops.chain);
  if (result.error != 0) error = result.error;
  switch (result.code) {
    case NftCode::accept: return NfVerdict::accept;
    case NftCode::drop: return NfVerdict::drop;
    default: return NfVerdict::unknown;
  }
}

}  // namespace

NfHooks::~NfHooks() {
  for (RcuPtr<const std::vector<NfHookOps>>& list : lists_) delete list.set(nullptr);
}

const std::vector<NfHookOps>* NfHooks::at(NfHook hook) const {
  return lists_[static_cast<std::size_t>(hook)].get();
}

bool NfHooks::flow_only(NfHook hook) const {
  const std::vector<NfHookOps>* hooks = at(hook);
  return hooks == nullptr || std::ranges::all_of(*hooks, [](const NfHookOps& ops) {
           return ops.chain != nullptr && ops.chain->flow_only;
         });
}

void NfHooks::add(NfHookOps ops) {
  std::vector<NfHookOps> all = all_;
  all.push_back(std::move(ops));
  publish(std::move(all));
}

void NfHooks::set_ruleset(std::vector<NfHookOps> chains,
                          std::shared_ptr<const NftProgram> program) {
  program_ = std::move(program);
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
    // Of equal priority the younger comes first (nf_hook_entries_grow()).
    for (const NfHookOps& ops : all_ | std::views::reverse)
      if (static_cast<std::size_t>(ops.hook) == hook) list->push_back(ops);
    std::ranges::stable_sort(*list, {}, &NfHookOps::priority);
    net_.retired.retire(lists_[hook].set(list->empty() ? nullptr : list.release()));
  }
  net_.generations.changed(Basis::netfilter);
}

SkbPtr nf_hook(Net& net, NfHook hook, SkbPtr skb, TxResult& result) {
  const Stage stage = stage_of(hook);
  enter(net, stage, *skb);
  result = TxResult::success();
  const std::vector<NfHookOps>* hooks = net.nf->at(hook);
  if (hooks == nullptr) return skb;
  // A chain that finds a new route does not change what the next chains see (nf_hook_state).
  const NetDevice* out = skb->rt.dev;
  PlanRecorder* const recorder = net.this_cpu().recorder;
  for (const NfHookOps& ops : *hooks) {
    int error = 0;
    if (recorder != nullptr) recorder->hook_begins(ops.chain != nullptr && ops.chain->flow_only);
    const NfVerdict verdict = run_hook(net, hook, *skb, out, ops, error);
    if (recorder != nullptr) recorder->hook_ends();
    switch (verdict) {
      case NfVerdict::accept:
        if (skb->trace != nullptr) skb->trace->result(stage, "accept");
        break;
      case NfVerdict::drop:
        drop(net, stage, std::move(skb), DropReason::NETFILTER_DROP);
        result = TxResult::error(error);
        return nullptr;
      case NfVerdict::unknown:
        drop(net, stage, std::move(skb), DropReason::TXPATH_UNKNOWN);
        result = TxResult::error(kUnknown);
        return nullptr;
    }
  }
  return skb;
}

}  // namespace txp
