// SPDX-License-Identifier: Apache-2.0
// fib: what an address is to this host (local, broadcast, unicast ...).
// Kernel twins: net/ipv4/netfilter/nft_fib_ipv4.c, nft_fib4_eval_type();
// net/ipv6/netfilter/nft_fib_ipv6.c, nft_fib6_eval_type(). Differs: only the type; the
// kernel forbids the other results in output and postrouting.
#include <fmt/format.h>
#include <linux/netfilter.h>
#include <linux/netfilter/nf_tables.h>
#include <algorithm>

#include "dev/netdevice.h"
#include "netfilter/registry.h"
#include "route/ip6_route.h"
#include "route/ip_route.h"
#include "wire/ipv4.h"
#include "wire/ipv6.h"

namespace txp {
namespace {

class NftFibType final : public NfExpr {
 public:
  NftFibType(std::uint8_t dreg, bool daddr, bool oif, bool mark)
      : dreg_(dreg), daddr_(daddr), oif_(oif), mark_(mark) {}
  void eval(NftRegs& regs, NftPkt& pkt) const override {
    if (pkt.pf == NFPROTO_IPV6) return eval6(regs, pkt);
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
  void eval6(NftRegs& regs, NftPkt& pkt) const {
    const Ipv6View ip(pkt.skb.network());
    Flow6 fl6;
    fl6.proto = pkt.tprot;
    fl6.daddr = daddr_ ? ip.daddr() : ip.saddr();
    fl6.saddr = daddr_ ? ip.saddr() : ip.daddr();
    if (fl6.daddr.is_linklocal() && pkt.out != nullptr) fl6.oif = pkt.out->ifindex;
    if (mark_) fl6.mark = pkt.skb.mark;
    fl6.flowlabel = ip.flowinfo();
    const auto rt = ip6_route_output(pkt.net, nullptr, fl6, 0, nullptr);
    if (!rt) return regs.unknown();
    regs.data[dreg_] = static_cast<std::uint32_t>(type6(pkt, fl6.daddr, *rt));
  }
  // ipv6_chk_addr() with `strict`: an address of that very device.
  static bool is_of(const NetDevice& dev, const Ip6& addr) {
    return std::ranges::any_of(dev.in6_dev().addrs, [&](const In6Addr& a) {
      const bool tentative = (a.flags & kIfaTentative) != 0 && (a.flags & kIfaOptimistic) == 0;
      return a.local == addr && !tentative;
    });
  }
  RouteType type6(const NftPkt& pkt, const Ip6& addr, const Rt6Info& rt) const {
    switch (rt.error) {
      case 0: break;
      case EINVAL: return RouteType::blackhole;
      case EACCES: return RouteType::prohibit;
      case EAGAIN: return RouteType::throw_;
      default: return RouteType::unreachable;
    }
    if (rt.dst.type == RouteType::anycast) return RouteType::anycast;
    if (oif_ ? is_of(*pkt.out, addr) : rt.dst.is_local) return RouteType::local;
    if (addr.is_multicast()) return RouteType::multicast;
    return addr.type().is(kIpv6AddrUnicast) ? RouteType::unicast : RouteType::unspec;
  }
  std::uint8_t dreg_;
  bool daddr_;
  bool oif_;
  bool mark_;
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
  c.emplace<NftFibType>(*dreg, (flags & NFTA_FIB_F_DADDR) != 0, (flags & NFTA_FIB_F_OIF) != 0,
                        (flags & NFTA_FIB_F_MARK) != 0);
  return {};
}

}  // namespace txp
