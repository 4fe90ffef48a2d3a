// SPDX-License-Identifier: Apache-2.0
// RTM_NEWRULE of AF_INET and AF_INET6. Kernel twins: net/core/fib_rules.c, net/ipv4/fib_rules.c.
#include <linux/fib_rules.h>
#include <sys/socket.h>

#include "mirror/attrs.h"
#include "mirror/decode.h"

namespace txp {

namespace {

// Newer than Debian 12's headers (include/uapi/linux/fib_rules.h of 6.15).
constexpr unsigned kFraDscp = 25;
constexpr unsigned kFraFlowlabel = 26;
constexpr unsigned kFraFlowlabelMask = 27;
constexpr unsigned kFraSportMask = 28;
constexpr unsigned kFraDportMask = 29;
constexpr unsigned kFraDscpMask = 30;
constexpr unsigned kFraMax = 30;
// The bits of a packet's DSCP that a rule's (and a route's) old `tos` is compared with:
// fib_dscp_masked_match(), INET_DSCP_LEGACY_TOS_MASK.
constexpr std::uint8_t kLegacyTosMask = 0x1c;

std::optional<std::pair<std::uint16_t, std::uint16_t>> port_range(Attrs<kFraMax>& a,
                                                                  unsigned type) {
  const auto b = a.bytes(type, sizeof(fib_rule_port_range));
  if (!b) return std::nullopt;
  fib_rule_port_range r{};
  std::memcpy(&r, b->data(), sizeof r);
  return std::pair(r.start, r.end);
}

}  // namespace

Result<Decoded> decode_rule(Bytes bytes) {
  fib_rule_hdr h{};
  if (take_header(bytes, h) == nullptr) return fail("cut short");
  const bool is_v6 = h.family == AF_INET6;
  if (h.family != AF_INET && !is_v6) return Decoded{};
  const unsigned longest = is_v6 ? 128 : 32;
  if (h.src_len > longest || h.dst_len > longest)
    return fail(fmt::format("prefix length above {}", longest));
  Attrs<kFraMax> a(bytes.subspan(sizeof h), "rule");
  FibRule r;
  r.priority = a.u32(FRA_PRIORITY).value_or(0);
  r.action = static_cast<RuleAction>(h.action);
  r.table = a.u32(FRA_TABLE).value_or(h.table);
  r.goto_target = a.u32(FRA_GOTO).value_or(0);
  r.invert = (h.flags & FIB_RULE_INVERT) != 0;
  if (is_v6) {
    if (h.src_len != 0) r.src6 = Prefix6{a.ip6(FRA_SRC).value_or(Ip6{}), h.src_len};
    if (h.dst_len != 0) r.dst6 = Prefix6{a.ip6(FRA_DST).value_or(Ip6{}), h.dst_len};
    r.find_saddr = (h.flags & FIB_RULE_FIND_SADDR) != 0;
    r.flowlabel = a.be32(kFraFlowlabel).value_or(0);
    r.flowlabel_mask = a.be32(kFraFlowlabelMask).value_or(0);
  } else {
    if (h.src_len != 0) r.src = Prefix4{a.ip4(FRA_SRC).value_or(Ip4{}), h.src_len};
    if (h.dst_len != 0) r.dst = Prefix4{a.ip4(FRA_DST).value_or(Ip4{}), h.dst_len};
  }
  if (h.tos != 0) {
    r.tos = h.tos;
    r.tos_mask = is_v6 ? std::uint8_t{0} : kLegacyTosMask;
  } else if (auto dscp = a.u8(kFraDscp)) {
    r.tos = static_cast<std::uint8_t>(*dscp << 2);
    r.tos_mask = static_cast<std::uint8_t>(a.u8(kFraDscpMask).value_or(0x3f) << 2);
  }
  r.mark = a.u32(FRA_FWMARK).value_or(0);
  if (a.has(FRA_FWMARK) || a.has(FRA_FWMASK)) r.mark_mask = a.u32(FRA_FWMASK).value_or(0xffffffff);
  r.iifname = a.text(FRA_IIFNAME, 15).value_or("");
  r.oifname = a.text(FRA_OIFNAME, 15).value_or("");
  if (auto v = a.bytes(FRA_UID_RANGE, sizeof(fib_rule_uid_range))) {
    fib_rule_uid_range u{};
    std::memcpy(&u, v->data(), sizeof u);
    r.uid_range = std::pair(u.start, u.end);
  }
  r.ip_proto = a.u8(FRA_IP_PROTO).value_or(0);
  r.sport = port_range(a, FRA_SPORT_RANGE);
  r.dport = port_range(a, FRA_DPORT_RANGE);
  r.sport_mask = a.u16(kFraSportMask).value_or(0xffff);
  r.dport_mask = a.u16(kFraDportMask).value_or(0xffff);
  r.suppress_prefixlength = static_cast<int>(a.u32(FRA_SUPPRESS_PREFIXLEN).value_or(0xffffffff));
  r.suppress_ifgroup = static_cast<int>(a.u32(FRA_SUPPRESS_IFGROUP).value_or(0xffffffff));
  r.l3mdev = a.u8(FRA_L3MDEV).value_or(0) != 0;
  r.tun_id = a.be64(FRA_TUN_ID).value_or(0);
  r.flow = a.u32(FRA_FLOW).value_or(0);
  r.protocol = a.u8(FRA_PROTOCOL).value_or(0);
  if (!a.error().empty()) return fail(a.error());
  if (is_v6) return Decoded{.what = FibRule6{std::move(r)}};
  return Decoded{.what = std::move(r)};
}

}  // namespace txp
