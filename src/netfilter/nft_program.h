// SPDX-License-Identifier: Apache-2.0
// A ruleset ready to run: rules and expressions one after the other in memory, sets as tables.
// Kernel twin: include/net/netfilter/nf_tables.h (struct nft_rule_blob, nft_chain, nft_set).
//
// Immutable, but for the state that expressions keep (counters, limits, dynamic sets), which moves
// on into the next program when the ruleset changes.
#pragma once

#include <cstddef>
#include <map>
#include <memory>
#include <new>
#include <string>
#include <vector>

#include "netfilter/nft_expr.h"
#include "netfilter/nft_spec.h"
#include "observe/trace.h"

namespace txp {

class NftSet;
class NftCounter;

// What a rule is to people.
struct NftRuleInfo {
  NamedObject object;  // kind "nft-rule"
};

struct NftRuleCode {
  const NfExpr* first = nullptr;
  const NftRuleCode* next = nullptr;
  const NftRuleInfo* info = nullptr;
};

struct NftChainCode {
  const NftRuleCode* first = nullptr;
  std::string name;
  bool loops = false;               // a chain that comes back to itself: no kernel has one
  std::vector<NftChainCode*> next;  // where it jumps and goes
};

// A chain on a hook.
struct NftBaseChain {
  NftChain spec;
  const NftChainCode* code = nullptr;
  NamedObject object;     // kind "nft-chain"
  bool flow_only = true;  // no rule that it can reach looks beyond the flow
};

// State that an expression keeps between packets.
struct NftState {
  virtual ~NftState() = default;
};
struct NftStateKey {
  std::string scope;  // rule, element or object, with its table's handle
  unsigned index = 0;
  friend auto operator<=>(const NftStateKey&, const NftStateKey&) = default;
};

struct NftObject {
  NftObjectSpec spec;
  const NfExpr* first = nullptr;  // what it does to a packet; null: nothing that can be evaluated
};

// Memory for code: bump-allocated, so that what is run one after the other lies so.
class NftArena {
 public:
  NftArena() = default;
  ~NftArena();
  NftArena(const NftArena&) = delete;
  NftArena& operator=(const NftArena&) = delete;

  template <typename T, typename... Args>
  T& make(Args&&... args) {
    T* made = new (room(sizeof(T), alignof(T))) T(std::forward<Args>(args)...);
    if constexpr (!std::is_trivially_destructible_v<T>)
      ends_.push_back({made, [](void* p) { static_cast<T*>(p)->~T(); }});
    return *made;
  }

 private:
  void* room(std::size_t size, std::size_t align);
  struct End {
    void* object;
    void (*destroy)(void*);
  };
  std::vector<std::unique_ptr<std::byte[]>> blocks_;
  std::size_t used_ = 0;
  std::size_t size_ = 0;
  std::vector<End> ends_;
};

// Where a counter stands, for those who show it.
struct NftCounterPlace {
  // "inet filter output rule 7", "inet filter counter web", "inet filter set hosts" (one of its
  // elements).
  std::string name;
  const NftCounter* counter = nullptr;
};

struct NftProgram {
  NftArena arena;
  std::vector<NftTable> tables;
  std::map<std::string, NftChainCode*> chains;  // "inet filter output"
  std::map<std::string, std::unique_ptr<NftSet>> sets;
  std::map<std::string, NftObject> objects;  // "inet filter web 1", the number its type
  std::vector<std::unique_ptr<NftBaseChain>> base_chains;
  std::vector<NftCounterPlace> counters;
  std::map<NftStateKey, std::shared_ptr<NftState>> states;
  bool tracks_ipv4 = false;  // those packets pass connection tracking
  bool tracks_ipv6 = false;

  NftProgram();
  ~NftProgram();
};

// Compiles `ruleset`. State of expressions that `old` (may be null) had too goes on.
std::shared_ptr<const NftProgram> nft_compile(Net& net, const NftRuleset& ruleset,
                                              const NftProgram* old);

// nft_set_pktinfo_ipv4(); on a device's egress nft_set_pktinfo_ipv4_validate().
void nft_set_pktinfo(NftPkt& pkt);

// nft_do_chain(): what becomes of a packet at a base chain.
struct NftResult {
  NftCode code = NftCode::accept;  // accept, drop or unknown
  int error = 0;                   // of a drop: the errno; 0: EPERM
};
NftResult nft_do_chain(NftPkt& pkt, const NftBaseChain& chain);
// The same with what the chain's type adds: one of type route finds a new route when the packet's
// addresses, mark or tos changed.
NftResult nft_do_base_chain(NftPkt& pkt, const NftBaseChain& chain);
// A new route for a packet whose addresses, mark or tos changed: 0, an errno, or kUnknown.
int ip_route_me_harder(NftPkt& pkt);
int ip6_route_me_harder(NftPkt& pkt);

}  // namespace txp
