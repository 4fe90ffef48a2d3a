// SPDX-License-Identifier: Apache-2.0
// socket: what the sending socket is.
// Kernel twin: net/netfilter/nft_socket.c. Differs: cgroups are unknown.
#include <fmt/format.h>
#include <linux/netfilter.h>
#include <linux/netfilter/nf_tables.h>

#include "netfilter/registry.h"
#include "socket/inet6_sock.h"

namespace txp {
namespace {

class NftSocket final : public NfExpr {
 public:
  NftSocket(std::uint32_t key, std::uint8_t dreg) : key_(key), dreg_(dreg) {}
  void eval(NftRegs& regs, NftPkt& pkt) const override {
    const Sock* sk = pkt.skb.sk;
    if (sk == nullptr) return regs.no_match();
    switch (key_) {
      case NFT_SOCKET_TRANSPARENT: regs.store8(dreg_, sk->transparent ? 1 : 0); return;
      case NFT_SOCKET_MARK: regs.data[dreg_] = sk->mark; return;
      default: {
        const bool any =
            pkt.pf == NFPROTO_IPV6 ? sk->inet6->rcv_saddr.is_any() : sk->inet_rcv_saddr.is_zero();
        regs.store8(dreg_, any ? 1 : 0);
        return;
      }
    }
  }
  NftDepends depends() const override { return NftDepends::flow; }
  std::string words(const NftRegs& regs) const override {
    static constexpr std::array kNames{"transparent", "mark", "wildcard"};
    return fmt::format("socket load {}: {:#x}", kNames[key_], regs.data[dreg_]);
  }

 private:
  std::uint32_t key_;
  std::uint8_t dreg_;
};

}  // namespace

Result<void> make_nft_socket(NftCompiler& c, Bytes data) {
  Attrs<NFTA_SOCKET_MAX> a(data, "socket");
  const std::uint32_t key = a.be32(NFTA_SOCKET_KEY).value_or(99);
  if (key > NFT_SOCKET_WILDCARD) return fail("socket: cgroups are not implemented");
  const auto dreg = nft_register(a.be32(NFTA_SOCKET_DREG), 4);
  if (!dreg) return std::unexpected(dreg.error());
  c.emplace<NftSocket>(key, *dreg);
  return {};
}

}  // namespace txp
