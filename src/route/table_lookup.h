// SPDX-License-Identifier: Apache-2.0
// The pieces of fib_table_lookup(). Kernel twin: net/ipv4/fib_trie.c.
#pragma once

#include <cstdint>

#include "route/fib_semantics.h"

namespace txp {

// Whether a hop may serve `fl4`: alive, its link up where that counts, its device the one asked.
bool fib_lookup_good_nhc(Net& net, const FibNh& nh, const Flow4& fl4);
// The routes of one prefix: 0, EAGAIN (go on with a shorter one; with res.type throw: do not), or
// the error of the route that matched.
int fib_leaf_lookup(Net& net, const FibTable& table, std::uint32_t node, const Flow4& fl4,
                    FibResult& res);
// Both tables as one trie, as they are in a namespace whose rules were never touched
// (fib_trie_table() with an alias): the longest prefix of either; at equal length local goes first.
int fib_merged_lookup(Net& net, const FibTable* local, const FibTable* main, const Flow4& fl4,
                      FibResult& res);

}  // namespace txp
