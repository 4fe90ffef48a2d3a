// SPDX-License-Identifier: Apache-2.0
// For unit tests: TCA_OPTIONS as tc writes them.
#pragma once

#include <linux/pkt_cls.h>
#include <linux/pkt_sched.h>
#include <linux/rtnetlink.h>
#include <linux/tc_act/tc_gact.h>

#include <cstring>
#include <initializer_list>
#include <vector>

#include "dev/link.h"

namespace txp::testing {

using Octets = std::vector<std::uint8_t>;

template <typename T>
Octets octets(const T& value) {
  Octets b(sizeof value);
  std::memcpy(b.data(), &value, sizeof value);
  return b;
}

// One netlink attribute, padded.
inline Octets attr(unsigned type, const Octets& value) {
  const auto len = static_cast<std::uint16_t>(4 + value.size());
  const auto kind = static_cast<std::uint16_t>(type);
  Octets b(4);
  std::memcpy(b.data(), &len, 2);
  std::memcpy(b.data() + 2, &kind, 2);
  b.insert(b.end(), value.begin(), value.end());
  b.resize((b.size() + 3) & ~std::size_t{3});
  return b;
}
inline Octets attr_u32(unsigned type, std::uint32_t v) { return attr(type, octets(v)); }
inline Octets attr_text(unsigned type, const char* s) {
  return attr(type, Octets(s, s + std::strlen(s) + 1));
}
inline Octets operator+(Octets a, const Octets& b) {
  a.insert(a.end(), b.begin(), b.end());
  return a;
}

// Bytes a second, bytes.
inline Octets tbf(std::uint32_t rate, std::uint32_t burst, std::uint32_t limit,
                  std::uint32_t peak = 0, std::uint32_t peak_burst = 0) {
  tc_tbf_qopt o{};
  o.limit = limit;
  o.rate.rate = rate;
  o.rate.linklayer = TC_LINKLAYER_ETHERNET;
  o.peakrate.rate = peak;
  o.peakrate.linklayer = TC_LINKLAYER_ETHERNET;
  Octets b = attr(TCA_TBF_PARMS, octets(o)) + attr_u32(TCA_TBF_BURST, burst);
  return peak == 0 ? b : b + attr_u32(TCA_TBF_PBURST, peak_burst);
}

inline Octets prio(std::int32_t bands, std::initializer_list<std::uint8_t> map = {}) {
  tc_prio_qopt o{};
  o.bands = bands;
  constexpr std::uint8_t kDefault[16] = {1, 2, 2, 2, 1, 2, 0, 0, 1, 1, 1, 1, 1, 1, 1, 1};
  std::memcpy(o.priomap, kDefault, sizeof o.priomap);
  std::size_t i = 0;
  for (const std::uint8_t band : map) o.priomap[i++] = band;
  return octets(o);
}

inline Octets htb(std::uint32_t defcls, std::uint32_t direct_qlen = 1000) {
  tc_htb_glob g{};
  g.version = 3;
  g.rate2quantum = 10;
  g.defcls = defcls;
  return attr(TCA_HTB_INIT, octets(g)) + attr_u32(TCA_HTB_DIRECT_QLEN, direct_qlen);
}

// Rates in bytes a second, bursts in bytes.
inline ClassSpec htb_class(std::uint32_t classid, std::uint32_t parent, std::uint32_t rate,
                           std::uint32_t ceil, std::uint32_t burst, std::uint32_t prio = 0,
                           std::uint32_t quantum = 1500) {
  tc_htb_opt o{};
  o.rate.rate = rate;
  o.ceil.rate = ceil;
  const auto ticks = [](std::uint64_t bytes, std::uint64_t r) {
    return static_cast<std::uint32_t>(bytes * 1000000000 / r / 64);
  };
  o.buffer = ticks(burst, rate);
  o.cbuffer = ticks(burst, ceil);
  o.quantum = quantum;
  o.prio = prio;
  ClassSpec c;
  c.ifindex = 2;
  c.kind = "htb";
  c.classid = classid;
  c.parent = parent;
  c.options = attr(TCA_HTB_PARMS, octets(o));
  c.text = "class htb";
  return c;
}

// u32 on the UDP destination port, or on everything when it is 0.
inline FilterSpec u32_dport(std::uint32_t parent, std::uint16_t prio, std::uint16_t dport,
                            std::uint32_t flowid, const Octets& actions = {}) {
  tc_u32_sel sel{};
  sel.flags = TC_U32_TERMINAL;
  sel.nkeys = 1;
  tc_u32_key key{};
  key.off = 20;
  key.val = __builtin_bswap32(dport);
  key.mask = dport == 0 ? 0 : __builtin_bswap32(0xffff);
  FilterSpec f;
  f.ifindex = 2;
  f.parent = parent;
  f.kind = "u32";
  f.handle = 0x80000800;
  f.prio = prio;
  f.protocol = 0x0800;
  f.text = "filter u32";
  f.options = attr(TCA_U32_SEL, octets(sel) + octets(key)) + attr_u32(TCA_U32_CLASSID, flowid);
  if (!actions.empty()) f.options = f.options + attr(TCA_U32_ACT, actions);
  return f;
}

}  // namespace txp::testing
