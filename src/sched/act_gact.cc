// SPDX-License-Identifier: Apache-2.0
// gact: a plain verdict (ok, drop, pass on, continue, goto chain).
// Kernel twin: net/sched/act_gact.c.
//
// Left out: a verdict drawn at random or every n-th time (`random`), which makes it unknown.
#include <linux/tc_act/tc_gact.h>

#include "mirror/attrs.h"
#include "sched/act.h"

namespace txp {

namespace {

class Gact final : public TcAction {
 public:
  explicit Gact(TcVerdict v) : verdict_(v) {}
  TcAct act(Net&, Skb&, TcfResult& res) final { return verdict_.give(res); }

 private:
  const TcVerdict verdict_;
};

}  // namespace

std::unique_ptr<TcAction> make_gact(std::span<const std::uint8_t> options) {
  Attrs<TCA_GACT_MAX> a(options, "gact");
  tc_gact parm{};
  const auto parms = a.raw(TCA_GACT_PARMS);
  if (!parms || take_header(*parms, parm) == nullptr) return nullptr;
  if (const auto prob = a.raw(TCA_GACT_PROB)) {
    tc_gact_p p{};
    if (take_header(*prob, p) == nullptr || p.ptype != PGACT_NONE) return nullptr;
  }
  const auto verdict = tc_verdict(parm.action);
  if (!verdict) return nullptr;
  return std::make_unique<Gact>(*verdict);
}

}  // namespace txp
