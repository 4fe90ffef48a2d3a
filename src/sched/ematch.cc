// SPDX-License-Identifier: Apache-2.0
#include "sched/ematch.h"

#include <linux/pkt_cls.h>
#include <linux/tc_ematch/tc_em_cmp.h>
#include <linux/tc_ematch/tc_em_nbyte.h>

#include <cstring>

#include "base/byteorder.h"
#include "mirror/attrs.h"
#include "sched/cls.h"
#include "skb/skb.h"

namespace txp {

namespace {

constexpr int kEmatchMaxDepth = 32;  // CONFIG_NET_EMATCH_STACK

// tcf_get_base_ptr(), as an offset of skb->data.
std::int64_t layer_offset(const Skb& skb, unsigned layer) {
  const std::int64_t data = skb.data - skb.head;
  switch (layer) {
    case TCF_LAYER_LINK: return std::int64_t{skb.mac_header} - data;
    case TCF_LAYER_NETWORK: return std::int64_t{skb.network_header} - data;
    default: return std::int64_t{skb.transport_header} - data;
  }
}

bool em_cmp_match(const Skb& skb, const std::vector<std::uint8_t>& data) {
  tcf_em_cmp cmp{};
  std::memcpy(&cmp, data.data(), sizeof cmp);
  std::uint8_t b[4];
  const std::size_t n = cmp.align;
  if (!skb_load(skb, layer_offset(skb, cmp.layer) + cmp.off, {b, n})) return false;
  std::uint32_t val = 0;
  // `trans` reads a number of the host's order, which is the packet's unless told.
  for (std::size_t i = 0; i < n; ++i)
    val = val << 8 | b[(cmp.flags & TCF_EM_CMP_TRANS) != 0 && n > 1 ? n - 1 - i : i];
  if (cmp.mask != 0) val &= cmp.mask;
  switch (cmp.opnd) {
    case TCF_EM_OPND_EQ: return val == cmp.val;
    case TCF_EM_OPND_LT: return val < cmp.val;
    case TCF_EM_OPND_GT: return val > cmp.val;
    default: return false;
  }
}

bool em_nbyte_match(const Skb& skb, const std::vector<std::uint8_t>& data) {
  tcf_em_nbyte nbyte{};
  std::memcpy(&nbyte, data.data(), sizeof nbyte);
  const std::int64_t at = layer_offset(skb, nbyte.layer) + nbyte.off;
  for (std::size_t i = 0; i < nbyte.len; ++i) {
    std::uint8_t b[1];
    if (!skb_load(skb, at + static_cast<std::int64_t>(i), b) || b[0] != data[sizeof nbyte + i])
      return false;
  }
  return true;
}

bool em_u32_match(const Skb& skb, const std::vector<std::uint8_t>& data) {
  tc_u32_key key{};
  std::memcpy(&key, data.data(), sizeof key);
  std::uint8_t b[4];
  if (!skb_load(skb, layer_offset(skb, TCF_LAYER_NETWORK) + key.off, b)) return false;
  std::uint32_t word = 0;
  std::memcpy(&word, b, sizeof word);
  return ((word ^ key.val) & key.mask) == 0;
}

}  // namespace

bool EmatchTree::read(std::span<const std::uint8_t> tree) {
  Attrs<TCA_EMATCH_TREE_MAX> a(tree, "ematch");
  tcf_ematch_tree_hdr hdr{};
  const auto raw = a.raw(TCA_EMATCH_TREE_HDR);
  if (!raw || take_header(*raw, hdr) == nullptr || !a.error().empty()) return false;
  if (hdr.nmatches == 0) return true;
  const auto list = a.raw(TCA_EMATCH_TREE_LIST);
  if (!list) return false;
  bool good = true;
  const bool whole = for_each_attr(*list, [&](const nlattr& one) {
    const Bytes bytes = payload(one);
    tcf_ematch_hdr h{};
    if (take_header(bytes, h) == nullptr || matches_.size() >= hdr.nmatches) {
      good = false;
      return;
    }
    const Bytes data = bytes.subspan(sizeof h);
    Ematch m;
    m.inverted = (h.flags & TCF_EM_INVERT) != 0;
    const unsigned rel = h.flags & TCF_EM_REL_MASK;
    m.then = rel == TCF_EM_REL_AND ? Then::also : rel == TCF_EM_REL_OR ? Then::either : Then::end;
    good = good && rel != TCF_EM_REL_MASK;
    std::size_t least = 0;
    switch (h.kind) {
      case TCF_EM_CONTAINER: {
        std::uint32_t first = 0;
        if (take_header(data, first) == nullptr || first <= matches_.size() ||
            first >= hdr.nmatches) {  // only forwards, so that it ends
          good = false;
          return;
        }
        m.kind = Kind::container;
        m.first = static_cast<std::uint16_t>(first);
        break;
      }
      case TCF_EM_CMP: {
        tcf_em_cmp cmp{};
        least = sizeof cmp;
        m.kind = Kind::cmp;
        good = good && take_header(data, cmp) != nullptr &&
               (cmp.align == 1 || cmp.align == 2 || cmp.align == 4);
        break;
      }
      case TCF_EM_NBYTE: {
        tcf_em_nbyte nbyte{};
        m.kind = Kind::nbyte;
        good = good && take_header(data, nbyte) != nullptr;
        least = sizeof nbyte + nbyte.len;
        break;
      }
      case TCF_EM_U32:
        least = sizeof(tc_u32_key);
        m.kind = Kind::u32;
        break;
      default: good = false;
    }
    good = good && data.size() >= least;
    m.data.assign(data.begin(), data.end());
    matches_.push_back(std::move(m));
  });
  return whole && good && matches_.size() == hdr.nmatches;
}

bool EmatchTree::match_one(const Skb& skb, const Ematch& m, int depth) const {
  bool result = false;
  switch (m.kind) {
    case Kind::container: result = depth < kEmatchMaxDepth && walk(skb, m.first, depth + 1); break;
    case Kind::cmp: result = em_cmp_match(skb, m.data); break;
    case Kind::nbyte: result = em_nbyte_match(skb, m.data); break;
    case Kind::u32: result = em_u32_match(skb, m.data); break;
  }
  return result != m.inverted;
}

// From `i` until its expression is decided or ends.
bool EmatchTree::walk(const Skb& skb, std::size_t i, int depth) const {
  bool result = false;
  for (; i < matches_.size(); ++i) {
    const Ematch& m = matches_[i];
    result = match_one(skb, m, depth);
    if (m.then == Then::end || (m.then == Then::also && !result) ||
        (m.then == Then::either && result))
      return result;
  }
  return result;
}

}  // namespace txp
