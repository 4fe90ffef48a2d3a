// SPDX-License-Identifier: Apache-2.0
// Asks filters in the order of their priority, chain by chain.
// Kernel twin: net/sched/cls_api.c (tcf_classify()).
//
// Differs: no hardware offload, no shared blocks, no packet extension that carries a chain on.
#include <algorithm>
#include <cstring>
#include <utility>

#include "sched/cls.h"
#include "skb/skb.h"
#include "wire/ethernet.h"

namespace txp {

namespace {

constexpr std::uint16_t kEthPAll = 3;
constexpr int kMaxReclassifyLoop = 16;

struct FilterKind {
  std::string_view kind;
  std::unique_ptr<TcfProto> (*make)(FilterSpecs specs);
};
constexpr FilterKind kFilterKinds[] = {
    {"u32", make_u32},            //
    {"fw", make_fw},              //
    {"matchall", make_matchall},  //
    {"basic", make_basic},        //
    {"flower", make_flower},      //
};

class UnknownFilter final : public TcfProto {
 public:
  explicit UnknownFilter(const FilterSpec& spec) : spec_(spec) {}
  TcAct classify(Net&, Skb&, TcfResult& res) const final {
    res.what = spec_.text;
    return TcAct::unknown;
  }

 private:
  const FilterSpec& spec_;
};

std::unique_ptr<TcfProto> make_proto(FilterSpecs specs) {
  const auto* kind = std::ranges::find(kFilterKinds, specs.front().kind, &FilterKind::kind);
  std::unique_ptr<TcfProto> proto;
  if (kind != std::end(kFilterKinds)) proto = kind->make(specs);
  if (!proto) proto = std::make_unique<UnknownFilter>(specs.front());
  return proto;
}

}  // namespace

TcfChain::TcfChain(std::vector<FilterSpec> filters) {
  std::ranges::stable_sort(filters, {},
                           [](const FilterSpec& f) { return std::pair(f.chain, f.prio); });
  specs_ = std::make_unique<const std::vector<FilterSpec>>(std::move(filters));
  for (auto at = specs_->begin(); at != specs_->end();) {
    const auto end = std::find_if(at, specs_->end(), [&](const FilterSpec& f) {
      return f.chain != at->chain || f.prio != at->prio;
    });
    protos_.push_back({at->chain, at->prio, at->protocol, make_proto({at, end})});
    at = end;
  }
}

TcAct TcfChain::classify(Net& net, Skb& skb, TcfResult& res) const {
  std::uint32_t chain = 0;
  for (int loop = 0; loop <= kMaxReclassifyLoop; ++loop) {
    TcAct act = TcAct::unspec;
    for (const Entry& e : protos_) {
      if (e.chain != chain || (e.protocol != skb.protocol && e.protocol != kEthPAll)) continue;
      act = e.proto->classify(net, skb, res);
      if (act != TcAct::unspec) break;
    }
    if (act == TcAct::goto_chain)
      chain = res.ext;
    else if (act == TcAct::reclassify)
      chain = 0;
    else
      return act;
  }
  return TcAct::shot;
}

bool skb_load(const Skb& skb, std::int64_t offset, std::span<std::uint8_t> to) {
  if (offset < 0 || offset + static_cast<std::int64_t>(to.size()) > std::int64_t{skb.len})
    return false;
  auto skip = static_cast<std::size_t>(offset);
  std::size_t done = 0;
  const auto take = [&](std::span<const std::uint8_t> part) {
    if (skip >= part.size()) {
      skip -= part.size();
      return;
    }
    const std::size_t n = std::min(part.size() - skip, to.size() - done);
    if (n != 0) std::memcpy(to.data() + done, part.data() + skip, n);
    done += n;
    skip = 0;
  };
  take(skb.bytes());
  for (const Skb* part = skb.frag_list; part != nullptr && done < to.size(); part = part->next)
    take(part->bytes());
  return done == to.size();
}

}  // namespace txp
