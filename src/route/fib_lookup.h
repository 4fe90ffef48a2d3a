// SPDX-License-Identifier: Apache-2.0
// Lookups in the forwarding tables, and the tables as they lie in memory. Kernel twins:
// include/net/ip_fib.h, net/ipv4/fib_frontend.c, net/ipv4/fib_lookup.h.
#pragma once

#include <array>
#include <atomic>
#include <cstdint>
#include <memory>
#include <unordered_map>
#include <vector>

#include "route/fib.h"
#include "route/fib_rules.h"
#include "route/fib_semantics.h"
#include "route/fib_trie.h"

namespace txp {

// fib_table_lookup(): 0 and a result, EAGAIN when the table has no route for `fl4` (or a throw
// route), else the error of the route that matched, which `res` names.
int fib_table_lookup(Net& net, const FibTable& table, const Flow4& fl4, FibResult& res);

// What a lookup looked at, for a trace.
struct FibLookupTrace {
  const FibRule* rule = nullptr;       // the rule that decided
  std::vector<const FibRule*> passed;  // those before it, in the order they were asked
};

bool fib_rule_match(Net& net, const FibRule& rule, const Flow4& fl4);

// fib_lookup(): 0, ENETUNREACH, EHOSTUNREACH, EACCES or EINVAL. `trace` may be null.
int fib_lookup(Net& net, const Flow4& fl4, FibResult& res, FibLookupTrace* trace);

struct FibTables::Impl final : TrieGraveyard {
  explicit Impl(Net& n) : net(n) {}
  ~Impl();

  FibTable* get_table(std::uint32_t id) const;  // fib_get_table()
  FibTable& new_table(std::uint32_t id);        // fib_new_table()
  const FibInfo& info(const FibAlias& fa) const { return *infos.at(fa.fi); }

  Result<void> insert(const Route& route, bool replace);
  bool erase(const Route& route);
  // Takes out every route whose FibInfo is condemned (fib_flush()).
  template <typename Condemned>
  void flush(Condemned&& condemned);
  void flush_object(const NhSlot* slot);  // the routes of a next-hop object that is gone
  void clear();

  FibInfo* create_info(const Route& route);  // a shared one when there is one; one reference
  void put_info(FibInfo* fi);
  Route to_route(const FibTable& table, const TrieNode& node, const FibAlias& fa) const;
  void unlink(FibTable& table, std::uint32_t node, std::uint32_t prev, std::uint32_t fa);

  void bury_node(std::uint32_t node) override;
  void bury_alias(std::uint32_t alias) override;

  Net& net;
  TrieArenas arenas;
  ChunkArena<std::atomic<FibInfo*>, 10> info_slots;
  struct Infos {
    const ChunkArena<std::atomic<FibInfo*>, 10>& slots;
    FibInfo* at(std::uint32_t i) const { return slots.at(i).load(std::memory_order_acquire); }
  } infos{info_slots};
  std::unordered_multimap<std::uint64_t, FibInfo*> info_hash;
  FibInfo* last_info = nullptr;  // imports come in runs of the same
  std::size_t info_bytes = 0;

  static constexpr std::size_t kTableHash = 256;
  std::array<std::atomic<FibTable*>, kTableHash> tables{};
  std::vector<std::unique_ptr<FibTable>> owned;
  std::size_t routes = 0;
  // Counts changes of the local table, which decide whether a gateway is our own address.
  std::atomic<std::uint32_t> local_generation{1};

  struct Batch {
    Impl* impl;
    std::vector<std::uint32_t> nodes;
    std::vector<std::uint32_t> aliases;
    std::vector<FibInfo*> infos;
  };
  Batch& batch();
  static void release(void* batch);
  Batch* batch_ = nullptr;
};

// The route of a result as a plain value.
Route fib_result_route(const FibTables::Impl& fib, const FibResult& res);

}  // namespace txp
