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
    {"bitwise", make_nft_bitwise}, {"byteorder", make_nft_byteorder},
    {"cmp", make_nft_cmp},         {"counter", make_nft_counter},
    {"ct", make_nft_ct},           {"dynset", make_nft_dynset},
    {"exthdr", make_nft_exthdr},   {"fib", make_nft_fib},
    {"hash", make_nft_hash},       {"immediate", make_nft_immediate},
    {"last", make_nft_last},       {"limit", make_nft_limit},
    {"log", make_nft_log},         {"lookup", make_nft_lookup},
    {"masq", make_nft_masq},       {"match", make_nft_match},
    {"meta", make_nft_meta},       {"nat", make_nft_nat},
    {"notrack", make_nft_notrack}, {"numgen", make_nft_numgen},
    {"objref", make_nft_objref},   {"payload", make_nft_payload},
    {"quota", make_nft_quota},     {"range", make_nft_range},
    {"redir", make_nft_redir},     {"reject", make_nft_reject},
    {"rt", make_nft_rt},           {"socket", make_nft_socket},
    {"target", make_nft_target},
});

}  // namespace

NftMaker find_nft_maker(std::string_view kind) {
  const auto* found = std::ranges::find(kNftKinds, kind, &NftKind::name);
  return found == kNftKinds.end() ? nullptr : found->make;
}

}  // namespace txp
