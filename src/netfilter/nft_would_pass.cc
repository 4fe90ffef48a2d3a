// SPDX-License-Identifier: Apache-2.0
// For a packet that the rules dropped: the smallest changes after which it would pass. Every rule
// that was looked at is taken away, and every comparison turned, one at a time, in a dry run.
#include "netfilter/nft_would_pass.h"

#include <fmt/format.h>
#include <linux/netfilter.h>

#include "netfilter/nft_program.h"

namespace txp {
namespace {

constexpr std::size_t kMostTrials = 4096;
constexpr std::size_t kMostAnswers = 4;

// A dry run over a copy of the packet as it came.
class DryRun {
 public:
  DryRun(Net& net, const NftPkt& about, const Skb& before)
      : net_(net), about_(about), before_(before) {}

  bool passes(const NftBaseChain& chain, const NftTweak* tweak, std::vector<NftVisit>* visits) {
    SkbPtr skb = skb_copy(net_, before_);
    if (!skb) return false;
    skb->trace = nullptr;
    skb->sk = about_.skb.sk;  // not charged: taken off again below
    NftPkt pkt{net_, *skb};
    pkt.pf = about_.pf;
    pkt.hooknum = about_.hooknum;
    pkt.in = about_.in;
    pkt.out = about_.out;
    pkt.dry = true;
    pkt.tweak = tweak;
    pkt.visits = visits;
    const bool accepted = nft_do_chain(pkt, chain).code == NftCode::accept;
    skb->sk = nullptr;
    free_skb(std::move(skb));
    return accepted;
  }

 private:
  Net& net_;
  const NftPkt& about_;
  const Skb& before_;
};

std::string place_of(const NftRuleCode& rule) {
  const NamedObject& o = rule.info->object;
  return fmt::format("{} {} {} handle {} ({})", o.family, o.table, o.chain, o.handle, o.text);
}

// The words of a comparison, and of what loaded its register: from the traced run's story.
std::string words_of(const NftRuleCode& rule, const NfExpr& expr) {
  const NftRegs none;
  const NfExpr* before = nullptr;
  for (const NfExpr* e = rule.first; e != nullptr && e != &expr; e = e->next) before = e;
  std::string loader = before != nullptr ? before->words(none) : "";
  if (const auto colon = loader.find(": "); colon != std::string::npos) loader.resize(colon);
  std::string compared = expr.words(none);
  // The values are those of empty registers: only what is compared with is told.
  if (const auto with = compared.find(" with "); with != std::string::npos)
    compared = compared.substr(with + 1);
  return loader.empty() ? compared : loader + " " + compared;
}

}  // namespace

std::vector<std::string> nft_would_pass(Net& net, const NftPkt& dropped, const Skb& before,
                                        const NftBaseChain& chain) {
  DryRun run(net, dropped, before);
  std::vector<NftVisit> visits;
  std::vector<std::string> answers;
  if (run.passes(chain, nullptr, &visits)) return answers;  // state decided, and has moved on
  std::size_t trials = 0;
  const auto tries = [&](const NftTweak& t) {
    return answers.size() < kMostAnswers && ++trials <= kMostTrials &&
           run.passes(chain, &t, nullptr);
  };
  // The newest first: it is the one that dropped.
  for (auto v = visits.rbegin(); v != visits.rend(); ++v) {
    const NftRuleCode& rule = *v->rule;
    if (v->ended == nullptr) {
      const NamedObject& o = rule.info->object;
      if (tries({&rule, nullptr, false}))
        answers.push_back(fmt::format("nft delete rule {} {} {} handle {}", o.family, o.table,
                                      o.chain, o.handle));
      for (const NfExpr* e = rule.first; e != nullptr; e = e->next)
        if (e->compares && tries({&rule, e, false}))
          answers.push_back(
              fmt::format("if {} did not match: {}", place_of(rule), words_of(rule, *e)));
    } else if (v->ended->compares && tries({&rule, v->ended, true})) {
      answers.push_back(
          fmt::format("if {} matched: {}", place_of(rule), words_of(rule, *v->ended)));
    }
  }
  if (answers.empty() && chain.spec.policy == NF_DROP)
    answers.push_back(fmt::format("nft chain {} {} {} {{ policy accept ; }}", chain.object.family,
                                  chain.object.table, chain.object.chain));
  return answers;
}

}  // namespace txp
