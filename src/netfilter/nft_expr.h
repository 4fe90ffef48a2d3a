// SPDX-License-Identifier: Apache-2.0
// What an expression of a rule is: it reads and writes registers and may end the rule.
// Kernel twin: include/net/netfilter/nf_tables.h (struct nft_regs, nft_pktinfo, nft_expr_ops).
#pragma once

#include <array>
#include <cstdint>
#include <cstring>
#include <span>
#include <string>
#include <vector>

#include "skb/skb.h"

namespace txp {

struct NetDevice;
struct NftChainCode;
struct NftRuleCode;
class NfExpr;
class Sock;

enum class NftCode : std::int32_t {
  drop = 0,
  accept = 1,
  stolen = 2,
  queue = 3,
  go_on = -1,     // NFT_CONTINUE
  no_match = -2,  // NFT_BREAK
  jump = -3,
  goto_ = -4,
  return_ = -5,
  unknown = -100,  // ours: the expression cannot be evaluated
};

struct NftVerdict {
  NftCode code = NftCode::go_on;
  const NftChainCode* chain = nullptr;  // of jump and goto
};

// 20 registers of 32 bits, as the kernel numbers them inside; the first four are the verdict's.
inline constexpr unsigned kNftRegWords = 20;
struct NftRegs {
  alignas(16) std::array<std::uint32_t, kNftRegWords> data{};
  NftVerdict verdict;

  std::uint8_t* bytes(unsigned reg) { return view() + reg * 4U; }
  const std::uint8_t* bytes(unsigned reg) const {
    const void* p = &data[reg];
    return static_cast<const std::uint8_t*>(p);
  }
  // nft_reg_store8() and its kin: the rest of the word is zero.
  void store8(unsigned reg, std::uint8_t v) { data[reg] = v; }
  void store16(unsigned reg, std::uint16_t v) { data[reg] = v; }
  void store_be16(unsigned reg, std::uint16_t v) {
    data[reg] = 0;
    std::uint8_t* p = bytes(reg);
    p[0] = static_cast<std::uint8_t>(v >> 8);
    p[1] = static_cast<std::uint8_t>(v);
  }
  void store64(unsigned reg, std::uint64_t v) { std::memcpy(bytes(reg), &v, sizeof v); }
  void store(unsigned reg, std::span<const std::uint8_t> v) {
    if (v.size() % 4 != 0) data[reg + v.size() / 4] = 0;
    std::memcpy(bytes(reg), v.data(), v.size());
  }
  void no_match() { verdict.code = NftCode::no_match; }
  void unknown() { verdict.code = NftCode::unknown; }

 private:
  std::uint8_t* view() {
    void* p = data.data();
    return static_cast<std::uint8_t*>(p);
  }
};

// A what-if: `rule` does not match, or its comparison `expr` comes out the other way.
struct NftTweak {
  const NftRuleCode* rule = nullptr;
  const NfExpr* expr = nullptr;  // null: the whole rule
  bool match = false;            // of expr
};
// A rule that was looked at, and the expression that ended it (null: it matched to its end).
struct NftVisit {
  const NftRuleCode* rule = nullptr;
  const NfExpr* ended = nullptr;
};

// The packet as a hook sees it (struct nft_pktinfo, struct nf_hook_state).
struct NftPkt {
  Net& net;
  Skb& skb;
  std::uint8_t pf = 2;       // NFPROTO_IPV4, NFPROTO_IPV6, or NFPROTO_NETDEV
  std::uint8_t hooknum = 0;  // NF_INET_* or NF_NETDEV_EGRESS
  const NetDevice* in = nullptr;
  const NetDevice* out = nullptr;
  // nft_set_pktinfo_ipv4().
  bool l4proto = false;
  std::uint8_t tprot = 0;
  std::uint16_t fragoff = 0;
  std::uint32_t thoff = 0;          // from skb.data
  bool dry = false;                 // a question of explain's: no state moves, nothing is sent
  std::string* note = nullptr;      // what an expression wants told; set while tracing
  const NftTweak* tweak = nullptr;  // of a dry run: what is to be otherwise
  std::vector<NftVisit>* visits = nullptr;  // of a dry run: the rules that were looked at

  std::uint32_t network_offset() const {
    return static_cast<std::uint32_t>(skb.network() - skb.data);
  }
};

// What an expression's effect rests on, beyond constants.
enum class NftDepends : std::uint8_t {
  flow,    // on addresses, ports, protocol, marks, socket and devices: equal for a flow's packets
  packet,  // on this packet: length, payload, id
  state,   // on what came before, on time or on chance
};

// The kinds that the evaluator runs itself, without a virtual call (nft_*_fast_ops).
enum class NftFast : std::uint8_t { none, cmp32, payload, bitwise32, verdict, counter };

class NfExpr {
 public:
  virtual ~NfExpr() = default;
  virtual void eval(NftRegs& regs, NftPkt& pkt) const = 0;
  virtual NftDepends depends() const = 0;
  // The expression as libnftnl prints it; after eval(), with the values it met.
  virtual std::string words(const NftRegs& regs) const = 0;

  const NfExpr* next = nullptr;
  NftFast fast = NftFast::none;
  bool ipv4_only = false;  // of an IPv6 packet it knows nothing: unknown
  bool compares = false;   // ends the rule when something does not hold, and does nothing else
};

// skb_copy_bits() and skb_store_bits(): `offset` from skb.data, over frag_list. False: outside.
bool skb_copy_bits(const Skb& skb, std::uint32_t offset, std::span<std::uint8_t> to);
bool skb_store_bits(Skb& skb, std::uint32_t offset, std::span<const std::uint8_t> from);

// "0x0a4d0001" for words in tests and --detailed.
std::string nft_hex(std::span<const std::uint8_t> bytes);

}  // namespace txp
