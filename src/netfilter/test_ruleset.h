// SPDX-License-Identifier: Apache-2.0
// Rules written as the kernel sends them, for tests and benchmarks.
#pragma once

#include <cstdint>
#include <string>
#include <utility>
#include <vector>

#include <linux/netfilter.h>
#include <linux/netfilter/nf_tables.h>

namespace txp::nft_test {

// A list of attributes under construction.
class Attributes {
 public:
  Attributes& bytes(std::uint16_t type, std::vector<std::uint8_t> v) {
    const auto len = static_cast<std::uint16_t>(4 + v.size());
    raw_.push_back(static_cast<std::uint8_t>(len));
    raw_.push_back(static_cast<std::uint8_t>(len >> 8));
    raw_.push_back(static_cast<std::uint8_t>(type));
    raw_.push_back(static_cast<std::uint8_t>(type >> 8));
    raw_.insert(raw_.end(), v.begin(), v.end());
    raw_.resize((raw_.size() + 3) & ~std::size_t{3});
    return *this;
  }
  Attributes& be32(std::uint16_t type, std::uint32_t v) {
    return bytes(type, {static_cast<std::uint8_t>(v >> 24), static_cast<std::uint8_t>(v >> 16),
                        static_cast<std::uint8_t>(v >> 8), static_cast<std::uint8_t>(v)});
  }
  Attributes& be64(std::uint16_t type, std::uint64_t v) {
    std::vector<std::uint8_t> b(8);
    for (unsigned i = 0; i < 8; ++i) b[7 - i] = static_cast<std::uint8_t>(v >> (8 * i));
    return bytes(type, b);
  }
  Attributes& text(std::uint16_t type, const std::string& s) {
    std::vector<std::uint8_t> b(s.begin(), s.end());
    b.push_back(0);
    return bytes(type, b);
  }
  Attributes& nest(std::uint16_t type, const Attributes& inner) { return bytes(type, inner.raw_); }
  const std::vector<std::uint8_t>& raw() const { return raw_; }

 private:
  std::vector<std::uint8_t> raw_;
};

inline void expression(Attributes& list, const std::string& kind, const Attributes& data) {
  list.nest(NFTA_LIST_ELEM, Attributes().text(NFTA_EXPR_NAME, kind).nest(NFTA_EXPR_DATA, data));
}
inline Attributes value(std::vector<std::uint8_t> v) {
  return Attributes().bytes(NFTA_DATA_VALUE, std::move(v));
}
inline void verdict(Attributes& list, std::int32_t code, const std::string& chain = "") {
  Attributes v;
  v.be32(NFTA_VERDICT_CODE, static_cast<std::uint32_t>(code));
  if (!chain.empty()) v.text(NFTA_VERDICT_CHAIN, chain);
  expression(list, "immediate",
             Attributes()
                 .be32(NFTA_IMMEDIATE_DREG, NFT_REG_VERDICT)
                 .nest(NFTA_IMMEDIATE_DATA, Attributes().nest(NFTA_DATA_VERDICT, v)));
}
inline void dport(Attributes& list, std::uint16_t port) {
  expression(list, "payload",
             Attributes()
                 .be32(NFTA_PAYLOAD_DREG, NFT_REG_1)
                 .be32(NFTA_PAYLOAD_BASE, NFT_PAYLOAD_TRANSPORT_HEADER)
                 .be32(NFTA_PAYLOAD_OFFSET, 2)
                 .be32(NFTA_PAYLOAD_LEN, 2));
  expression(list, "cmp",
             Attributes()
                 .be32(NFTA_CMP_SREG, NFT_REG_1)
                 .be32(NFTA_CMP_OP, NFT_CMP_EQ)
                 .nest(NFTA_CMP_DATA, value({static_cast<std::uint8_t>(port >> 8),
                                             static_cast<std::uint8_t>(port)})));
}
inline void counter(Attributes& list) {
  expression(list, "counter",
             Attributes().be64(NFTA_COUNTER_BYTES, 0).be64(NFTA_COUNTER_PACKETS, 0));
}

}  // namespace txp::nft_test
