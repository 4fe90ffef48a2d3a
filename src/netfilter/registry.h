// SPDX-License-Identifier: Apache-2.0
// The kinds of expression that the engine can run, by their kernel name.
#pragma once

#include <string_view>

#include "netfilter/nft_compiler.h"

namespace txp {

// Makes one expression from NFTA_EXPR_DATA. An error says why it cannot be run.
using NftMaker = Result<void> (*)(NftCompiler&, Bytes data);

// Null: there is no such kind.
NftMaker find_nft_maker(std::string_view kind);

// One a kind.
Result<void> make_nft_bitwise(NftCompiler& c, Bytes data);
Result<void> make_nft_byteorder(NftCompiler& c, Bytes data);
Result<void> make_nft_cmp(NftCompiler& c, Bytes data);
Result<void> make_nft_counter(NftCompiler& c, Bytes data);
Result<void> make_nft_ct(NftCompiler& c, Bytes data);
Result<void> make_nft_dynset(NftCompiler& c, Bytes data);
Result<void> make_nft_exthdr(NftCompiler& c, Bytes data);
Result<void> make_nft_fib(NftCompiler& c, Bytes data);
Result<void> make_nft_hash(NftCompiler& c, Bytes data);
Result<void> make_nft_immediate(NftCompiler& c, Bytes data);
Result<void> make_nft_last(NftCompiler& c, Bytes data);
Result<void> make_nft_limit(NftCompiler& c, Bytes data);
Result<void> make_nft_log(NftCompiler& c, Bytes data);
Result<void> make_nft_lookup(NftCompiler& c, Bytes data);
Result<void> make_nft_masq(NftCompiler& c, Bytes data);
Result<void> make_nft_match(NftCompiler& c, Bytes data);
Result<void> make_nft_meta(NftCompiler& c, Bytes data);
Result<void> make_nft_nat(NftCompiler& c, Bytes data);
Result<void> make_nft_notrack(NftCompiler& c, Bytes data);
Result<void> make_nft_numgen(NftCompiler& c, Bytes data);
Result<void> make_nft_objref(NftCompiler& c, Bytes data);
Result<void> make_nft_payload(NftCompiler& c, Bytes data);
Result<void> make_nft_quota(NftCompiler& c, Bytes data);
Result<void> make_nft_range(NftCompiler& c, Bytes data);
Result<void> make_nft_redir(NftCompiler& c, Bytes data);
Result<void> make_nft_reject(NftCompiler& c, Bytes data);
Result<void> make_nft_rt(NftCompiler& c, Bytes data);
Result<void> make_nft_socket(NftCompiler& c, Bytes data);
Result<void> make_nft_target(NftCompiler& c, Bytes data);

}  // namespace txp
