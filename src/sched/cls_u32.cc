// SPDX-License-Identifier: Apache-2.0
// u32: words of the packet against values under masks, in hash tables that link to each other.
// Kernel twin: net/sched/cls_u32.c (u32_classify()).
//
// Left out: `indev` (nothing that this host sends came in on a device), CONFIG_CLS_U32_PERF's
// counts, words before the frame's start, filters for hardware only (skip_sw), which are passed by.
#include <linux/pkt_cls.h>

#include <algorithm>
#include <bit>
#include <cstring>
#include <map>
#include <optional>

#include "base/byteorder.h"
#include "mirror/attrs.h"
#include "sched/cls.h"
#include "skb/skb.h"

namespace txp {

namespace {

constexpr std::uint32_t kRootTable = 0x800;
constexpr int kU32MaxDepth = 8;  // TC_U32_MAXDEPTH

struct U32Table;

// struct tc_u32_sel without its array; numbers in host order.
struct U32Sel {
  std::uint8_t flags = 0;
  std::uint8_t offshift = 0;
  std::uint16_t offmask = 0;
  std::uint16_t off = 0;
  std::int16_t offoff = 0;
  std::int16_t hoff = 0;
  std::uint32_t hmask = 0;
};

struct U32Knode {
  std::vector<tc_u32_key> keys;
  std::uint32_t classid = 0;
  std::uint32_t link = 0;  // the table's handle; 0: none
  std::uint8_t fshift = 0;
  std::optional<tc_u32_mark> mark;
  bool skip_sw = false;
  bool indev = false;
  const U32Table* up = nullptr;
  const U32Table* down = nullptr;
  const U32Knode* next = nullptr;
  const FilterSpec* spec = nullptr;
  TcfExts exts;
  U32Sel sel;
};

struct U32Table {
  std::uint32_t divisor = 0;
  std::vector<std::unique_ptr<U32Knode>> nodes;  // by bucket and node id
  std::vector<const U32Knode*> buckets;
};

constexpr std::uint32_t table_of(std::uint32_t handle) { return handle >> 20; }
constexpr std::uint32_t bucket_of(std::uint32_t handle) { return (handle >> 12) & 0xff; }

bool read_knode(const FilterSpec& spec, U32Knode& n) {
  Attrs<TCA_U32_MAX> a(spec.options, "u32");
  const auto raw = a.raw(TCA_U32_SEL);
  tc_u32_sel sel{};
  if (!raw || take_header(*raw, sel) == nullptr) return false;
  if (raw->size() < sizeof sel + sel.nkeys * sizeof(tc_u32_key)) return false;
  n.keys.resize(sel.nkeys);
  if (sel.nkeys != 0)
    std::memcpy(n.keys.data(), raw->data() + sizeof sel, sel.nkeys * sizeof(tc_u32_key));
  n.sel = {sel.flags,  sel.offshift, std::byteswap(sel.offmask), sel.off,
           sel.offoff, sel.hoff,     std::byteswap(sel.hmask)};
  n.classid = a.u32(TCA_U32_CLASSID).value_or(0);
  n.link = a.u32(TCA_U32_LINK).value_or(0);
  n.skip_sw = (a.u32(TCA_U32_FLAGS).value_or(0) & TCA_CLS_FLAGS_SKIP_SW) != 0;
  n.indev = a.has(TCA_U32_INDEV);
  if (const auto m = a.bytes(TCA_U32_MARK, sizeof(tc_u32_mark))) {
    n.mark.emplace();
    std::memcpy(&*n.mark, m->data(), sizeof *n.mark);
  }
  if (const auto act = a.raw(TCA_U32_ACT)) n.exts.add(*act);
  if (const auto police = a.raw(TCA_U32_POLICE)) n.exts.add_police(*police);
  // u32_hash_fold(): down to the mask's lowest bit.
  const std::uint32_t mask = n.sel.hmask;
  n.fshift = mask != 0 ? static_cast<std::uint8_t>(std::countr_zero(mask)) : 0;
  n.spec = &spec;
  return a.error().empty();
}

class U32 final : public TcfProto {
 public:
  bool read(FilterSpecs specs) {
    for (const FilterSpec& f : specs) {
      if (f.handle == 0) continue;  // tc's line for the priority as a whole
      U32Table& table = tables_[table_of(f.handle)];
      Attrs<TCA_U32_MAX> a(f.options, "u32");
      if (const auto divisor = a.u32(TCA_U32_DIVISOR); divisor && !a.has(TCA_U32_SEL)) {
        if (*divisor == 0 || *divisor > 256) return false;
        table.divisor = *divisor - 1;
        continue;
      }
      auto n = std::make_unique<U32Knode>();
      if (!read_knode(f, *n)) return false;
      table.nodes.push_back(std::move(n));
    }
    std::vector<const U32Table*> linked;
    for (auto& [id, table] : tables_) {
      table.buckets.assign(table.divisor + 1, nullptr);
      std::ranges::stable_sort(table.nodes, std::greater{},
                               [](const auto& n) { return n->spec->handle & 0xfffff; });
      for (const auto& n : table.nodes) {  // from the last to the first
        const std::uint32_t bucket = bucket_of(n->spec->handle);
        if (bucket > table.divisor) return false;
        n->next = table.buckets[bucket];
        table.buckets[bucket] = n.get();
        n->up = &table;
        if (n->link == 0) continue;
        const auto down = tables_.find(table_of(n->link));
        if (down == tables_.end()) return false;
        n->down = &down->second;
        linked.push_back(n->down);
      }
    }
    // Filters of one priority on a discipline and on its class are dumped together, and nothing
    // says which of their roots is whose: that is not read.
    for (const auto& [id, table] : tables_) {
      if (id < kRootTable || std::ranges::find(linked, &table) != linked.end()) continue;
      if (root_ != nullptr) return false;
      root_ = &table;
    }
    if (root_ == nullptr) return tables_.empty();
    return true;
  }

  TcAct classify(Net& net, Skb& skb, TcfResult& res) const final {
    if (root_ == nullptr) return TcAct::unspec;
    struct Frame {
      const U32Knode* knode;
      std::int64_t off;
    };
    Frame stack[kU32MaxDepth];
    int depth = 0;
    std::int64_t off = std::int64_t{skb.network_header} - (skb.data - skb.head);
    std::int64_t off2 = 0;
    const U32Knode* n = root_->buckets[0];
    for (;;) {
      if (n == nullptr) {
        if (depth == 0) return TcAct::unspec;
        --depth;  // back from a table without a match: the node that led there may be terminal
        n = stack[depth].knode;
        off = stack[depth].off;
        const TcAct act = terminal(net, skb, *n, res);
        if (act != TcAct::unspec) return act;
        n = n->next;
        continue;
      }
      bool cut = false;
      if (n->skip_sw || !matches(skb, *n, off, off2, cut)) {
        if (cut) return TcAct::unspec;
        n = n->next;
        continue;
      }
      if (n->down == nullptr) {
        const TcAct act = terminal(net, skb, *n, res);
        if (act != TcAct::unspec) return act;
        n = n->next;
        continue;
      }
      if (depth == kU32MaxDepth) return TcAct::unspec;
      stack[depth++] = {n, off};
      std::uint32_t bucket = 0;
      if (n->down->divisor != 0) {
        std::uint8_t b[4];
        if (!skb_load(skb, off + n->sel.hoff, b)) return TcAct::unspec;
        bucket = n->down->divisor & ((load_be32(b) & n->sel.hmask) >> n->fshift);
      }
      const std::uint8_t flags = n->sel.flags;
      const U32Table* down = n->down;
      if ((flags & (TC_U32_OFFSET | TC_U32_VAROFFSET)) != 0) {
        off2 = n->sel.off + 3;
        if ((flags & TC_U32_VAROFFSET) != 0) {
          std::uint8_t b[2];
          if (!skb_load(skb, off + n->sel.offoff, b)) return TcAct::unspec;
          if (n->sel.offshift < 16) off2 += (load_be16(b) & n->sel.offmask) >> n->sel.offshift;
        }
        off2 &= ~std::int64_t{3};
      }
      if ((flags & TC_U32_EAT) != 0) {
        off += off2;
        off2 = 0;
      }
      const bool moved = (flags & (TC_U32_VAROFFSET | TC_U32_OFFSET | TC_U32_EAT)) != 0;
      n = !moved || off < std::int64_t{skb.len} ? down->buckets[bucket] : nullptr;
    }
  }

 private:
  static bool matches(const Skb& skb, const U32Knode& n, std::int64_t off, std::int64_t off2,
                      bool& cut) {
    if (n.mark && (skb.mark & n.mark->mask) != n.mark->val) return false;
    for (const tc_u32_key& key : n.keys) {
      const std::int64_t at = off + key.off + (off2 & key.offmask);
      std::uint8_t b[4];
      if (!skb_load(skb, at, b)) {
        cut = true;
        return false;
      }
      std::uint32_t data;
      std::memcpy(&data, b, sizeof data);
      if (((data ^ key.val) & key.mask) != 0) return false;
    }
    return true;
  }

  static TcAct terminal(Net& net, Skb& skb, const U32Knode& n, TcfResult& res) {
    if ((n.sel.flags & TC_U32_TERMINAL) == 0 || n.indev) return TcAct::unspec;
    res.classid = n.classid;
    res.filter = &n.spec->text;
    const TcAct act = n.exts.exec(net, skb, res);
    if (act == TcAct::unspec) res.filter = nullptr;
    return act;
  }

  std::map<std::uint32_t, U32Table> tables_;
  const U32Table* root_ = nullptr;
};

}  // namespace

std::unique_ptr<TcfProto> make_u32(FilterSpecs specs) {
  auto u32 = std::make_unique<U32>();
  if (!u32->read(specs)) return nullptr;
  return u32;
}

}  // namespace txp
