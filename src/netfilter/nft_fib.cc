// SPDX-License-Identifier: Apache-2.0
// fib: what an address is to this host (local, broadcast, unicast ...).
// Kernel twin: net/ipv4/netfilter/nft_fib_ipv4.c, nft_fib4_eval_type(). Differs: only the type; the
// kernel forbids the other results in output and postrouting.
#include <fmt/format.h>
#include <linux/netfilter/nf_tables.h>

#include "netfilter/registry.h"
#include "route/ip_route.h"
#include "wire/ipv4.h"

namespace txp {
namespace {

class NftFibType final : public NfExpr {
 public:
  NftFibType(std::uint8_t dreg, bool daddr, bool oif) : dreg_(dreg), daddr_(daddr), oif_(oif) {}
  void eval(NftRegs& regs, NftPkt& pkt) const override {
    const Ipv4View ip(pkt.skb.network());
    const Ip4 addr = daddr_ ? ip.daddr() : ip.saddr();
    const RouteType type =
        oif_ ? inet_dev_addr_type(pkt.net, pkt.out, addr) : inet_addr_type(pkt.net, addr);
    regs.data[dreg_] = static_cast<std::uint32_t>(type);
  }
  NftDepends depends() const override { return NftDepends::flow; }
  std::string words(const NftRegs& regs) const override {
    return fmt::format("fib {}{} type: {}", daddr_ ? "daddr" : "saddr", oif_ ? " . oif" : "",
                       regs.data[dreg_]);
  }

 private:
  std::uint8_t dreg_;
  bool daddr_;
  bool oif_;
};

}  // namespace

Result<void> make_nft_fib(NftCompiler& c, Bytes data) {
  Attrs<NFTA_FIB_MAX> a(data, "fib");
  const std::uint32_t flags = a.be32(NFTA_FIB_FLAGS).value_or(0);
  if (a.be32(NFTA_FIB_RESULT) != NFT_FIB_RESULT_ADDRTYPE)
    return fail("fib: only the type of an address is implemented");
  if ((flags & NFTA_FIB_F_IIF) != 0) return fail("fib: nothing came in by an interface");
  const auto dreg = nft_register(a.be32(NFTA_FIB_DREG), 4);
  if (!dreg) return std::unexpected(dreg.error());
  c.emplace<NftFibType>(*dreg, (flags & NFTA_FIB_F_DADDR) != 0, (flags & NFTA_FIB_F_OIF) != 0);
  return {};
}

}  // namespace txp
