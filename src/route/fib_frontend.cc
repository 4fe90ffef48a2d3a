// SPDX-License-Identifier: Apache-2.0
// Changing the tables. Kernel twins: net/ipv4/fib_frontend.c, net/ipv4/fib_trie.c
// (fib_table_insert(), fib_table_delete(), fib_flush()), net/ipv4/fib_semantics.c
// (fib_create_info()). Differs: whether a route is sensible (its gateway reachable, its source
// ours) is not judged; the kernel or the caller has done so.
#include <algorithm>
#include <memory>

#include "net.h"
#include "route/fib.h"
#include "route/fib_lookup.h"
#include "route/nexthop_object.h"

namespace txp {
namespace {

class Mix {
 public:
  void add(std::uint64_t v) {
    h_ ^= v + 0x9e3779b97f4a7c15ULL + (h_ << 6) + (h_ >> 2);
    h_ *= 0xff51afd7ed558ccdULL;
    h_ ^= h_ >> 32;
  }
  std::uint64_t value() const { return h_; }

 private:
  std::uint64_t h_ = 0;
};

std::uint64_t info_hash_of(const Route& r) {
  Mix m;
  m.add(std::uint64_t{r.priority} << 32 | r.prefsrc.host);
  m.add(std::uint64_t{r.nhid} << 32 | std::uint64_t{r.protocol} << 16 |
        std::uint64_t{r.scope} << 8 | static_cast<std::uint8_t>(r.type));
  if (r.nhid == 0)
    for (const NextHop& nh : r.nexthops)
      m.add(std::uint64_t{nh.gateway.host} << 32 | static_cast<std::uint32_t>(nh.oif));
  return m.value();
}

bool has_metrics(const RouteMetrics& m) {
  return m.lock != 0 || !m.cc_algo.empty() ||
         std::ranges::any_of(m.value, [](std::uint32_t v) { return v != 0; });
}

// fib_find_info(): all but the flags that the kernel judges.
bool says_the_same(const FibInfo& fi, const Route& r) {
  if (fi.priority != r.priority || fi.prefsrc != r.prefsrc || fi.protocol != r.protocol ||
      fi.scope != r.scope || fi.type != r.type || fi.nhid != r.nhid ||
      fi.dead.load(std::memory_order_relaxed))
    return false;
  if (fi.metrics ? *fi.metrics != r.metrics : has_metrics(r.metrics)) return false;
  if (r.nhid != 0) return true;
  return std::ranges::equal(fi.hops(), r.nexthops,
                            [](const FibNh& a, const NextHop& b) { return a.same(b); });
}

// fib_nh_match(), fib_metrics_match(): what a deletion says about next hops and metrics.
bool deletion_matches(const FibInfo& fi, const Route& r) {
  if (r.priority != 0 && r.priority != fi.priority) return false;
  if (r.type != RouteType::unspec && r.type != fi.type) return false;
  if (r.scope != kScopeNowhere && r.scope != fi.scope) return false;
  if (r.protocol != 0 && r.protocol != fi.protocol) return false;
  if (!r.prefsrc.is_zero() && r.prefsrc != fi.prefsrc) return false;
  for (std::size_t i = 0; i < r.metrics.value.size(); ++i)
    if (r.metrics.value[i] != 0 && fi.metric(i) != r.metrics.value[i]) return false;
  if (r.nhid != 0) return fi.nhid == r.nhid;
  if (fi.nhid != 0) return r.nexthops.empty();
  if (r.nexthops.empty()) return true;
  if (r.nexthops.size() == 1 && fi.nh_count == 1) {
    const NextHop& want = r.nexthops[0];
    const FibNh& nh = fi.nhs[0];
    return (want.oif == 0 || want.oif == nh.oif) &&
           (want.gateway.is_zero() || want.gateway == nh.gateway) &&
           (want.gateway6.empty() || (nh.rare && nh.rare->gateway6 == want.gateway6));
  }
  return std::ranges::equal(fi.hops(), r.nexthops, [](const FibNh& nh, const NextHop& want) {
    return (want.oif == 0 || want.oif == nh.oif) && want.gateway == nh.gateway;
  });
}

}  // namespace

FibTables::Impl::~Impl() {
  if (batch_ != nullptr) {
    for (FibInfo* fi : batch_->infos) delete fi;
    batch_->infos.clear();
    batch_->impl = nullptr;
  }
  for (auto& [hash, fi] : info_hash) {
    if (fi->nh != nullptr) net.nexthops->impl().put(fi->nh);
    delete fi;
  }
}

FibTable* FibTables::Impl::get_table(std::uint32_t id) const {
  if (id == 0) id = kTableMain;
  for (FibTable* t = tables[id % kTableHash].load(std::memory_order_acquire); t != nullptr;
       t = t->hash_next)
    if (t->id == id) return t;
  return nullptr;
}

FibTable& FibTables::Impl::new_table(std::uint32_t id) {
  if (id == 0) id = kTableMain;
  if (FibTable* t = get_table(id)) return *t;
  FibTable& t = *owned.emplace_back(std::make_unique<FibTable>(id, arenas, *this));
  t.hash_next = tables[id % kTableHash].load(std::memory_order_relaxed);
  tables[id % kTableHash].store(&t, std::memory_order_release);
  return t;
}

FibTables::Impl::Batch& FibTables::Impl::batch() {
  if (batch_ == nullptr) {
    batch_ = new Batch{this, {}, {}, {}};
    net.retired.retire(batch_, &Impl::release);
  }
  return *batch_;
}

void FibTables::Impl::release(void* arg) {
  const std::unique_ptr<Batch> b(static_cast<Batch*>(arg));
  if (b->impl == nullptr) return;
  for (const std::uint32_t i : b->nodes) b->impl->arenas.nodes.free(i);
  for (const std::uint32_t i : b->aliases) b->impl->arenas.aliases.free(i);
  for (FibInfo* fi : b->infos) {
    b->impl->info_slots.free(fi->index);
    delete fi;
  }
  b->impl->batch_ = nullptr;
}

void FibTables::Impl::bury_node(std::uint32_t node) { batch().nodes.push_back(node); }

void FibTables::Impl::bury_alias(std::uint32_t alias) {
  put_info(infos.at(arenas.aliases.at(alias).fi));
  batch().aliases.push_back(alias);
}

FibInfo* FibTables::Impl::create_info(const Route& r) {
  const auto judged = [&r](FibInfo& fi) {
    for (std::size_t i = 0; i < fi.nh_count; ++i)
      fi.nhs[i].flags.store(r.nexthops[i].flags, std::memory_order_relaxed);
    ++fi.refs;
    return &fi;
  };
  if (last_info != nullptr && says_the_same(*last_info, r)) return judged(*last_info);
  const std::uint64_t hash = info_hash_of(r);
  const auto [from, to] = info_hash.equal_range(hash);
  for (auto it = from; it != to; ++it)
    if (says_the_same(*it->second, r)) return judged(*(last_info = it->second));

  const std::uint32_t index = info_slots.alloc();
  if (index == 0) return nullptr;
  auto fi = std::make_unique<FibInfo>();
  fi->index = index;
  fi->refs = 1;
  fi->prefsrc = r.prefsrc;
  fi->priority = r.priority;
  fi->protocol = r.protocol;
  fi->scope = r.scope;
  fi->type = r.type;
  fi->nhid = r.nhid;
  if (has_metrics(r.metrics)) fi->metrics = std::make_unique<const RouteMetrics>(r.metrics);
  if (r.nhid != 0) {
    fi->nh = net.nexthops->impl().hold(r.nhid);
  } else {
    fi->nh_count = static_cast<std::uint32_t>(r.nexthops.size());
    fi->nhs = std::make_unique<FibNh[]>(r.nexthops.size());
    for (std::size_t i = 0; i < r.nexthops.size(); ++i) fi->nhs[i].assign(r.nexthops[i]);
  }
  info_bytes +=
      sizeof(FibInfo) + fi->nh_count * sizeof(FibNh) + (fi->metrics ? sizeof(RouteMetrics) : 0);
  info_hash.emplace(hash, fi.get());
  info_slots.at(index).store(fi.get(), std::memory_order_release);
  return last_info = fi.release();
}

void FibTables::Impl::put_info(FibInfo* fi) {
  if (--fi->refs != 0) return;
  if (last_info == fi) last_info = nullptr;
  Route r;  // what the hash was made of
  r.priority = fi->priority;
  r.prefsrc = fi->prefsrc;
  r.nhid = fi->nhid;
  r.protocol = fi->protocol;
  r.scope = fi->scope;
  r.type = fi->type;
  for (const FibNh& nh : fi->hops()) r.nexthops.push_back(nh.spec());
  const auto [from, to] = info_hash.equal_range(info_hash_of(r));
  for (auto it = from; it != to; ++it) {
    if (it->second != fi) continue;
    info_hash.erase(it);
    break;
  }
  info_bytes -=
      sizeof(FibInfo) + fi->nh_count * sizeof(FibNh) + (fi->metrics ? sizeof(RouteMetrics) : 0);
  if (fi->nh != nullptr) net.nexthops->impl().put(fi->nh);
  batch().infos.push_back(fi);
}

Result<void> FibTables::Impl::insert(const Route& route, bool replace) {
  if (route.dst.len > 32) return fail("a prefix is longer than 32 bits");
  if ((route.dst.addr.host & ~inet_make_mask(route.dst.len)) != 0)
    return fail("the prefix " + route.dst.str() + " has bits beyond its length");
  if (route.nexthops.size() > 65535) return fail("a route has more than 65535 next hops");
  for (const NextHop& nh : route.nexthops)
    if (nh.weight == 0) return fail("a next hop of " + route.dst.str() + " has the weight 0");
  FibTable& table = new_table(route.table);
  FibInfo* fi = create_info(route);
  if (fi == nullptr) return fail("no room for more routes");
  const std::uint32_t node = table.trie.insert_node(route.dst);
  const std::uint32_t made = node != 0 ? arenas.aliases.alloc() : 0;
  if (made == 0) {
    if (node != 0) table.trie.prune(route.dst);
    put_info(fi);
    return fail("no room for more routes");
  }
  // fib_find_alias(): tos descending, then priority ascending; equal ones in their order of coming.
  std::atomic<std::uint32_t>* link = &arenas.nodes.at(node).alias;
  std::atomic<std::uint32_t>* first_equal = nullptr;
  for (std::uint32_t i = link->load(std::memory_order_relaxed); i != 0;) {
    FibAlias& fa = arenas.aliases.at(i);
    const FibInfo& other = info(fa);
    if (fa.tos < route.tos || (fa.tos == route.tos && other.priority > route.priority)) break;
    if (fa.tos == route.tos && other.priority == route.priority) {
      if (first_equal == nullptr) first_equal = link;
      if (&other == fi) {
        arenas.aliases.free(made);
        put_info(fi);
        return {};
      }
    }
    link = &fa.next;
    i = link->load(std::memory_order_relaxed);
  }
  FibAlias& fa = arenas.aliases.at(made);
  fa.fi = fi->index;
  fa.tos = route.tos;
  fa.fa_default.store(-1, std::memory_order_relaxed);
  if (replace && first_equal != nullptr) {
    const std::uint32_t old = first_equal->load(std::memory_order_relaxed);
    fa.next.store(arenas.aliases.at(old).next.load(std::memory_order_relaxed),
                  std::memory_order_relaxed);
    first_equal->store(made, std::memory_order_release);
    bury_alias(old);
  } else {
    fa.next.store(link->load(std::memory_order_relaxed), std::memory_order_relaxed);
    link->store(made, std::memory_order_release);
    ++routes;
    if (route.dst.len == 0) table.num_default.fetch_add(1, std::memory_order_relaxed);
  }
  if (table.id == kTableLocal) local_generation.fetch_add(1, std::memory_order_release);
  return {};
}

void FibTables::Impl::unlink(FibTable& table, std::uint32_t node, std::uint32_t prev,
                             std::uint32_t fa) {
  const TrieNode& t = arenas.nodes.at(node);
  const Prefix4 prefix{Ip4{t.key}, t.plen};
  auto& link = prev != 0 ? arenas.aliases.at(prev).next : arenas.nodes.at(node).alias;
  link.store(arenas.aliases.at(fa).next.load(std::memory_order_relaxed), std::memory_order_release);
  bury_alias(fa);
  --routes;
  if (prefix.len == 0) table.num_default.fetch_sub(1, std::memory_order_relaxed);
  if (table.id == kTableLocal) local_generation.fetch_add(1, std::memory_order_release);
  if (t.alias.load(std::memory_order_relaxed) == 0) table.trie.prune(prefix);
}

bool FibTables::Impl::erase(const Route& route) {
  FibTable* table = get_table(route.table);
  if (table == nullptr || route.dst.len > 32) return false;
  const std::uint32_t node = table->trie.find(route.dst);
  if (node == 0) return false;
  std::uint32_t prev = 0;
  for (std::uint32_t i = arenas.nodes.at(node).alias.load(std::memory_order_relaxed); i != 0;) {
    const FibAlias& fa = arenas.aliases.at(i);
    if (fa.tos == route.tos && deletion_matches(info(fa), route)) {
      unlink(*table, node, prev, i);
      return true;
    }
    prev = i;
    i = fa.next.load(std::memory_order_relaxed);
  }
  return false;
}

template <typename Condemned>
void FibTables::Impl::flush(Condemned&& condemned) {
  for (const std::unique_ptr<FibTable>& table : owned) {
    std::vector<Prefix4> prefixes;
    table->trie.for_each([&](const TrieNode& t) {
      for (std::uint32_t i = t.alias.load(std::memory_order_relaxed); i != 0;
           i = arenas.aliases.at(i).next.load(std::memory_order_relaxed)) {
        if (!condemned(info(arenas.aliases.at(i)))) continue;
        prefixes.push_back({Ip4{t.key}, t.plen});
        break;
      }
    });
    for (const Prefix4& p : prefixes) {
      const std::uint32_t node = table->trie.find(p);
      std::uint32_t prev = 0;
      for (std::uint32_t i = arenas.nodes.at(node).alias.load(std::memory_order_relaxed); i != 0;) {
        const std::uint32_t next = arenas.aliases.at(i).next.load(std::memory_order_relaxed);
        if (condemned(info(arenas.aliases.at(i))))
          unlink(*table, node, prev, i);
        else
          prev = i;
        i = next;
      }
    }
  }
}

void FibTables::Impl::flush_object(const NhSlot* slot) {
  bool used = false;
  for (const auto& [hash, fi] : info_hash) {
    if (fi->nh != slot) continue;
    fi->dead.store(true, std::memory_order_relaxed);
    used = true;
  }
  if (used) flush([slot](const FibInfo& fi) { return fi.nh == slot; });
}

void FibTables::Impl::clear() {
  for (const std::unique_ptr<FibTable>& table : owned) {
    table->trie.clear();
    table->num_default.store(0, std::memory_order_relaxed);
  }
  routes = 0;
  local_generation.fetch_add(1, std::memory_order_release);
}

Route FibTables::Impl::to_route(const FibTable& table, const TrieNode& node,
                                const FibAlias& fa) const {
  const FibInfo& fi = info(fa);
  Route r;
  r.table = table.id;
  r.dst = {Ip4{node.key}, node.plen};
  r.tos = fa.tos;
  r.type = fi.type;
  r.scope = fi.scope;
  r.protocol = fi.protocol;
  r.priority = fi.priority;
  r.prefsrc = fi.prefsrc;
  if (fi.metrics) r.metrics = *fi.metrics;
  r.nhid = fi.nhid;
  for (const FibNh& nh : fi.hops()) r.nexthops.push_back(nh.spec());
  return r;
}

FibTables::FibTables(Net& net) : impl_(std::make_unique<Impl>(net)) {}
FibTables::~FibTables() = default;

Result<void> FibTables::add(const Route& route) {
  Result<void> done = impl_->insert(route, false);
  impl_->net.generations.changed(Basis::route);
  return done;
}
Result<void> FibTables::replace(const Route& route) {
  Result<void> done = impl_->insert(route, true);
  impl_->net.generations.changed(Basis::route);
  return done;
}
bool FibTables::remove(const Route& route) {
  const bool done = impl_->erase(route);
  impl_->net.generations.changed(Basis::route);
  return done;
}
bool FibTables::occupied(const Route& route) const {
  const FibTable* table = impl_->get_table(route.table);
  if (table == nullptr || route.dst.len > 32) return false;
  const std::uint32_t node = table->trie.find(route.dst);
  if (node == 0) return false;
  for (std::uint32_t i = impl_->arenas.nodes.at(node).alias.load(std::memory_order_relaxed);
       i != 0;) {
    const FibAlias& fa = impl_->arenas.aliases.at(i);
    if (fa.tos == route.tos && impl_->info(fa).priority == route.priority) return true;
    i = fa.next.load(std::memory_order_relaxed);
  }
  return false;
}
void FibTables::clear() {
  impl_->clear();
  impl_->net.generations.changed(Basis::route);
}
std::size_t FibTables::size() const { return impl_->routes; }

void FibTables::flush_dev(int ifindex, bool gone) {
  bool used = false;
  for (auto& [hash, fi] : impl_->info_hash) {
    if (fi->scope == kScopeHost && !gone) continue;
    bool here = false;
    for (std::size_t i = 0; i < fi->nh_count; ++i) {
      if (fi->nhs[i].oif != ifindex) continue;
      fi->nhs[i].flags.fetch_or(kNhfDead | kNhfLinkdown, std::memory_order_relaxed);
      here = true;
    }
    used |= here;
    if (!here || !gone) continue;
    for (std::size_t i = 0; i < fi->nh_count; ++i)
      fi->nhs[i].flags.fetch_or(kNhfDead, std::memory_order_relaxed);
  }
  if (!used) return;
  impl_->flush([](const FibInfo& fi) {
    return fi.nh_count != 0 && std::ranges::all_of(fi.hops(), [](const FibNh& nh) {
             return (nh.flags.load(std::memory_order_relaxed) & kNhfDead) != 0;
           });
  });
  impl_->net.generations.changed(Basis::route);
}

std::size_t FibTables::memory() const {
  // A hash entry: the pair, the link and the allocator's word.
  constexpr std::size_t kHashEntry = sizeof(std::pair<std::uint64_t, FibInfo*>) + 16;
  std::size_t jumps = 0;
  for (const std::unique_ptr<FibTable>& t : impl_->owned) jumps += t->trie.bytes();
  return sizeof(Impl) + jumps + impl_->arenas.nodes.bytes() + impl_->arenas.aliases.bytes() +
         impl_->info_slots.bytes() + impl_->info_bytes + impl_->info_hash.size() * kHashEntry +
         impl_->owned.size() * sizeof(FibTable);
}

void FibTables::for_each(const std::function<void(const Route&)>& visit) const {
  for (const auto& bucket : impl_->tables) {
    for (const FibTable* table = bucket.load(std::memory_order_acquire); table != nullptr;
         table = table->hash_next) {
      table->trie.for_each([&](const TrieNode& t) {
        for (std::uint32_t i = t.alias.load(std::memory_order_acquire); i != 0;) {
          const FibAlias& fa = impl_->arenas.aliases.at(i);
          visit(impl_->to_route(*table, t, fa));
          i = fa.next.load(std::memory_order_acquire);
        }
      });
    }
  }
}

Route fib_result_route(const FibTables::Impl& fib, const FibResult& res) {
  return fib.to_route(*res.table, res.table->trie.node(res.node), res.table->trie.alias(res.alias));
}

}  // namespace txp
