// SPDX-License-Identifier: Apache-2.0
// basic: an expression of extended matches. Kernel twin: net/sched/cls_basic.c.
#include <linux/pkt_cls.h>

#include "mirror/attrs.h"
#include "sched/cls.h"
#include "sched/ematch.h"

namespace txp {

namespace {

struct BasicFilter {
  std::uint32_t classid = 0;
  EmatchTree ematches;
  const std::string* text = nullptr;
  TcfExts exts;
};

class Basic final : public TcfProto {
 public:
  bool read(FilterSpecs specs) {
    for (const FilterSpec& f : specs) {
      if (f.handle == 0) continue;
      Attrs<TCA_BASIC_MAX> a(f.options, "basic");
      BasicFilter& n = filters_.emplace_back();
      n.classid = a.u32(TCA_BASIC_CLASSID).value_or(0);
      n.text = &f.text;
      if (const auto tree = a.raw(TCA_BASIC_EMATCHES); tree && !n.ematches.read(*tree))
        return false;
      if (const auto act = a.raw(TCA_BASIC_ACT)) n.exts.add(*act);
      if (const auto police = a.raw(TCA_BASIC_POLICE)) n.exts.add_police(*police);
      if (!a.error().empty()) return false;
    }
    return true;
  }

  TcAct classify(Net& net, Skb& skb, TcfResult& res) const final {
    for (const BasicFilter& f : filters_) {
      if (!f.ematches.match(skb)) continue;
      res.classid = f.classid;
      res.filter = f.text;
      const TcAct act = f.exts.exec(net, skb, res);
      if (act != TcAct::unspec) return act;
      res.filter = nullptr;
    }
    return TcAct::unspec;
  }

 private:
  std::vector<BasicFilter> filters_;
};

}  // namespace

std::unique_ptr<TcfProto> make_basic(FilterSpecs specs) {
  auto basic = std::make_unique<Basic>();
  return basic->read(specs) ? std::move(basic) : nullptr;
}

}  // namespace txp
