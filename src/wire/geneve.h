// SPDX-License-Identifier: Apache-2.0
// The GENEVE header (RFC 8926), without options.
#pragma once

#include <cstdint>

#include "base/byteorder.h"
#include "wire/gre.h"

namespace txp {

inline constexpr std::size_t kGeneveHlen = 8;

struct GeneveHeader {
  std::uint32_t vni = 0;  // 24 bits
  std::uint16_t proto = kEthPTeb;

  void emit(std::uint8_t* to) const {
    store_be32(to, proto);  // version 0, no options, no flags
    store_be32(to + 4, vni << 8);
  }
};

}  // namespace txp
