// SPDX-License-Identifier: Apache-2.0
// byteorder: numbers in a register from network to host order, or back.
// Kernel twin: net/netfilter/nft_byteorder.c. Differs: nothing (an element of 2 or 8 bytes is one
// number only, as in the kernel since 6.7).
#include <bit>

#include <fmt/format.h>
#include <linux/netfilter/nf_tables.h>

#include "netfilter/registry.h"

namespace txp {
namespace {

class NftByteorder final : public NfExpr {
 public:
  NftByteorder(std::uint8_t sreg, std::uint8_t dreg, std::uint8_t size)
      : sreg_(sreg), dreg_(dreg), size_(size) {}
  void eval(NftRegs& regs, NftPkt&) const override {
    // Both directions swap on a little-endian machine and do nothing on the other kind.
    constexpr bool kSwap = std::endian::native == std::endian::little;
    if (size_ == 8) {
      std::uint64_t v = 0;
      std::memcpy(&v, regs.bytes(sreg_), sizeof v);
      regs.store64(dreg_, kSwap ? std::byteswap(v) : v);
    } else if (size_ == 4) {
      regs.data[dreg_] = kSwap ? std::byteswap(regs.data[sreg_]) : regs.data[sreg_];
    } else {
      std::uint16_t v = 0;
      std::memcpy(&v, regs.bytes(sreg_), sizeof v);
      v = kSwap ? std::byteswap(v) : v;
      regs.data[dreg_] = 0;
      regs.store(dreg_, std::bit_cast<std::array<std::uint8_t, 2>>(v));
    }
  }
  NftDepends depends() const override { return NftDepends::flow; }
  std::string words(const NftRegs& regs) const override {
    return fmt::format("byteorder: {}", nft_hex({regs.bytes(dreg_), size_}));
  }

 private:
  std::uint8_t sreg_;
  std::uint8_t dreg_;
  std::uint8_t size_;
};

}  // namespace

Result<void> make_nft_byteorder(NftCompiler& c, Bytes data) {
  Attrs<NFTA_BYTEORDER_MAX> a(data, "byteorder");
  const std::uint32_t size = a.be32(NFTA_BYTEORDER_SIZE).value_or(0);
  const std::uint32_t len = a.be32(NFTA_BYTEORDER_LEN).value_or(0);
  const std::uint32_t op = a.be32(NFTA_BYTEORDER_OP).value_or(99);
  if ((size != 2 && size != 4 && size != 8) || op > NFT_BYTEORDER_HTON)
    return fail("byteorder: no such operation");
  if (len != size) return fail("byteorder: several numbers at once");
  const auto sreg = nft_register(a.be32(NFTA_BYTEORDER_SREG), size);
  const auto dreg = nft_register(a.be32(NFTA_BYTEORDER_DREG), size);
  if (!sreg) return std::unexpected(sreg.error());
  if (!dreg) return std::unexpected(dreg.error());
  c.emplace<NftByteorder>(*sreg, *dreg, static_cast<std::uint8_t>(size));
  return {};
}

}  // namespace txp
