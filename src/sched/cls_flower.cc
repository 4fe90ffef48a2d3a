// SPDX-License-Identifier: Apache-2.0
// flower: fields of the headers against values under masks. Kernel twin: net/sched/cls_flower.c.
//
// Implemented are the fields that a packet of this path has: MAC addresses, the Ethernet protocol,
// IPv4 addresses, protocol, TOS, TTL, the UDP ports and ranges of them. A filter with any other key
// is unknown, and so is the priority that it stands at.
#include <linux/pkt_cls.h>

#include <algorithm>
#include <array>
#include <cstring>
#include <limits>

#include "base/byteorder.h"
#include "mirror/attrs.h"
#include "sched/cls.h"
#include "skb/skb.h"
#include "wire/ethernet.h"
#include "wire/ipv4.h"

namespace txp {

namespace {

// What a packet shows: the bytes in the order of FlowerField.
struct FlowerKey {
  std::array<std::uint8_t, 6> eth_dst{}, eth_src{};
  std::array<std::uint8_t, 4> ip_src{}, ip_dst{};
  std::array<std::uint8_t, 2> eth_type{}, sport{}, dport{};
  std::array<std::uint8_t, 1> ip_proto{}, tos{}, ttl{};
};

struct FlowerFilter {
  std::uint32_t classid = 0;
  std::uint32_t handle = 0;
  FlowerKey key, mask;
  std::uint16_t sport_min = 0, sport_max = 0, dport_min = 0, dport_max = 0;  // 0: no range
  bool skip_sw = false;
  bool has_indev = false;
  const std::string* text = nullptr;
  TcfExts exts;
};

FlowerKey dissect(const Skb& skb) {
  FlowerKey k;
  const std::int64_t data = skb.data - skb.head;
  const std::int64_t mac = std::int64_t{skb.mac_header} - data;
  (void)skb_load(skb, mac, k.eth_dst);
  (void)skb_load(skb, mac + 6, k.eth_src);
  store_be16(k.eth_type.data(), skb.protocol);
  if (skb.protocol != kEthPIp) return k;
  const std::int64_t ip = std::int64_t{skb.network_header} - data;
  std::array<std::uint8_t, kIpHlen> h{};
  if (!skb_load(skb, ip, h)) return k;
  k.tos = {h[1]};
  k.ttl = {h[8]};
  k.ip_proto = {h[9]};
  std::copy_n(&h[12], 4, k.ip_src.begin());
  std::copy_n(&h[16], 4, k.ip_dst.begin());
  const bool later_fragment = (load_be16(&h[6]) & 0x1fff) != 0;
  constexpr std::uint8_t kTcp = 6, kSctp = 132;
  if (later_fragment || (h[9] != kIpProtoUdp && h[9] != kTcp && h[9] != kSctp)) return k;
  const std::int64_t l4 = ip + (h[0] & 15) * 4;
  (void)skb_load(skb, l4, k.sport);
  (void)skb_load(skb, l4 + 2, k.dport);
  return k;
}

template <std::size_t N>
bool equal(const std::array<std::uint8_t, N>& packet, const std::array<std::uint8_t, N>& key,
           const std::array<std::uint8_t, N>& mask) {
  for (std::size_t i = 0; i < N; ++i)
    if (((packet[i] ^ key[i]) & mask[i]) != 0) return false;
  return true;
}

bool flower_matches(const FlowerFilter& f, const FlowerKey& p) {
  const auto in = [](const std::array<std::uint8_t, 2>& port, std::uint16_t min,
                     std::uint16_t max) {
    const std::uint16_t n = load_be16(port.data());
    return max == 0 || (n >= min && n <= max);
  };
  return equal(p.eth_dst, f.key.eth_dst, f.mask.eth_dst) &&
         equal(p.eth_src, f.key.eth_src, f.mask.eth_src) &&
         equal(p.eth_type, f.key.eth_type, f.mask.eth_type) &&
         equal(p.ip_proto, f.key.ip_proto, f.mask.ip_proto) &&
         equal(p.tos, f.key.tos, f.mask.tos) && equal(p.ttl, f.key.ttl, f.mask.ttl) &&
         equal(p.ip_src, f.key.ip_src, f.mask.ip_src) &&
         equal(p.ip_dst, f.key.ip_dst, f.mask.ip_dst) &&
         equal(p.sport, f.key.sport, f.mask.sport) && equal(p.dport, f.key.dport, f.mask.dport) &&
         in(p.sport, f.sport_min, f.sport_max) && in(p.dport, f.dport_min, f.dport_max);
}

// Takes a filter's keys one by one; a key that is not known makes the whole unreadable.
bool read_flower(const FilterSpec& spec, FlowerFilter& f) {
  constexpr unsigned kMax = 255;
  Attrs<kMax> a(spec.options, "flower");
  std::array<bool, kMax + 1> taken{};
  const auto take = [&](unsigned type, unsigned mask_type, auto& key, auto& mask) {
    taken[type] = taken[mask_type] = true;
    const auto v = a.bytes(type, key.size());
    if (!v) return;
    std::ranges::copy(*v, key.begin());
    mask.fill(0xff);
    if (mask_type == 0) return;
    if (const auto m = a.bytes(mask_type, mask.size())) std::ranges::copy(*m, mask.begin());
  };
  FlowerKey& k = f.key;
  FlowerKey& m = f.mask;
  take(TCA_FLOWER_KEY_ETH_DST, TCA_FLOWER_KEY_ETH_DST_MASK, k.eth_dst, m.eth_dst);
  take(TCA_FLOWER_KEY_ETH_SRC, TCA_FLOWER_KEY_ETH_SRC_MASK, k.eth_src, m.eth_src);
  take(TCA_FLOWER_KEY_ETH_TYPE, 0, k.eth_type, m.eth_type);
  take(TCA_FLOWER_KEY_IP_PROTO, 0, k.ip_proto, m.ip_proto);
  take(TCA_FLOWER_KEY_IPV4_SRC, TCA_FLOWER_KEY_IPV4_SRC_MASK, k.ip_src, m.ip_src);
  take(TCA_FLOWER_KEY_IPV4_DST, TCA_FLOWER_KEY_IPV4_DST_MASK, k.ip_dst, m.ip_dst);
  take(TCA_FLOWER_KEY_IP_TOS, TCA_FLOWER_KEY_IP_TOS_MASK, k.tos, m.tos);
  take(TCA_FLOWER_KEY_IP_TTL, TCA_FLOWER_KEY_IP_TTL_MASK, k.ttl, m.ttl);
  take(TCA_FLOWER_KEY_UDP_SRC, TCA_FLOWER_KEY_UDP_SRC_MASK, k.sport, m.sport);
  take(TCA_FLOWER_KEY_UDP_DST, TCA_FLOWER_KEY_UDP_DST_MASK, k.dport, m.dport);
  const auto port = [&](unsigned type) {
    taken[type] = true;
    return a.be16(type).value_or(0);
  };
  f.sport_min = port(TCA_FLOWER_KEY_PORT_SRC_MIN);
  f.sport_max = port(TCA_FLOWER_KEY_PORT_SRC_MAX);
  f.dport_min = port(TCA_FLOWER_KEY_PORT_DST_MIN);
  f.dport_max = port(TCA_FLOWER_KEY_PORT_DST_MAX);
  f.classid = a.u32(TCA_FLOWER_CLASSID).value_or(0);
  f.has_indev = a.has(TCA_FLOWER_INDEV);
  f.skip_sw = (a.u32(TCA_FLOWER_FLAGS).value_or(0) & TCA_CLS_FLAGS_SKIP_SW) != 0;
  if (const auto act = a.raw(TCA_FLOWER_ACT)) f.exts.add(*act);
  for (const unsigned type : {TCA_FLOWER_UNSPEC, TCA_FLOWER_CLASSID, TCA_FLOWER_INDEV,
                              TCA_FLOWER_ACT, TCA_FLOWER_FLAGS, TCA_FLOWER_IN_HW_COUNT})
    taken[type] = true;
  for (unsigned type = 0; type <= kMax; ++type)
    if (a.has(type) && !taken[type]) return false;
  return a.error().empty();
}

class Flower final : public TcfProto {
 public:
  bool read(FilterSpecs specs) {
    for (const FilterSpec& s : specs) {
      if (s.handle == 0) continue;
      FlowerFilter& f = filters_.emplace_back();
      f.text = &s.text;
      f.handle = s.handle;
      if (!read_flower(s, f)) return false;
    }
    return true;
  }

  TcAct classify(Net& net, Skb& skb, TcfResult& res) const final {
    const FlowerKey packet = dissect(skb);
    for (const FlowerFilter& f : filters_) {
      if (f.skip_sw || f.has_indev || !flower_matches(f, packet)) continue;
      res.classid = f.classid;
      res.filter = f.text;
      const TcAct act = f.exts.exec(net, skb, res);
      if (act == TcAct::unspec) res.filter = nullptr;
      return act;
    }
    return TcAct::unspec;
  }

 private:
  std::vector<FlowerFilter> filters_;
};

}  // namespace

std::unique_ptr<TcfProto> make_flower(FilterSpecs specs) {
  auto flower = std::make_unique<Flower>();
  return flower->read(specs) ? std::move(flower) : nullptr;
}

}  // namespace txp
