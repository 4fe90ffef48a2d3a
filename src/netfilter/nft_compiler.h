// SPDX-License-Identifier: Apache-2.0
// From a ruleset's description to code: what an expression's maker may ask for.
#pragma once

#include <map>
#include <memory>
#include <set>
#include <string_view>
#include <utility>

#include "base/result.h"
#include "mirror/attrs.h"
#include "netfilter/nft_program.h"

namespace txp {

struct NftElem;

// Registers out of a message: the kernel's number, checked, as an index into NftRegs::data.
[[nodiscard]] Result<std::uint8_t> nft_register(std::optional<std::uint32_t> number,
                                                std::size_t len);

// NFTA_DATA_VALUE of a nested NFTA_*_DATA; 1 to 64 bytes.
[[nodiscard]] Result<Bytes> nft_data_value(std::optional<Bytes> nested);

class NftCompiler {
 public:
  NftCompiler(Net& net, NftProgram& program, const NftProgram* old)
      : net_(net), program_(program), old_(old) {}

  void compile(const NftRuleset& ruleset);

  // For makers (registry.h).
  // An expression at the end of the list in hand.
  template <typename T, typename... Args>
  T& emplace(Args&&... args) {
    T& made = program_.arena.make<T>(std::forward<Args>(args)...);
    made.ipv4_only = ipv4_only_;
    *tail_ = &made;
    tail_ = &made.next;
    return made;
  }
  // State that outlives a change of the ruleset: the old program's, for the same expression of the
  // same rule (or element, or object), else a new one.
  template <typename T, typename... Args>
  std::shared_ptr<T> state(Args&&... args) {
    const NftStateKey key{scope_, index_};
    std::shared_ptr<T> mine;
    if (old_ != nullptr)
      if (const auto found = old_->states.find(key); found != old_->states.end())
        mine = std::dynamic_pointer_cast<T>(found->second);
    if (!mine) mine = std::make_shared<T>(std::forward<Args>(args)...);
    program_.states[key] = mine;
    return mine;
  }
  void tell_counter(const NftCounter& counter);
  // The expression rests on connection tracking, which its table's packets then all pass.
  void needs_conntrack();

  Net& net() { return net_; }
  NftProgram& program() { return program_; }
  const NftTable& table() const { return *table_; }
  // By name, in the table in hand; null: there is none.
  const NftChainCode* chain(std::string_view name);
  NftSet* set(std::string_view name);
  const NftObject* object(std::string_view name, std::uint32_t type) const;
  // NFTA_DATA_VERDICT of a nested NFTA_*_DATA.
  [[nodiscard]] Result<NftVerdict> verdict(Bytes data);
  [[nodiscard]] Result<NftVerdict> verdict(std::int32_t code, std::string_view chain);

  // NFTA_*_EXPRESSIONS as a list. What cannot be made becomes an NftUnknown, so that only packets
  // which come there are unknown. `scope`: whose they are, for state().
  const NfExpr* list(Bytes expressions, std::string scope);
  // The same as a program of its own, for an element that a packet adds. Null: none.
  static std::shared_ptr<const NftProgram> alone(Net& net, Bytes expressions, const NfExpr*& first);

 private:
  bool ipv4_only_ = false;  // the expression in hand knows nothing of IPv6 (NfExpr::ipv4_only)
  bool enter(std::uint8_t family, const std::string& table);
  std::string named(std::string_view name) const;
  const NftRuleCode** add_rule(const NftRule& rule, const NftRuleCode** tail);
  const NfExpr* make_object(const NftObjectSpec& object);
  void fill_dynamic(NftSet& set, const NftRuleset& ruleset);
  void fill_set(NftSet& set, const NftRuleset& ruleset);
  NftElem element(const NftSetSpec& set, const NftElemSpec& e, NftSet& into);
  void one(Bytes element);
  void find_loops();
  void add_base_chain(const NftChain& chain);
  static bool flow_only(const NftChainCode& chain, std::set<const NftChainCode*>& seen);
  static constexpr unsigned kNftDeepest = 32;  // twice what a kernel allows

  Net& net_;
  NftProgram& program_;
  const NftProgram* old_;
  const NftTable* table_ = nullptr;
  const NfExpr** tail_ = nullptr;
  std::string scope_;
  unsigned index_ = 0;
  NftChainCode* in_chain_ = nullptr;                               // whose rules are being made
  std::string words_;                                              // whose counters are being made
  std::map<const NftSet*, std::vector<NftChainCode*>> set_jumps_;  // where a map's verdicts lead
};

}  // namespace txp
