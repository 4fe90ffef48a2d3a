// SPDX-License-Identifier: Apache-2.0
// nft_do_chain: a packet through a base chain's rules, its jumps and its policy.
//
// Kernel twin: net/netfilter/nf_tables_core.c, nft_do_chain(); include/net/netfilter/
// nf_tables_ipv4.h, nft_set_pktinfo_ipv4().
// Differs: an expression that cannot be run ends the packet's way as unknown, named by its rule;
// so does queue, whose verdict is a program's. Chains that loop are unknown (no kernel has them).
// Drops: nothing itself; nf_hook() does, with NETFILTER_DROP.
#include <fmt/format.h>
#include <linux/netfilter.h>

#include "net.h"
#include "netfilter/nft_bitwise.h"
#include "netfilter/nft_cmp.h"
#include "netfilter/nft_counter.h"
#include "netfilter/nft_immediate.h"
#include "netfilter/nft_payload.h"
#include "netfilter/nft_program.h"
#include "wire/ethernet.h"
#include "wire/ipv4.h"
#include "wire/ipv6.h"

namespace txp {
namespace {

constexpr unsigned kJumpStack = 16;        // NFT_JUMP_STACK_SIZE
constexpr unsigned kMostJumps = 1U << 16;  // of one packet; a kernel's chains cannot need as many

// nft_set_pktinfo_ipv6(): ipv6_find_hdr() to the last header.
void set_pktinfo_ipv6(NftPkt& pkt) {
  const Skb& skb = pkt.skb;
  const auto ip = Ipv6Header::parse({skb.network(), skb.tail});
  if (!ip) return;
  std::uint8_t next = ip->nexthdr;
  std::uint32_t at = pkt.network_offset() + static_cast<std::uint32_t>(kIpv6Hlen);
  for (int headers = 0; headers < 16; ++headers) {
    std::array<std::uint8_t, 8> h{};
    const bool options = next == kNexthdrHop || next == kNexthdrRouting || next == kNexthdrDest;
    if (!options && next != kNexthdrFragment) break;
    if (!skb_copy_bits(skb, at, h)) return;
    if (next == kNexthdrFragment) {
      pkt.fragoff = load_be16(&h[2]) & 0xfff8;
      at += static_cast<std::uint32_t>(kFragHdrLen);
      next = h[0];
      if (pkt.fragoff != 0) break;
      continue;
    }
    at += (h[1] + 1U) * 8U;
    next = h[0];
  }
  pkt.l4proto = true;
  pkt.tprot = next;
  pkt.thoff = at;
}

void eval_expr(const NfExpr& e, NftRegs& regs, NftPkt& pkt) {
  switch (e.fast) {
    case NftFast::cmp32: return static_cast<const NftCmp&>(e).eval32(regs);
    case NftFast::payload:
      if (static_cast<const NftPayload&>(e).eval_fast(regs, pkt)) return;
      break;
    case NftFast::bitwise32: return static_cast<const NftBitwise&>(e).eval32(regs);
    case NftFast::verdict: return static_cast<const NftImmediateVerdict&>(e).eval_verdict(regs);
    case NftFast::counter: return static_cast<const NftCounterExpr&>(e).count(pkt);
    case NftFast::none: break;
  }
  if (e.ipv4_only && pkt.skb.protocol == kEthPIpv6) [[unlikely]]
    return regs.unknown();
  e.eval(regs, pkt);
}

// The words of a rule's expressions with what they met, up to the one that ended it.
void tell_rule(Trace& trace, Stage stage, const NftRuleCode& rule, bool matched,
               std::vector<std::string> words) {
  NamedObject object = rule.info->object;
  object.detail = std::move(words);
  if (matched)
    trace.by(stage, std::move(object));
  else
    trace.also(stage, std::move(object));
}

class Evaluation {
 public:
  Evaluation(NftPkt& pkt, const NftBaseChain& base, Trace* trace, Stage stage)
      : pkt_(pkt), base_(base), trace_(trace), stage_(stage) {}

  NftResult run() {
    const NftChainCode* chain = base_.code;
    const NftRuleCode* rule = nullptr;
    std::array<const NftRuleCode*, kJumpStack> stack{};
    unsigned depth = 0;
    unsigned jumps = 0;
    for (;;) {
      if (chain != nullptr) {
        if (chain->loops || ++jumps > kMostJumps) return unknown_chain(*chain);
        rule = chain->first;
        chain = nullptr;
      }
      regs_.verdict.code = NftCode::go_on;
      for (; rule != nullptr; rule = rule->next) {
        if (trace_ != nullptr) [[unlikely]]
          run_rule_told(*rule);
        else if (pkt_.dry) [[unlikely]]
          run_rule_tweaked(*rule);
        else
          run_rule(*rule);
        if (regs_.verdict.code == NftCode::no_match) regs_.verdict.code = NftCode::go_on;
        if (regs_.verdict.code != NftCode::go_on) break;
      }
      switch (regs_.verdict.code) {
        case NftCode::accept: return {NftCode::accept};
        case NftCode::drop: return {NftCode::drop};
        case NftCode::stolen:
        case NftCode::queue:
        case NftCode::unknown: return unknown_rule(*rule);
        case NftCode::jump:
          if (depth >= kJumpStack) return unknown_rule(*rule);
          stack[depth++] = rule->next;
          chain = regs_.verdict.chain;
          continue;
        case NftCode::goto_: chain = regs_.verdict.chain; continue;
        case NftCode::go_on:
        case NftCode::no_match:
        case NftCode::return_: break;
      }
      if (depth == 0) break;
      rule = stack[--depth];
    }
    // No rule decided.
    if (trace_ != nullptr) trace_->by(stage_, base_.object);
    return {base_.spec.policy == NF_DROP ? NftCode::drop : NftCode::accept};
  }

 private:
  void run_rule(const NftRuleCode& rule) {
    for (const NfExpr* e = rule.first; e != nullptr; e = e->next) {
      eval_expr(*e, regs_, pkt_);
      if (regs_.verdict.code != NftCode::go_on) return;
    }
  }

  void run_rule_tweaked(const NftRuleCode& rule) {
    const NftTweak* t = pkt_.tweak != nullptr && pkt_.tweak->rule == &rule ? pkt_.tweak : nullptr;
    if (t != nullptr && t->expr == nullptr) return regs_.no_match();
    const NfExpr* ended = nullptr;
    for (const NfExpr* e = rule.first; e != nullptr && ended == nullptr; e = e->next) {
      if (t != nullptr && t->expr == e) {
        if (!t->match) regs_.no_match();
      } else {
        eval_expr(*e, regs_, pkt_);
      }
      if (regs_.verdict.code == NftCode::no_match) ended = e;
      if (regs_.verdict.code != NftCode::go_on) break;
    }
    if (pkt_.visits != nullptr) pkt_.visits->push_back({&rule, ended});
  }

  void run_rule_told(const NftRuleCode& rule) {
    std::vector<std::string> words;
    for (const NfExpr* e = rule.first; e != nullptr; e = e->next) {
      eval_expr(*e, regs_, pkt_);
      words.push_back(e->words(regs_));
      if (regs_.verdict.code != NftCode::go_on) break;
    }
    if (regs_.verdict.code == NftCode::unknown) return;  // unknown_rule() tells it
    const bool matched = regs_.verdict.code != NftCode::no_match;
    if (!matched && !words.empty()) words.back() += " = no match";
    tell_rule(*trace_, stage_, rule, matched, std::move(words));
  }

  NftResult unknown_rule(const NftRuleCode& rule) {
    NamedObject object = rule.info->object;
    std::string why;
    if (regs_.verdict.code == NftCode::queue) why = "a program decides";
    for (const NfExpr* e = rule.first; e != nullptr && why.empty(); e = e->next) {
      NftRegs again = regs_;
      again.verdict = {};
      std::string note;
      NftPkt pkt = pkt_;
      pkt.dry = true;
      pkt.note = &note;
      eval_expr(*e, again, pkt);
      if (again.verdict.code == NftCode::unknown) why = note.empty() ? e->words(again) : note;
    }
    if (!why.empty()) object.text += fmt::format(" ({})", why);
    if (!pkt_.dry) tell_unknown(pkt_.net, stage_, trace_, std::move(object));
    return {NftCode::unknown};
  }

  NftResult unknown_chain(const NftChainCode& chain) {
    NamedObject object = base_.object;
    object.text += fmt::format(" (the chain {} leads back to itself)", chain.name);
    if (!pkt_.dry) tell_unknown(pkt_.net, stage_, trace_, std::move(object));
    return {NftCode::unknown};
  }

  NftPkt& pkt_;
  const NftBaseChain& base_;
  Trace* trace_;
  Stage stage_;
  NftRegs regs_;
};

Stage stage_of(const NftPkt& pkt) {
  if (pkt.pf == NFPROTO_NETDEV) return Stage::dev_queue_xmit;
  return pkt.hooknum == NF_INET_LOCAL_OUT ? Stage::nf_local_out : Stage::nf_post_routing;
}

}  // namespace

void nft_set_pktinfo(NftPkt& pkt) {
  const Skb& skb = pkt.skb;
  if (skb.protocol == kEthPIpv6) return set_pktinfo_ipv6(pkt);
  if (pkt.pf == NFPROTO_NETDEV && skb.protocol != kEthPIp) return;
  const auto ip = Ipv4Header::parse({skb.network(), skb.tail});
  if (!ip) return;
  const std::uint32_t offset = pkt.network_offset();
  if (pkt.pf == NFPROTO_NETDEV && (skb.len - offset < ip->tot_len || ip->tot_len < ip->hlen()))
    return;
  pkt.l4proto = true;
  pkt.tprot = ip->protocol;
  pkt.thoff = offset + static_cast<std::uint32_t>(ip->hlen());
  pkt.fragoff = ip->frag_off & kIpOffset;
}

NftResult nft_do_chain(NftPkt& pkt, const NftBaseChain& chain) {
  nft_set_pktinfo(pkt);
  return Evaluation(pkt, chain, pkt.dry ? nullptr : telling(pkt.skb.trace), stage_of(pkt)).run();
}

}  // namespace txp
