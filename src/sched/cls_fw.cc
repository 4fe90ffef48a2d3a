// SPDX-License-Identifier: Apache-2.0
// fw: the packet's mark chooses. Kernel twin: net/sched/cls_fw.c.
//
// Left out: `indev` (nothing that this host sends came in on a device).
#include <linux/pkt_cls.h>

#include <algorithm>

#include "mirror/attrs.h"
#include "sched/cls.h"
#include "skb/skb.h"

namespace txp {

namespace {

struct FwFilter {
  std::uint32_t mark = 0;
  std::uint32_t classid = 0;
  bool indev = false;
  const std::string* text = nullptr;
  TcfExts exts;
};

class Fw final : public TcfProto {
 public:
  bool read(FilterSpecs specs) {
    for (const FilterSpec& f : specs) {
      if (f.handle == 0) continue;
      Attrs<TCA_FW_MAX> a(f.options, "fw");
      FwFilter& n = filters_.emplace_back();
      n.mark = f.handle;
      n.classid = a.u32(TCA_FW_CLASSID).value_or(0);
      n.indev = a.has(TCA_FW_INDEV);
      n.text = &f.text;
      mask_ = a.u32(TCA_FW_MASK).value_or(0xffffffff);
      if (const auto act = a.raw(TCA_FW_ACT)) n.exts.add(*act);
      if (const auto police = a.raw(TCA_FW_POLICE)) n.exts.add_police(*police);
      if (!a.error().empty()) return false;
    }
    return true;
  }

  TcAct classify(Net& net, Skb& skb, TcfResult& res) const final {
    if (filters_.empty()) {  // without a list of marks, the mark itself is the class
      if (skb.mark == 0) return TcAct::unspec;
      res.classid = skb.mark;
      return TcAct::ok;
    }
    const std::uint32_t mark = skb.mark & mask_;
    for (const FwFilter& f : filters_) {
      if (f.mark != mark || f.indev) continue;
      res.classid = f.classid;
      res.filter = f.text;
      const TcAct act = f.exts.exec(net, skb, res);
      if (act != TcAct::unspec) return act;
      res.filter = nullptr;
    }
    return TcAct::unspec;
  }

 private:
  std::vector<FwFilter> filters_;
  std::uint32_t mask_ = 0xffffffff;
};

}  // namespace

std::unique_ptr<TcfProto> make_fw(FilterSpecs specs) {
  auto fw = std::make_unique<Fw>();
  return fw->read(specs) ? std::move(fw) : nullptr;
}

}  // namespace txp
