// SPDX-License-Identifier: Apache-2.0
// police: a token bucket that holds nothing back, a packet beyond it has another verdict.
// Kernel twin: net/sched/act_police.c.
//
// Left out: rate estimators (avrate) and limits in packets, which make it unknown.
#include <linux/pkt_cls.h>

#include <algorithm>
#include <limits>

#include "base/spinlock.h"
#include "mirror/attrs.h"
#include "net.h"
#include "sched/act.h"
#include "sched/ratecfg.h"

namespace txp {

namespace {

class Police final : public TcAction {
 public:
  TcVerdict conform, exceed;
  Ratecfg rate, peak;
  std::uint32_t mtu = std::numeric_limits<std::uint32_t>::max();
  Nanos burst = 0;
  Nanos mtu_ptoks = 0;

  void start() {
    tokens_ = burst;
    ptokens_ = mtu_ptoks;
  }

  TcAct act(Net& net, Skb& skb, TcfResult& res) final {
    // Of a superframe each segment must fit.
    const std::uint32_t longest =
        skb.is_gso() ? skb.transport_header - skb.mac_header + 8U + skb.gso_size : skb.pkt_len;
    if (longest <= mtu) {
      if (rate.rate_bytes_ps == 0 || pay(net.clock.now(), skb.pkt_len)) return conform.give(res);
    }
    return exceed.give(res);
  }

 private:
  bool pay(Nanos now, std::uint32_t len) {
    const std::lock_guard guard(lock_);
    const Nanos since = std::min(now - t_c_, burst);
    Nanos ptoks = 0;
    if (peak.rate_bytes_ps != 0) ptoks = std::min(since + ptokens_, mtu_ptoks) - peak.l2t_ns(len);
    const Nanos toks = std::min(since + tokens_, burst) - rate.l2t_ns(len);
    if (toks < 0 || ptoks < 0) return false;
    t_c_ = now;
    tokens_ = toks;
    ptokens_ = ptoks;
    return true;
  }

  Spinlock lock_;
  Nanos t_c_ = 0;
  Nanos tokens_ = 0;
  Nanos ptokens_ = 0;
};

}  // namespace

std::unique_ptr<TcAction> make_police(std::span<const std::uint8_t> options) {
  constexpr unsigned kRate64 = 8, kPeakrate64 = 9, kPktRate64 = 10, kMax = 11;
  Attrs<kMax> a(options, "police");
  tc_police p{};
  const auto raw = a.raw(TCA_POLICE_TBF);
  if (!raw || take_header(*raw, p) == nullptr) return nullptr;
  if (a.has(TCA_POLICE_AVRATE) || a.u64(kPktRate64).value_or(0) != 0) return nullptr;
  auto police = std::make_unique<Police>();
  const auto exceed = tc_verdict(p.action);
  const auto result = a.u32(TCA_POLICE_RESULT).value_or(TC_ACT_OK);
  const auto conform = tc_verdict(static_cast<std::int32_t>(result));
  if (!exceed || !conform) return nullptr;
  police->exceed = *exceed;
  police->conform = *conform;
  police->burst = psched_ticks2ns(p.burst);
  if (p.rate.rate != 0) {
    police->rate = Ratecfg(p.rate, a.u64(kRate64).value_or(0));
    police->mtu = 255U << std::min<unsigned>(p.rate.cell_log, 23);
  }
  if (p.mtu != 0) police->mtu = p.mtu;
  if (p.peakrate.rate != 0) {
    police->peak = Ratecfg(p.peakrate, a.u64(kPeakrate64).value_or(0));
    police->mtu_ptoks = police->peak.l2t_ns(police->mtu);
  }
  if (!a.error().empty()) return nullptr;
  police->start();
  return police;
}

}  // namespace txp
