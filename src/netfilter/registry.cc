// SPDX-License-Identifier: Apache-2.0
#include "netfilter/registry.h"

#include <algorithm>
#include <array>

namespace txp {
namespace {

struct NftKind {
  std::string_view name;
  NftMaker make;
};

constexpr auto kNftKinds = std::to_array<NftKind>({
    {"bitwise", make_nft_bitwise},
    {"byteorder", make_nft_byteorder},
    {"cmp", make_nft_cmp},
    {"counter", make_nft_counter},
    {"immediate", make_nft_immediate},
    {"last", make_nft_last},
    {"lookup", make_nft_lookup},
    {"meta", make_nft_meta},
    {"payload", make_nft_payload},
    {"range", make_nft_range},
});

}  // namespace

NftMaker find_nft_maker(std::string_view kind) {
  const auto* found = std::ranges::find(kNftKinds, kind, &NftKind::name);
  return found == kNftKinds.end() ? nullptr : found->make;
}

}  // namespace txp
