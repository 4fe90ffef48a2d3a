// SPDX-License-Identifier: Apache-2.0
// matchall: every packet. Kernel twin: net/sched/cls_matchall.c.
#include <linux/pkt_cls.h>

#include "mirror/attrs.h"
#include "sched/cls.h"

namespace txp {

namespace {

class Matchall final : public TcfProto {
 public:
  bool read(FilterSpecs specs) {
    for (const FilterSpec& f : specs) {
      if (f.handle == 0) continue;
      Attrs<TCA_MATCHALL_MAX> a(f.options, "matchall");
      there_ = true;
      skip_sw_ = (a.u32(TCA_MATCHALL_FLAGS).value_or(0) & TCA_CLS_FLAGS_SKIP_SW) != 0;
      classid_ = a.u32(TCA_MATCHALL_CLASSID).value_or(0);
      text_ = &f.text;
      if (const auto act = a.raw(TCA_MATCHALL_ACT)) exts_.add(*act);
      return a.error().empty();
    }
    return true;
  }

  TcAct classify(Net& net, Skb& skb, TcfResult& res) const final {
    if (!there_ || skip_sw_) return TcAct::unspec;
    res.classid = classid_;
    res.filter = text_;
    const TcAct act = exts_.exec(net, skb, res);
    if (act == TcAct::unspec) res.filter = nullptr;
    return act;
  }

 private:
  bool there_ = false;
  bool skip_sw_ = false;
  std::uint32_t classid_ = 0;
  const std::string* text_ = nullptr;
  TcfExts exts_;
};

}  // namespace

std::unique_ptr<TcfProto> make_matchall(FilterSpecs specs) {
  auto matchall = std::make_unique<Matchall>();
  return matchall->read(specs) ? std::move(matchall) : nullptr;
}

}  // namespace txp
