// SPDX-License-Identifier: Apache-2.0
// numgen: a number in turn, or at random.
// Kernel twin: net/netfilter/nft_numgen.c. Differs: the kernel does not tell where its turn is;
// ours begins as a new rule's. A report says unknown instead of throwing dice (NfHooks::chance).
#include <atomic>

#include <fmt/format.h>
#include <linux/netfilter/nf_tables.h>

#include "net.h"
#include "netfilter/nf_hook.h"
#include "netfilter/registry.h"

namespace txp {
namespace {

struct NftTurn : NftState {
  explicit NftTurn(std::uint32_t first) : number(first) {}
  std::atomic<std::uint32_t> number;
};

class NftNumgen final : public NfExpr {
 public:
  NftNumgen(std::shared_ptr<NftTurn> turn, std::uint8_t dreg, std::uint32_t modulus,
            std::uint32_t offset)
      : turn_(std::move(turn)), dreg_(dreg), modulus_(modulus), offset_(offset) {}
  void eval(NftRegs& regs, NftPkt& pkt) const override {
    if (!pkt.net.nf->chance) {
      if (pkt.note != nullptr) *pkt.note = "numgen: the number is not known";
      return regs.unknown();
    }
    std::uint32_t n = 0;
    if (turn_) {
      std::uint32_t old = turn_->number.load();
      do {
        n = old + 1 < modulus_ ? old + 1 : 0;
      } while (!pkt.dry && !turn_->number.compare_exchange_weak(old, n));
    } else {
      n = static_cast<std::uint32_t>((std::uint64_t{pkt.net.random.u32()} * modulus_) >> 32);
    }
    regs.data[dreg_] = n + offset_;
  }
  NftDepends depends() const override { return NftDepends::state; }
  std::string words(const NftRegs& regs) const override {
    return fmt::format("numgen {} mod {} offset {}: {}", turn_ ? "inc" : "random", modulus_,
                       offset_, regs.data[dreg_]);
  }

 private:
  std::shared_ptr<NftTurn> turn_;  // null: at random
  std::uint8_t dreg_;
  std::uint32_t modulus_;
  std::uint32_t offset_;
};

}  // namespace

Result<void> make_nft_numgen(NftCompiler& c, Bytes data) {
  Attrs<NFTA_NG_MAX> a(data, "numgen");
  const std::uint32_t modulus = a.be32(NFTA_NG_MODULUS).value_or(0);
  const std::uint32_t type = a.be32(NFTA_NG_TYPE).value_or(99);
  const auto dreg = nft_register(a.be32(NFTA_NG_DREG), 4);
  if (!dreg) return std::unexpected(dreg.error());
  if (modulus == 0 || type > NFT_NG_RANDOM) return fail("numgen: no such kind");
  std::shared_ptr<NftTurn> turn;
  if (type == NFT_NG_INCREMENTAL) turn = c.state<NftTurn>(modulus - 1);
  c.emplace<NftNumgen>(turn, *dreg, modulus, a.be32(NFTA_NG_OFFSET).value_or(0));
  return {};
}

}  // namespace txp
