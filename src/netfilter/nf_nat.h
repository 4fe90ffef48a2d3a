// SPDX-License-Identifier: Apache-2.0
// Network address translation. Kernel twin: include/net/netfilter/nf_nat.h.
#pragma once

#include "netfilter/nft_expr.h"
#include "wire/ip6.h"

namespace txp {

enum class NfManip : std::uint8_t { src, dst };

// struct nf_nat_range2. Flags are NF_NAT_RANGE_*.
struct NfNatRange {
  std::uint32_t flags = 0;
  Ip6 low;  // as NfTuple has them
  Ip6 high;
  std::uint16_t port_low = 0;
  std::uint16_t port_high = 0;
};

// nf_nat_setup_info(): chooses the connection's translation. Answers accept or drop.
NftCode nf_nat_setup_info(NftPkt& pkt, const NfNatRange& range, NfManip manip);
// nf_nat_initialized().
bool nf_nat_initialized(const Skb& skb, NfManip manip);
// nf_nat_alloc_null_binding(): the connection keeps its addresses.
void nf_nat_null_binding(NftPkt& pkt, NfManip manip);
// nf_nat_packet(): rewrites the packet as its connection says. False: it cannot be written.
bool nf_nat_packet(NftPkt& pkt, NfManip manip);
// Rewrites an ICMP error about a connection, and what it quotes. False: it is cut short.
bool nf_nat_icmp_reply_translation(NftPkt& pkt, NfManip manip);

}  // namespace txp
