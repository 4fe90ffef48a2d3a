// SPDX-License-Identifier: Apache-2.0
// Reads a filter's list of actions and runs it.
// Kernel twin: net/sched/act_api.c (tcf_action_exec()).
#include <linux/pkt_cls.h>
#include <linux/rtnetlink.h>

#include <algorithm>

#include <fmt/format.h>

#include "mirror/attrs.h"
#include "sched/act.h"
#include "skb/skb.h"

namespace txp {

namespace {

struct ActionKind {
  std::string_view kind;
  std::unique_ptr<TcAction> (*make)(std::span<const std::uint8_t> options);  // null: bad options
};
constexpr ActionKind kActionKinds[] = {
    {"gact", make_gact},        //
    {"police", make_police},    //
    {"mirred", make_mirred},    //
    {"skbedit", make_skbedit},  //
    {"pedit", make_pedit},      //
    {"vlan", make_vlan},        //
};

class UnknownAction final : public TcAction {
 public:
  explicit UnknownAction(std::string text) : text_(std::move(text)) {}
  TcAct act(Net&, Skb&, TcfResult& res) final {
    res.what = text_;
    return TcAct::unknown;
  }

 private:
  const std::string text_;
};

}  // namespace

std::optional<TcVerdict> tc_verdict(std::int32_t action) {
  constexpr std::int32_t kExtShift = 28;
  constexpr std::uint32_t kExtMask = (1U << kExtShift) - 1;
  const auto bits = static_cast<std::uint32_t>(action);
  if (action == TC_ACT_UNSPEC) return TcVerdict{TcAct::unspec, 0};
  if ((bits >> kExtShift) == 1) return TcVerdict{TcAct::jump, bits & kExtMask};
  if ((bits >> kExtShift) == 2) return TcVerdict{TcAct::goto_chain, bits & kExtMask};
  if (action < 0 || action > TC_ACT_TRAP) return std::nullopt;
  return TcVerdict{static_cast<TcAct>(action), 0};
}

void TcfExts::add(std::span<const std::uint8_t> actions) {
  constexpr unsigned kMaxActions = TCA_ACT_MAX_PRIO;
  Attrs<kMaxActions> list(actions, "actions");
  for (unsigned i = 1; i <= kMaxActions; ++i) {
    const auto one = list.raw(i);
    if (!one) continue;
    Attrs<TCA_ACT_MAX> a(*one, "action");
    const std::string kind = a.text(TCA_ACT_KIND, 15).value_or("");
    const auto options = a.raw(TCA_ACT_OPTIONS);
    const auto* known = std::ranges::find(kActionKinds, kind, &ActionKind::kind);
    std::unique_ptr<TcAction> action;
    if (known != std::end(kActionKinds) && options) action = known->make(*options);
    if (!action) action = std::make_unique<UnknownAction>(fmt::format("action {}", kind));
    actions_.push_back(std::move(action));
  }
  if (!list.error().empty()) actions_.push_back(std::make_unique<UnknownAction>(list.error()));
}

void TcfExts::add_police(std::span<const std::uint8_t> police) {
  std::unique_ptr<TcAction> action = make_police(police);
  if (!action) action = std::make_unique<UnknownAction>("action police");
  actions_.push_back(std::move(action));
}

TcAct TcfExts::exec(Net& net, Skb& skb, TcfResult& res) const {
  std::uint32_t skip = 0;
  int jumps = TCA_ACT_MAX_PRIO;
  TcAct ret = TcAct::ok;
restart:
  for (const auto& a : actions_) {
    if (skip > 0) {
      --skip;
      continue;
    }
    int repeats = 32;
    do {
      ret = a->act(net, skb, res);
      if (ret == TcAct::repeat && --repeats == 0) return TcAct::ok;
    } while (ret == TcAct::repeat);
    if (ret == TcAct::jump) {
      // The kernel begins again from the first action and counts the skipped ones from there.
      skip = res.ext;
      if (skip == 0 || skip > actions_.size() || --jumps <= 0) return TcAct::ok;
      goto restart;
    }
    if (ret != TcAct::pipe) break;
  }
  return ret;
}

}  // namespace txp
