// SPDX-License-Identifier: Apache-2.0
// mirred: the packet, or a copy of it, leaves through another device.
// Kernel twin: net/sched/act_mirred.c.
//
// Left out: the way in (ingress redirect and mirror) and blocks of devices, both unknown.
// Drops: a redirect to a device that is not there or down (the filter's verdict is then drop).
#include <linux/tc_act/tc_mirred.h>

#include "dev/netdevice.h"
#include "mirror/attrs.h"
#include "net.h"
#include "sched/act.h"

namespace txp {

namespace {

constexpr int kMirredNestLimit = 4;  // MIRRED_NEST_LIMIT
constinit thread_local int mirred_nest = 0;

class Mirred final : public TcAction {
 public:
  Mirred(TcVerdict v, int ifindex, bool redirect)
      : verdict_(v), ifindex_(ifindex), redirect_(redirect) {}

  TcAct act(Net& net, Skb& skb, TcfResult& res) final {
    NetDevice* to = net.dev->by_index(ifindex_);
    const bool sent =
        to != nullptr && to->is_up() && mirred_nest < kMirredNestLimit && send_copy(net, skb, *to);
    return redirect_ && !sent ? TcAct::shot : verdict_.give(res);
  }

 private:
  static bool send_copy(Net& net, const Skb& skb, NetDevice& to) {
    SkbPtr copy = skb_copy(net, skb);
    if (!copy) return false;
    copy->dev = &to;
    born(net);
    ++mirred_nest;
    const TxResult rc = dev_queue_xmit(net, std::move(copy));
    --mirred_nest;
    return rc.ok();
  }

  const TcVerdict verdict_;
  const int ifindex_;
  const bool redirect_;
};

}  // namespace

std::unique_ptr<TcAction> make_mirred(std::span<const std::uint8_t> options) {
  Attrs<TCA_MIRRED_MAX> a(options, "mirred");
  tc_mirred p{};
  const auto raw = a.raw(TCA_MIRRED_PARMS);
  if (!raw || take_header(*raw, p) == nullptr || p.ifindex == 0) return nullptr;
  if (p.eaction != TCA_EGRESS_REDIR && p.eaction != TCA_EGRESS_MIRROR) return nullptr;
  const auto verdict = tc_verdict(p.action);
  if (!verdict) return nullptr;
  return std::make_unique<Mirred>(*verdict, static_cast<int>(p.ifindex),
                                  p.eaction == TCA_EGRESS_REDIR);
}

}  // namespace txp
