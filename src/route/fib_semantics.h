// SPDX-License-Identifier: Apache-2.0
// What routes share: next hops, metrics, preferred source. Kernel twins: include/net/ip_fib.h
// (struct fib_info, struct fib_nh), net/ipv4/fib_semantics.c.
#pragma once

#include <atomic>
#include <cstdint>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "observe/trace.h"
#include "route/fib_trie.h"
#include "route/route.h"

namespace txp {

class Net;
struct NetDevice;
struct NhObject;
struct NhSlot;

// struct fib_nh. Immutable but for what is atomic.
struct FibNh {
  struct Rare {
    std::string gateway6;
    std::string encap;
    std::uint32_t tclassid = 0;
    friend bool operator==(const Rare&, const Rare&) = default;
  };
  int oif = 0;
  Ip4 gateway;
  std::uint16_t weight = 1;
  std::uint8_t scope = 0;              // as given; kScopeUniverse: not told
  std::atomic<std::uint8_t> flags{0};  // kNhf*
  // FibTables' local generation << 8 | the scope found then, for a gateway with no scope given.
  mutable std::atomic<std::uint64_t> found_scope{0};
  std::unique_ptr<const Rare> rare;

  FibNh() = default;
  void assign(const NextHop& nh);
  NextHop spec() const;
  bool same(const NextHop& nh) const;  // nh_comp(): all but kNhfDead and kNhfLinkdown
  bool has_gateway() const { return gateway.host != 0 || gateway_is_v6(); }
  bool gateway_is_v6() const { return rare && !rare->gateway6.empty(); }
  bool has_encap() const { return rare && !rare->encap.empty(); }
};

// struct fib_info: shared by every route that says the same.
struct FibInfo {
  std::uint32_t refs = 0;  // aliases; under rtnl
  std::uint32_t index = 0;
  Ip4 prefsrc;
  std::uint32_t priority = 0;
  std::uint8_t protocol = 0;
  std::uint8_t scope = 0;
  RouteType type = RouteType::unspec;
  std::atomic<bool> dead{false};  // fib_dead: its next-hop object went away
  NhSlot* nh = nullptr;           // a next-hop object instead of `nhs`
  std::uint32_t nhid = 0;
  std::uint32_t nh_count = 0;
  std::unique_ptr<FibNh[]> nhs;
  std::unique_ptr<const RouteMetrics> metrics;

  std::span<const FibNh> hops() const { return {nhs.get(), nh_count}; }
  std::uint32_t metric(std::size_t rtax) const { return metrics ? metrics->value[rtax] : 0; }
  bool metric_locked(std::size_t rtax) const {
    return metrics && ((metrics->lock >> rtax) & 1U) != 0;
  }
};

struct FibTable {
  FibTable(std::uint32_t table_id, TrieArenas& arenas, TrieGraveyard& graveyard)
      : id(table_id), trie(arenas, graveyard) {}
  const std::uint32_t id;
  FibTrie trie;
  std::atomic<std::uint32_t> num_default{0};  // tb_num_default: routes of length 0
  FibTable* hash_next = nullptr;
};

// struct fib_result: a route and one of its next hops.
struct FibResult {
  const FibTable* table = nullptr;
  const FibInfo* fi = nullptr;
  const FibNh* nh = nullptr;
  const NhObject* object = nullptr;         // the next-hop object that the route names
  const NhObject* object_member = nullptr;  // the member chosen from a group
  std::uint32_t node = 0;                   // in table->trie
  std::uint32_t alias = 0;
  Ip4 prefix;
  std::uint8_t prefixlen = 0;
  RouteType type = RouteType::unspec;
  std::uint8_t scope = 0;
};

// fib_info_num_path().
unsigned fib_info_num_path(const FibResult& res);
// fib_info_nhc(): hop number `i` of the result's route, or null.
const FibNh* fib_info_nhc(const FibResult& res, std::size_t i);
// nhc_scope: whether the gateway is used (kScopeLink) or is one of our own addresses.
std::uint8_t fib_nh_scope(Net& net, const FibNh& nh);
// The gateway that names the next hop among exceptions: its own when it is on link, or none.
Ip4 fib_nh_gateway(Net& net, const FibNh& nh);
// fib_result_prefsrc(). `from`, when not null, gets the address that gave it, if any did.
Ip4 fib_result_prefsrc(Net& net, const FibResult& res);

// fib_select_path() without its last part, the source address. False: the choice hangs on what
// only the kernel knows (its random hash seed); `why` says so when not null.
[[nodiscard]] bool fib_select_path(Net& net, FibResult& res, const Flow4& fl4,
                                   std::optional<NamedObject>* why);
// False when the choice between equal default routes hangs on the kernel's own memory.
[[nodiscard]] bool fib_select_default(Net& net, FibResult& res, const Flow4& fl4);

// fib_dscp_masked_match(): a route's tos (or a rule's, when it is not a whole DSCP) against a flow,
// whose upper three bits do not count.
constexpr bool fib_dscp_masked_match(std::uint8_t tos, const Flow4& fl4) {
  return tos == (fl4.tos & 0x1c);
}

}  // namespace txp
