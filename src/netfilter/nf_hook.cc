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
#include "netfilter/nf_nat.h"
#include "netfilter/nft_payload.h"
#include "netfilter/nft_program.h"
#include "netfilter/nft_would_pass.h"
#include "plan/plan_recorder.h"
#include "route/ip6_route.h"
#include "route/ip_route.h"
#include "wire/ethernet.h"

namespace txp {
namespace {

constexpr Stage stage_of(NfHook hook) {
  return hook == NfHook::local_out ? Stage::nf_local_out : Stage::nf_post_routing;
}

bool is_own(Net& net, const NfTuple& reply) {
  return reply.ipv6 ? ipv6_chk_addr(net, reply.src, nullptr)
                    : inet_addr_type(net, reply.src.v4()) == RouteType::local;
}

// nf_nat_inet_fn(), nf_nat_ipv4_local_fn() and nf_nat_ipv6_local_fn(): the first packet of a
// connection asks the nat chains, every packet is rewritten as they said.
NftResult run_nat(NftPkt& pkt, const std::vector<const NftBaseChain*>& chains) {
  const NfManip manip = pkt.hooknum == NF_INET_LOCAL_OUT ? NfManip::dst : NfManip::src;
  Skb& skb = pkt.skb;
  const CtMode mode = pkt.net.nf->conntrack.mode.load();
  if (mode == CtMode::unknown) {
    // The chains may still have nothing to say of this packet.
    for (const NftBaseChain* c : chains)
      if (const NftResult r = nft_do_chain(pkt, *c); r.code != NftCode::accept) return r;
    return {};
  }
  if (skb.nfct == nullptr) return {};
  nft_set_pktinfo(pkt);
  const bool error = skb.ctinfo == CtInfo::related || skb.ctinfo == CtInfo::related_reply;
  // Of an established connection the rules are asked as its first packet would have asked them.
  const bool asks = skb.ctinfo == CtInfo::new_ || mode == CtMode::established;
  if (!error && asks && !nf_nat_initialized(skb, manip)) {
    for (const NftBaseChain* c : chains) {
      if (const NftResult r = nft_do_chain(pkt, *c); r.code != NftCode::accept) return r;
      if (nf_nat_initialized(skb, manip)) break;
    }
    if (!nf_nat_initialized(skb, manip)) nf_nat_null_binding(pkt, manip);
  }
  // Who has no such port here quotes the packet with the checksum as it is.
  const bool comes_back = !error && manip == NfManip::dst &&
                          (skb.nfct->status.load() & kIpsDstNat) != 0 &&
                          is_own(pkt.net, skb.nfct->reply);
  if (comes_back && pkt.l4proto) nft_leave_checksum(pkt);
  const bool done = error ? nf_nat_icmp_reply_translation(pkt, manip) : nf_nat_packet(pkt, manip);
  if (!done) return {NftCode::drop};
  if (manip == NfManip::src) return {};
  const bool reply = skb.ctinfo == CtInfo::established_reply || skb.ctinfo == CtInfo::related_reply;
  const NfTuple& mine = reply ? skb.nfct->reply : skb.nfct->original;
  const NfTuple& other = reply ? skb.nfct->original : skb.nfct->reply;
  if (mine.dst == other.src) return {};
  const int failed = pkt.pf == NFPROTO_IPV6 ? ip6_route_me_harder(pkt) : ip_route_me_harder(pkt);
  if (failed != 0) return {failed == kUnknown ? NftCode::unknown : NftCode::drop, failed};
  return {};
}

NftResult run_builtin(NftPkt& pkt, const NfHookOps& ops) {
  NfConntrack& conntrack = pkt.net.nf->conntrack;
  if (ops.builtin == NfBuiltin::nat) return run_nat(pkt, ops.nat_chains);
  if (conntrack.mode.load() == CtMode::unknown) return {};
  if (ops.builtin == NfBuiltin::conntrack)
    conntrack.in(pkt.net, pkt.skb);
  else if (!conntrack.confirm(pkt.net, pkt.skb))
    return {NftCode::drop};
  return {};
}

// What one hook says. Of a drop, `error` is the errno.
NfVerdict run_hook(Net& net, NfHook hook, Skb& skb, const NetDevice* out, const NfHookOps& ops,
                   int& error) {
  error = EPERM;
  if (ops.chain == nullptr && ops.builtin == NfBuiltin::none) {
    const NfVerdict v = ops.function ? ops.function(net, skb) : NfVerdict::unknown;
    if (v == NfVerdict::unknown)
      tell_unknown(net, stage_of(hook), skb.trace, ops.object);
    else if (telling(skb.trace) != nullptr)
      skb.trace->by(stage_of(hook), ops.object);
    return v;
  }
  NftPkt pkt{net, skb};
  pkt.pf = skb.protocol == kEthPIpv6 ? NFPROTO_IPV6 : NFPROTO_IPV4;
  pkt.hooknum = hook == NfHook::local_out ? NF_INET_LOCAL_OUT : NF_INET_POST_ROUTING;
  pkt.out = out;
  SkbPtr before = skb.trace != nullptr && ops.chain != nullptr ? skb_copy(net, skb) : nullptr;
  const NftResult result =
      ops.builtin != NfBuiltin::none ? run_builtin(pkt, ops) : nft_do_base_chain(pkt, *ops.chain);
  if (result.error != 0) error = result.error;
  if (before) {
    if (result.code == NftCode::drop && result.error == 0)
      for (std::string& words : nft_would_pass(net, pkt, *before, *ops.chain))
        skb.trace->by(stage_of(hook),
                      NamedObject{.kind = std::string(kWouldPass), .text = std::move(words)});
    free_skb(std::move(before));
  }
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
  for (std::size_t hook = 0; hook < 2 * kNfHookCount; ++hook) {
    const bool ipv6 = hook >= kNfHookCount;
    auto list = std::make_unique<std::vector<NfHookOps>>();
    // Of equal priority the younger comes first (nf_hook_entries_grow()).
    for (const NfHookOps& ops : all_ | std::views::reverse)
      if (static_cast<std::size_t>(ops.hook) == hook % kNfHookCount && (ipv6 ? ops.ipv6 : ops.ipv4))
        list->push_back(ops);
    std::ranges::stable_sort(*list, {}, &NfHookOps::priority);
    net_.retired.retire(lists_[hook].set(list->empty() ? nullptr : list.release()));
  }
  net_.generations.changed(Basis::netfilter);
}

bool nf_hook_slow(Net& net, NfHook hook, const std::vector<NfHookOps>& hooks, SkbPtr& skb,
                  TxResult& result) {
  const Stage stage = stage_of(hook);
  // A chain that finds a new route does not change what the next chains see (nf_hook_state).
  const NetDevice* out = skb->rt.dev;
  PlanRecorder* const recorder = net.this_cpu().recorder;
  for (const NfHookOps& ops : hooks) {
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
        return false;
      case NfVerdict::unknown:
        drop(net, stage, std::move(skb), DropReason::TXPATH_UNKNOWN);
        result = TxResult::error(kUnknown);
        return false;
    }
  }
  return true;
}

bool nf_hook(Net& net, NfHook hook, SkbPtr& skb, TxResult& result) {
  enter(net, stage_of(hook), *skb);
  const std::vector<NfHookOps>* hooks = net.nf->at(hook, skb->protocol == kEthPIpv6);
  return hooks == nullptr || nf_hook_slow(net, hook, *hooks, skb, result);
}

}  // namespace txp
