// SPDX-License-Identifier: Apache-2.0
// vlan: an 802.1Q tag is pushed, popped or changed. Kernel twin: net/sched/act_vlan.c.
//
// Differs: the kernel keeps a pushed tag beside the packet until the device wants it inside; here
// it is inside at once. Left out: pushing and popping whole Ethernet headers (unknown).
#include <linux/tc_act/tc_vlan.h>

#include <cstring>

#include "base/byteorder.h"
#include "mirror/attrs.h"
#include "sched/act.h"
#include "skb/skb.h"
#include "wire/ethernet.h"

namespace txp {

namespace {

constexpr std::size_t kMacs = 12;  // both addresses
constexpr std::size_t kTag = 4;    // VLAN_HLEN
constexpr std::uint16_t kVlanProtos[] = {0x8100, 0x88a8};

bool is_vlan(std::uint16_t ethertype) {
  return ethertype == kVlanProtos[0] || ethertype == kVlanProtos[1];
}

class Vlan final : public TcAction {
 public:
  TcVerdict verdict;
  int what = 0;  // TCA_VLAN_ACT_*
  std::uint16_t id = 0;
  std::uint16_t proto = kVlanProtos[0];
  std::uint8_t priority = 0;
  bool has_priority = false;

  TcAct act(Net&, Skb& skb, TcfResult& res) final {
    std::uint8_t* mac = skb.mac();
    if (skb.tail - mac < static_cast<std::ptrdiff_t>(kEthHlen)) return TcAct::shot;
    const std::uint16_t inner = load_be16(mac + kMacs);
    const auto tci = static_cast<std::uint16_t>((priority & 7) << 13 | (id & 0xfff));
    if (what == TCA_VLAN_ACT_PUSH) {
      if (skb.headroom() < kTag || skb.mac_header < kTag) {
        res.what = "action vlan push (no room before the packet)";
        return TcAct::unknown;
      }
      skb.push(kTag);
      skb.mac_header = static_cast<std::uint16_t>(skb.mac_header - kTag);
      std::memmove(skb.mac(), skb.mac() + kTag, kMacs);
      store_be16(skb.mac() + kMacs, proto);
      store_be16(skb.mac() + kMacs + 2, tci);
      return verdict.give(res);
    }
    if (!is_vlan(inner) || skb.tail - mac < static_cast<std::ptrdiff_t>(kEthHlen + kTag))
      return verdict.give(res);  // no tag: nothing to pop or change
    if (what == TCA_VLAN_ACT_POP) {
      std::memmove(mac + kTag, mac, kMacs);
      skb.pull(kTag);
      skb.mac_header = static_cast<std::uint16_t>(skb.mac_header + kTag);
      return verdict.give(res);
    }
    const std::uint16_t old = load_be16(mac + kMacs + 2);
    const std::uint16_t keep = has_priority ? 0x1000 : 0xf000;
    store_be16(mac + kMacs, proto);
    store_be16(mac + kMacs + 2,
               static_cast<std::uint16_t>((old & keep) | (has_priority ? tci : id & 0xfff)));
    return verdict.give(res);
  }
};

}  // namespace

std::unique_ptr<TcAction> make_vlan(std::span<const std::uint8_t> options) {
  Attrs<TCA_VLAN_MAX> a(options, "vlan");
  tc_vlan p{};
  const auto raw = a.raw(TCA_VLAN_PARMS);
  if (!raw || take_header(*raw, p) == nullptr) return nullptr;
  const auto verdict = tc_verdict(p.action);
  if (!verdict) return nullptr;
  if (p.v_action != TCA_VLAN_ACT_POP && p.v_action != TCA_VLAN_ACT_PUSH &&
      p.v_action != TCA_VLAN_ACT_MODIFY)
    return nullptr;
  auto vlan = std::make_unique<Vlan>();
  vlan->verdict = *verdict;
  vlan->what = p.v_action;
  if (p.v_action != TCA_VLAN_ACT_POP) {
    const auto id = a.u16(TCA_VLAN_PUSH_VLAN_ID);
    if (!id || *id > 0xfff) return nullptr;
    vlan->id = *id;
    if (const auto proto = a.be16(TCA_VLAN_PUSH_VLAN_PROTOCOL)) {
      if (!is_vlan(*proto)) return nullptr;
      vlan->proto = *proto;
    }
    if (const auto prio = a.u8(TCA_VLAN_PUSH_VLAN_PRIORITY)) {
      vlan->priority = *prio;
      vlan->has_priority = true;
    }
  }
  if (!a.error().empty()) return nullptr;
  return vlan;
}

}  // namespace txp
