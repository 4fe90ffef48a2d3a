// SPDX-License-Identifier: Apache-2.0
// The VXLAN header (RFC 7348), with the group policy extension (draft-smith-vxlan-group-policy).
#pragma once

#include <cstdint>
#include <optional>
#include <span>

#include "base/byteorder.h"

namespace txp {

inline constexpr std::size_t kVxlanHlen = 8;
inline constexpr std::uint32_t kVxlanHfVni = 0x08000000;  // VXLAN_HF_VNI
inline constexpr std::uint32_t kVxlanHfGbp = 0x80000000;  // VXLAN_HF_GBP
// Of a packet's mark, what the extension carries: VXLAN_GBP_*.
inline constexpr std::uint32_t kVxlanGbpDontLearn = 1U << 22;
inline constexpr std::uint32_t kVxlanGbpPolicyApplied = 1U << 19;
inline constexpr std::uint32_t kVxlanGbpIdMask = 0xffff;

struct VxlanHeader {
  std::uint32_t flags = kVxlanHfVni;
  std::uint32_t vni = 0;  // 24 bits

  // Empty unless `b` holds a header with a VNI.
  static std::optional<VxlanHeader> parse(std::span<const std::uint8_t> b) {
    if (b.size() < kVxlanHlen) return std::nullopt;
    const VxlanHeader h{load_be32(&b[0]), load_be32(&b[4]) >> 8};
    if ((h.flags & kVxlanHfVni) == 0) return std::nullopt;
    return h;
  }
  // vxlan_build_gbp_hdr(): the flags' place is the mark's.
  void set_gbp(std::uint32_t mark) {
    if (mark != 0)
      flags |=
          kVxlanHfGbp | (mark & (kVxlanGbpDontLearn | kVxlanGbpPolicyApplied | kVxlanGbpIdMask));
  }
  void emit(std::uint8_t* to) const {
    store_be32(to, flags);
    store_be32(to + 4, vni << 8);
  }
};

}  // namespace txp
