// SPDX-License-Identifier: Apache-2.0
// pedit: words of the packet set or added to, under masks. Kernel twin: net/sched/act_pedit.c.
//
// As in the kernel no checksum is mended: that is act_csum's work, which is unknown here.
// Left out: headers other than Ethernet, IPv4 and UDP; a word outside the packet ends the edit.
#include <linux/tc_act/tc_pedit.h>

#include <cstring>

#include "mirror/attrs.h"
#include "sched/act.h"
#include "skb/skb.h"

namespace txp {

namespace {

struct PeditKey {
  tc_pedit_key key{};
  std::uint16_t htype = TCA_PEDIT_KEY_EX_HDR_TYPE_NETWORK;
  bool add = false;
};

class Pedit final : public TcAction {
 public:
  TcVerdict verdict;
  std::vector<PeditKey> keys;

  TcAct act(Net&, Skb& skb, TcfResult& res) final {
    for (const PeditKey& k : keys)
      if (!edit(skb, k)) break;
    return verdict.give(res);
  }

 private:
  static bool edit(Skb& skb, const PeditKey& k) {
    std::uint8_t* base = nullptr;
    switch (k.htype) {
      case TCA_PEDIT_KEY_EX_HDR_TYPE_ETH: base = skb.mac(); break;
      case TCA_PEDIT_KEY_EX_HDR_TYPE_UDP: base = skb.transport(); break;
      default: base = skb.network(); break;
    }
    std::ptrdiff_t offset = static_cast<std::int32_t>(k.key.off);
    if (k.key.offmask != 0) {
      const std::ptrdiff_t at = static_cast<std::int32_t>(k.key.at);
      if (!inside(skb, base + at, 1)) return false;
      offset += (base[at] & k.key.offmask) >> (k.key.shift & 31);
    }
    if (!inside(skb, base + offset, 4)) return false;
    std::uint32_t word = 0;
    std::memcpy(&word, base + offset, sizeof word);
    const std::uint32_t val = k.add ? (word + k.key.val) & ~k.key.mask : k.key.val;
    word = (word & k.key.mask) ^ val;
    std::memcpy(base + offset, &word, sizeof word);
    return true;
  }
  static bool inside(const Skb& skb, const std::uint8_t* at, std::ptrdiff_t n) {
    return at >= skb.data && skb.tail - at >= n;
  }
};

}  // namespace

std::unique_ptr<TcAction> make_pedit(std::span<const std::uint8_t> options) {
  Attrs<TCA_PEDIT_MAX> a(options, "pedit");
  auto raw = a.raw(TCA_PEDIT_PARMS_EX);
  if (!raw) raw = a.raw(TCA_PEDIT_PARMS);
  constexpr std::size_t kSel = offsetof(tc_pedit_sel, keys);
  if (!raw || raw->size() < kSel) return nullptr;
  std::int32_t action = 0;
  std::uint8_t nkeys = 0;
  std::memcpy(&action, raw->data() + offsetof(tc_pedit_sel, action), sizeof action);
  std::memcpy(&nkeys, raw->data() + offsetof(tc_pedit_sel, nkeys), sizeof nkeys);
  if (raw->size() < kSel + nkeys * sizeof(tc_pedit_key)) return nullptr;
  auto pedit = std::make_unique<Pedit>();
  pedit->keys.resize(nkeys);
  for (std::size_t i = 0; i < nkeys; ++i)
    std::memcpy(&pedit->keys[i].key, raw->data() + kSel + i * sizeof(tc_pedit_key),
                sizeof(tc_pedit_key));
  if (const auto ex = a.raw(TCA_PEDIT_KEYS_EX)) {
    std::size_t i = 0;
    bool good = true;
    const bool whole = for_each_attr(*ex, [&](const nlattr& one) {
      Attrs<TCA_PEDIT_KEY_EX_MAX> k(payload(one), "pedit key");
      if (i >= nkeys) {
        good = false;
        return;
      }
      PeditKey& key = pedit->keys[i++];
      key.htype = k.u16(TCA_PEDIT_KEY_EX_HTYPE).value_or(0);
      key.add = k.u16(TCA_PEDIT_KEY_EX_CMD).value_or(0) == TCA_PEDIT_KEY_EX_CMD_ADD;
      good = good && k.error().empty() &&
             (key.htype == TCA_PEDIT_KEY_EX_HDR_TYPE_NETWORK ||
              key.htype == TCA_PEDIT_KEY_EX_HDR_TYPE_ETH ||
              key.htype == TCA_PEDIT_KEY_EX_HDR_TYPE_IP4 ||
              key.htype == TCA_PEDIT_KEY_EX_HDR_TYPE_UDP);
    });
    if (!whole || !good) return nullptr;
  }
  const auto verdict = tc_verdict(action);
  if (!verdict || !a.error().empty()) return nullptr;
  pedit->verdict = *verdict;
  return pedit;
}

}  // namespace txp
