// SPDX-License-Identifier: Apache-2.0
// rt: the packet's route.
// Kernel twin: net/netfilter/nft_rt.c. Differs: the realm, the TCP segment size and IPsec are
// unknown.
#include <fmt/format.h>
#include <linux/netfilter.h>
#include <linux/netfilter/nf_tables.h>

#include "base/byteorder.h"
#include "netfilter/registry.h"
#include "wire/ipv4.h"
#include "wire/ipv6.h"

namespace txp {
namespace {

class NftRtNexthop final : public NfExpr {
 public:
  NftRtNexthop(std::uint8_t dreg, std::uint8_t len) : dreg_(dreg), len_(len) {}
  void eval(NftRegs& regs, NftPkt& pkt) const override {
    const Rtable& rt = pkt.skb.rt;
    const bool ipv6 = pkt.pf == NFPROTO_IPV6;
    if (ipv6 != (len_ == 16)) return regs.no_match();
    if (ipv6) {
      const Ip6& gateway = pkt.skb.gateway6;
      const Ip6 next = gateway.is_any() ? Ipv6View(pkt.skb.network()).daddr() : gateway;
      std::array<std::uint8_t, 16> six{};
      next.store(six.data());
      return regs.store(dreg_, six);
    }
    if (rt.gateway_is_v6) return regs.unknown();
    const Ip4 to = rt.gateway.is_zero() ? Ipv4View(pkt.skb.network()).daddr() : rt.gateway;
    std::array<std::uint8_t, 4> bytes{};
    store_be32(bytes.data(), to.host);
    regs.store(dreg_, bytes);
  }
  NftDepends depends() const override { return NftDepends::flow; }
  std::string words(const NftRegs& regs) const override {
    return fmt::format("rt load nexthop: {}", nft_hex({regs.bytes(dreg_), len_}));
  }

 private:
  std::uint8_t dreg_;
  std::uint8_t len_;  // bytes of an address
};

}  // namespace

Result<void> make_nft_rt(NftCompiler& c, Bytes data) {
  Attrs<NFTA_RT_MAX> a(data, "rt");
  const auto key = a.be32(NFTA_RT_KEY);
  if (key != NFT_RT_NEXTHOP4 && key != NFT_RT_NEXTHOP6)
    return fail("rt: only nexthop is implemented");
  const std::uint8_t len = key == NFT_RT_NEXTHOP6 ? 16 : 4;
  const auto dreg = nft_register(a.be32(NFTA_RT_DREG), len);
  if (!dreg) return std::unexpected(dreg.error());
  c.emplace<NftRtNexthop>(*dreg, len);
  return {};
}

}  // namespace txp
