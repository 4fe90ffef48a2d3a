// SPDX-License-Identifier: Apache-2.0
// A ruleset's description into code.
// Kernel twin: net/netfilter/nf_tables_api.c (nf_tables_newrule(), nft_parse_register()).
// Differs: the whole at once; what a kernel would refuse becomes unknown where a packet meets it.
#include <linux/netfilter.h>
#include <linux/netfilter/nf_tables.h>

#include <algorithm>
#include <set>

#include <fmt/format.h>

#include "netfilter/nft_compiler.h"
#include "netfilter/nft_set.h"
#include "netfilter/nft_unknown.h"
#include "netfilter/registry.h"

namespace txp {

std::string_view nft_family_name(std::uint8_t family) {
  switch (family) {
    case NFPROTO_INET: return "inet";
    case NFPROTO_IPV4: return "ip";
    case NFPROTO_ARP: return "arp";
    case NFPROTO_NETDEV: return "netdev";
    case NFPROTO_BRIDGE: return "bridge";
    case NFPROTO_IPV6: return "ip6";
    default: return "unknown";
  }
}

Result<std::uint8_t> nft_register(std::optional<std::uint32_t> number, std::size_t len) {
  if (!number) return fail("no register");
  std::uint32_t index = 0;
  if (*number >= NFT_REG_1 && *number <= NFT_REG_4)
    index = *number * 4;
  else if (*number >= NFT_REG32_00 && *number <= NFT_REG32_15)
    index = *number - NFT_REG32_00 + 4;
  else
    return fail(fmt::format("register {}: there is no such register", *number));
  if (len == 0 || len > 64 || index * 4 + len > kNftRegWords * 4)
    return fail(fmt::format("register {}: {} bytes do not fit", *number, len));
  return static_cast<std::uint8_t>(index);
}

Result<Bytes> nft_data_value(std::optional<Bytes> nested) {
  if (!nested) return fail("no data");
  Attrs<NFTA_DATA_MAX> a(*nested, "data");
  const auto value = a.raw(NFTA_DATA_VALUE, 1);
  if (!value || value->size() > 64) return fail("data: no value, or one of a wrong length");
  return *value;
}

Result<NftVerdict> NftCompiler::verdict(Bytes data) {
  Attrs<NFTA_DATA_MAX> a(data, "data");
  const auto nested = a.raw(NFTA_DATA_VERDICT);
  if (!nested) return fail("no verdict");
  Attrs<NFTA_VERDICT_MAX> v(*nested, "verdict");
  const auto code = v.be32(NFTA_VERDICT_CODE);
  if (!code) return fail("verdict: no code");
  return verdict(static_cast<std::int32_t>(*code), v.text(NFTA_VERDICT_CHAIN).value_or(""));
}

Result<NftVerdict> NftCompiler::verdict(std::int32_t code, std::string_view chain_name) {
  NftVerdict v;
  switch (code) {
    case NFT_JUMP:
    case NFT_GOTO: {
      v.code = code == NFT_JUMP ? NftCode::jump : NftCode::goto_;
      v.chain = chain(chain_name);
      if (v.chain == nullptr) return fail(fmt::format("verdict: there is no chain {}", chain_name));
      return v;
    }
    case NFT_CONTINUE: v.code = NftCode::go_on; return v;
    case NFT_BREAK: v.code = NftCode::no_match; return v;
    case NFT_RETURN: v.code = NftCode::return_; return v;
    default: break;
  }
  switch (code & 0xff) {
    case NF_ACCEPT: v.code = NftCode::accept; return v;
    case NF_DROP: v.code = NftCode::drop; return v;
    case NF_QUEUE: v.code = NftCode::queue; return v;
    default: return fail(fmt::format("verdict: {} is none", code));
  }
}

std::string NftCompiler::named(std::string_view name) const {
  return fmt::format("{} {} {}", nft_family_name(table_->family), table_->name, name);
}

const NftChainCode* NftCompiler::chain(std::string_view name) {
  const auto found = program_.chains.find(named(name));
  if (found == program_.chains.end()) return nullptr;
  if (in_chain_ != nullptr) in_chain_->next.push_back(found->second);
  return found->second;
}

NftSet* NftCompiler::set(std::string_view name) {
  const auto found = program_.sets.find(named(name));
  if (found == program_.sets.end()) return nullptr;
  if (const auto jumps = set_jumps_.find(found->second.get());
      jumps != set_jumps_.end() && in_chain_ != nullptr)
    in_chain_->next.insert(in_chain_->next.end(), jumps->second.begin(), jumps->second.end());
  return found->second.get();
}

const NftObject* NftCompiler::object(std::string_view name, std::uint32_t type) const {
  const auto found = program_.objects.find(named(fmt::format("{} {}", name, type)));
  return found == program_.objects.end() ? nullptr : &found->second;
}

void NftCompiler::tell_counter(const NftCounter& counter) {
  program_.counters.push_back({words_, &counter});
}

void NftCompiler::needs_conntrack() {
  if (table_ == nullptr) return;
  const std::uint8_t family = table_->family;
  program_.tracks_ipv4 |= family == NFPROTO_IPV4 || family == NFPROTO_INET;
  program_.tracks_ipv6 |= family == NFPROTO_IPV6 || family == NFPROTO_INET;
}

bool NftCompiler::enter(std::uint8_t family, const std::string& table) {
  if (table_ != nullptr && table_->family == family && table_->name == table) return true;
  for (const NftTable& t : program_.tables) {
    if (t.family != family || t.name != table) continue;
    table_ = &t;
    return true;
  }
  return false;
}

void NftCompiler::one(Bytes element) {
  Attrs<NFTA_EXPR_MAX> a(element, "expression");
  const std::string kind = a.text(NFTA_EXPR_NAME, 31).value_or("");
  const Bytes data = a.raw(NFTA_EXPR_DATA).value_or(Bytes{});
  const NftMaker make = find_nft_maker(kind);
  if (make == nullptr) {
    emplace<NftUnknown>(fmt::format("the expression {} is not implemented", kind));
    return;
  }
  // What only looks at IPv4's headers.
  static constexpr std::string_view kIpv4Only[] = {"tproxy", "synproxy", "osf"};
  ipv4_only_ = std::ranges::find(kIpv4Only, kind) != std::end(kIpv4Only);
  if (auto made = make(*this, data); !made)
    emplace<NftUnknown>(fmt::format("the expression {}: {}", kind, made.error().what));
  ipv4_only_ = false;
}

const NfExpr* NftCompiler::list(Bytes expressions, std::string scope) {
  const NfExpr* first = nullptr;
  const NfExpr** const outer_tail = std::exchange(tail_, &first);
  const std::string outer_scope = std::exchange(scope_, std::move(scope));
  const unsigned outer_index = std::exchange(index_, 0);
  if (!for_each_attr(expressions, [this](const nlattr& e) {
        one(payload(e));
        ++index_;
      }))
    emplace<NftUnknown>("the list of expressions is cut short");
  tail_ = outer_tail;
  scope_ = outer_scope;
  index_ = outer_index;
  return first;
}

const NftRuleCode** NftCompiler::add_rule(const NftRule& rule, const NftRuleCode** tail) {
  NftRuleInfo& info = program_.arena.make<NftRuleInfo>();
  info.object = {.kind = "nft-rule",
                 .text = rule.text,
                 .family = std::string(nft_family_name(rule.family)),
                 .table = rule.table,
                 .chain = rule.chain,
                 .handle = rule.handle};
  words_ = fmt::format("{} {} {} rule {}", info.object.family, rule.table, rule.chain, rule.handle);
  NftRuleCode& code = program_.arena.make<NftRuleCode>();
  code.info = &info;
  code.first = list(rule.expressions, fmt::format("{} rule {}", table_->handle, rule.handle));
  *tail = &code;
  return &code.next;
}

NftElem NftCompiler::element(const NftSetSpec& set, const NftElemSpec& e, NftSet& into) {
  NftElem elem;
  if (e.expires >= 0) elem.expires = net_.clock.now() + e.expires * kMillisecond;
  if (elem.expires != 0 || !e.expressions.empty()) into.has_elem_state = true;
  if (set.verdicts) {
    if (auto v = verdict(e.verdict, e.chain))
      elem.verdict = *v;
    else
      elem.verdict.code = NftCode::unknown;
  } else {
    std::copy_n(e.data.data(), std::min<std::size_t>(e.data.size(), 64), elem.data.data());
  }
  if (!e.expressions.empty())
    elem.first =
        list(e.expressions, fmt::format("{} set {} {}", table_->handle, set.name, nft_hex(e.key)));
  return elem;
}

// A named counter, quota or limit has the attributes of its expression.
const NfExpr* NftCompiler::make_object(const NftObjectSpec& o) {
  const NfExpr* first = nullptr;
  NftMaker make = nullptr;
  std::string_view kind = "object";
  switch (o.type) {
    case NFT_OBJECT_COUNTER: make = find_nft_maker(kind = "counter"); break;
    case NFT_OBJECT_QUOTA: make = find_nft_maker(kind = "quota"); break;
    case NFT_OBJECT_LIMIT: make = find_nft_maker(kind = "limit"); break;
    default: break;
  }
  tail_ = &first;
  scope_ = fmt::format("{} object {} {}", table_->handle, o.name, o.type);
  words_ = fmt::format("{} {} {} {}", nft_family_name(o.family), o.table, kind, o.name);
  index_ = 0;
  if (make == nullptr)
    emplace<NftUnknown>(fmt::format("the object {} of type {} is not implemented", o.name, o.type));
  else if (auto made = make(*this, o.data); !made)
    emplace<NftUnknown>(fmt::format("the {} {}: {}", kind, o.name, made.error().what));
  tail_ = nullptr;
  return first;
}

std::shared_ptr<const NftProgram> NftCompiler::alone(Net& net, Bytes expressions,
                                                     const NfExpr*& first) {
  if (expressions.empty()) return nullptr;
  auto code = std::make_shared<NftProgram>();
  NftCompiler compiler(net, *code, nullptr);
  first = compiler.list(expressions, "");
  return code;
}

// What came with the dump, and what our own packets added before.
void NftCompiler::fill_dynamic(NftSet& set, const NftRuleset& ruleset) {
  const NftSetSpec& spec = set.spec();
  scope_ = fmt::format("{} set {}", table_->handle, spec.handle);
  index_ = 0;
  auto dynamic = state<NftSet::Dynamic>();
  const std::lock_guard guard(dynamic->mutex);
  std::erase_if(dynamic->elems, [](const auto& e) { return e.second.of_kernel; });
  for (const NftElemsSpec& part : ruleset.elems) {
    if (part.family != spec.family || part.table != spec.table || part.set != spec.name) continue;
    for (const NftElemSpec& e : part.elems) {
      if ((e.flags & NFT_SET_ELEM_CATCHALL) != 0) {
        set.set_catch_all(element(spec, e, set));
        continue;
      }
      if (e.key.size() != spec.key_len) {
        set.unknown = true;
        continue;
      }
      NftElemSpec bare = e;
      bare.expressions.clear();
      NftSet::DynamicElem d{.elem = element(spec, bare, set), .code = nullptr, .of_kernel = true};
      d.code = alone(net_, e.expressions, d.elem.first);
      dynamic->elems.try_emplace(std::string(e.key.begin(), e.key.end()), std::move(d));
    }
  }
  set.set_dynamic(std::move(dynamic));
  set.has_elem_state = true;
}

void NftCompiler::fill_set(NftSet& set, const NftRuleset& ruleset) {
  const NftSetSpec& spec = set.spec();
  words_ = fmt::format("{} {} set {}", nft_family_name(spec.family), spec.table, spec.name);
  if ((spec.flags & NFT_SET_EVAL) != 0) return fill_dynamic(set, ruleset);
  std::vector<NftElemKey> keys;
  std::vector<NftElem> elems;
  struct End {
    std::vector<std::uint8_t> key;
    bool end;
    std::size_t elem;
  };
  std::vector<End> ends;  // of intervals, as the kernel keeps them: a begin, and what is behind
  const bool intervals = (spec.flags & NFT_SET_INTERVAL) != 0 && spec.fields.size() <= 1;
  for (const NftElemsSpec& part : ruleset.elems) {
    if (part.family != spec.family || part.table != spec.table || part.set != spec.name) continue;
    for (const NftElemSpec& e : part.elems) {
      if ((e.flags & NFT_SET_ELEM_CATCHALL) != 0) {
        set.set_catch_all(element(spec, e, set));
        continue;
      }
      if (e.key.size() != spec.key_len ||
          (!e.key_end.empty() && e.key_end.size() != spec.key_len)) {
        set.unknown = true;
        continue;
      }
      if (intervals && (e.flags & NFT_SET_ELEM_INTERVAL_END) != 0) {
        ends.push_back({e.key, true, 0});
        continue;
      }
      NftElem elem = element(spec, e, set);
      if (!e.object.empty()) {
        for (std::uint32_t type = 1; type <= NFT_OBJECT_MAX && elem.object == nullptr; ++type)
          elem.object = object(e.object, type);
        if (elem.object == nullptr) set.unknown = true;
      }
      if (intervals && e.key_end.empty()) ends.push_back({e.key, false, elems.size()});
      keys.push_back({e.key, e.key_end});
      elems.push_back(elem);
    }
  }
  if (intervals) {
    std::ranges::stable_sort(ends, [](const End& a, const End& b) {
      if (const int d = std::memcmp(a.key.data(), b.key.data(), a.key.size()); d != 0) return d < 0;
      return a.end && !b.end;
    });
    const std::vector<std::uint8_t> highest(spec.key_len, 0xff);
    for (std::size_t i = 0; i < ends.size(); ++i) {
      if (ends[i].end) continue;
      std::vector<std::uint8_t> last = highest;
      if (i + 1 < ends.size()) {
        last = ends[i + 1].key;  // what is behind the interval; one less is its last
        for (std::size_t b = last.size(); b-- > 0;)
          if (last[b]-- != 0) break;
      }
      keys[ends[i].elem].end = std::move(last);
    }
  }
  set.build(std::move(keys), std::move(elems));
}

void NftCompiler::compile(const NftRuleset& ruleset) {
  program_.tables = ruleset.tables;
  for (const NftChain& c : ruleset.chains) {
    if (!enter(c.family, c.table)) continue;
    NftChainCode& code = program_.arena.make<NftChainCode>();
    code.name = c.name;
    program_.chains.emplace(named(c.name), &code);
  }
  for (const NftObjectSpec& o : ruleset.objects) {
    if (!enter(o.family, o.table)) continue;
    NftObject& object = program_.objects[named(fmt::format("{} {}", o.name, o.type))];
    object.spec = o;
  }
  for (auto& [name, object] : program_.objects)
    if (enter(object.spec.family, object.spec.table)) object.first = make_object(object.spec);
  for (const NftSetSpec& s : ruleset.sets)
    if (enter(s.family, s.table)) program_.sets.emplace(named(s.name), std::make_unique<NftSet>(s));
  // Sets name chains, rules name sets.
  for (const auto& [name, set] : program_.sets) {
    if (!enter(set->spec().family, set->spec().table)) continue;
    NftChainCode& jumps = program_.arena.make<NftChainCode>();
    in_chain_ = &jumps;
    fill_set(*set, ruleset);
    set_jumps_[set.get()] = jumps.next;
    in_chain_ = nullptr;
  }
  std::map<const NftChainCode*, const NftRuleCode**> tails;
  for (const NftRule& r : ruleset.rules) {
    if (!enter(r.family, r.table)) continue;
    const auto found = program_.chains.find(named(r.chain));
    if (found == program_.chains.end()) continue;
    in_chain_ = found->second;
    const NftRuleCode**& tail = tails.try_emplace(in_chain_, &in_chain_->first).first->second;
    tail = add_rule(r, tail);
    in_chain_ = nullptr;
  }
  find_loops();
  for (const NftChain& c : ruleset.chains)
    if (c.base && enter(c.family, c.table) && !table_->dormant) add_base_chain(c);
}

void NftCompiler::add_base_chain(const NftChain& c) {
  auto base = std::make_unique<NftBaseChain>();
  base->spec = c;
  base->code = program_.chains.at(named(c.name));
  base->object = {.kind = "nft-chain",
                  .text = c.text,
                  .family = std::string(nft_family_name(c.family)),
                  .table = c.table,
                  .chain = c.name,
                  .handle = c.handle};
  std::set<const NftChainCode*> seen;
  base->flow_only = flow_only(*base->code, seen);
  program_.base_chains.push_back(std::move(base));
}

bool NftCompiler::flow_only(const NftChainCode& chain, std::set<const NftChainCode*>& seen) {
  if (!seen.insert(&chain).second) return true;
  for (const NftRuleCode* r = chain.first; r != nullptr; r = r->next)
    for (const NfExpr* e = r->first; e != nullptr; e = e->next)
      if (e->depends() != NftDepends::flow) return false;
  return std::ranges::all_of(chain.next,
                             [&](const NftChainCode* c) { return flow_only(*c, seen); });
}

// A chain that comes back to itself, or lies deeper than a kernel allows, is marked.
void NftCompiler::find_loops() {
  std::map<const NftChainCode*, bool> done;  // false: on the way to it
  const auto visit = [&](auto& self, NftChainCode& chain, unsigned depth) -> void {
    const auto [found, fresh] = done.try_emplace(&chain, false);
    if (!fresh) {
      if (!found->second) chain.loops = true;
      return;
    }
    if (depth > kNftDeepest) chain.loops = true;
    if (!chain.loops)
      for (NftChainCode* next : chain.next) self(self, *next, depth + 1);
    done[&chain] = true;
  };
  for (const auto& [name, chain] : program_.chains) visit(visit, *chain, 0);
}

}  // namespace txp
