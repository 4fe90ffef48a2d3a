// SPDX-License-Identifier: Apache-2.0
// rt: the packet's route.
// Kernel twin: net/netfilter/nft_rt.c. Differs: the realm, the TCP segment size and IPsec are
// unknown.
#include <fmt/format.h>
#include <linux/netfilter/nf_tables.h>

#include "base/byteorder.h"
#include "netfilter/registry.h"
#include "wire/ipv4.h"

namespace txp {
namespace {

class NftRtNexthop final : public NfExpr {
 public:
  explicit NftRtNexthop(std::uint8_t dreg) : dreg_(dreg) {}
  void eval(NftRegs& regs, NftPkt& pkt) const override {
    const Rtable& rt = pkt.skb.rt;
    if (rt.gateway_is_v6) return regs.unknown();
    const Ip4 to = rt.gateway.is_zero() ? Ipv4View(pkt.skb.network()).daddr() : rt.gateway;
    std::array<std::uint8_t, 4> bytes{};
    store_be32(bytes.data(), to.host);
    regs.store(dreg_, bytes);
  }
  NftDepends depends() const override { return NftDepends::flow; }
  std::string words(const NftRegs& regs) const override {
    return fmt::format("rt load nexthop: {}", nft_hex({regs.bytes(dreg_), 4}));
  }

 private:
  std::uint8_t dreg_;
};

}  // namespace

Result<void> make_nft_rt(NftCompiler& c, Bytes data) {
  Attrs<NFTA_RT_MAX> a(data, "rt");
  if (a.be32(NFTA_RT_KEY) != NFT_RT_NEXTHOP4) return fail("rt: only nexthop is implemented");
  const auto dreg = nft_register(a.be32(NFTA_RT_DREG), 4);
  if (!dreg) return std::unexpected(dreg.error());
  c.emplace<NftRtNexthop>(*dreg);
  return {};
}

}  // namespace txp
