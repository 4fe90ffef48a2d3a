// SPDX-License-Identifier: Apache-2.0
// The neighbour table: lookup, creation, configuration.
//
// Kernel twin: net/core/neighbour.c, ___neigh_create(), neigh_lookup(), neigh_add(),
// neigh_delete(), neigh_flush_dev(); net/ipv4/arp.c, arp_constructor().
// Differs: proxy entries answer at once (proxy_delay 0). With NeighOwner::kernel configuration is
// taken as it comes, beyond gc_thresh3 too. Drops: what waits in an entry that goes, QUEUE_PURGE.
#include <algorithm>
#include <bit>
#include <cstring>
#include <new>

#include "neigh/neigh_impl.h"
#include "observe/trace.h"
#include "route/ip_route.h"

namespace txp {
namespace {

constexpr std::uint16_t kArphrdEther = 1;
constexpr std::uint16_t kArphrdLoopback = 772;

std::uint64_t pack(const MacAddr& mac) {
  std::uint64_t v = 0;
  std::memcpy(&v, mac.bytes, sizeof mac.bytes);
  return v;
}

// arp_constructor(): state and address of what needs no resolution.
void construct(Net& net, Neighbour& n) {
  const NetDevice& dev = *n.dev;
  n.type = static_cast<std::uint8_t>(inet_addr_type(net, n.primary_key));
  const auto type = static_cast<RouteType>(n.type);
  const auto noarp = [&n](const MacAddr& mac) {
    n.nud_state.store(Nud::noarp, std::memory_order_relaxed);
    n.set_mac(mac);
  };
  if (!dev_has_header(dev))
    n.nud_state.store(Nud::noarp, std::memory_order_relaxed);
  else if (type == RouteType::multicast)
    noarp(ip_eth_mc_map(n.primary_key));
  else if ((dev.flags() & (kIffNoarp | kIffLoopback)) != 0)
    noarp(dev.link().address);
  else if (type == RouteType::broadcast || (dev.flags() & kIffPointopoint) != 0)
    noarp(dev.link().broadcast);
}

// ndisc_constructor().
void construct6(Neighbour& n) {
  const NetDevice& dev = *n.dev;
  const bool multicast = n.primary_key6.is_multicast();
  n.type = static_cast<std::uint8_t>(multicast ? RouteType::multicast : RouteType::unicast);
  const auto noarp = [&n](const MacAddr& mac) {
    n.nud_state.store(Nud::noarp, std::memory_order_relaxed);
    n.set_mac(mac);
  };
  if (!dev_has_header(dev))
    n.nud_state.store(Nud::noarp, std::memory_order_relaxed);
  else if (multicast)
    noarp(ipv6_eth_mc_map(n.primary_key6));
  else if ((dev.flags() & (kIffNoarp | kIffLoopback)) != 0)
    noarp(dev.link().address);
  else if ((dev.flags() & kIffPointopoint) != 0)
    noarp(dev.link().broadcast);
}

void take_key(Net& net, Neighbour& n, Ip4 key) {
  n.primary_key = key;
  construct(net, n);
}
void take_key(Net&, Neighbour& n, const Ip6& key) {
  n.primary_key6 = key;
  construct6(n);
}

}  // namespace

MacAddr Neighbour::mac() const {
  const std::uint64_t v = ha.load(std::memory_order_acquire);
  MacAddr mac;
  std::memcpy(mac.bytes, &v, sizeof mac.bytes);
  return mac;
}

void Neighbour::set_mac(const MacAddr& mac) { ha.store(pack(mac), std::memory_order_release); }

NeighSpec Neighbour::spec() const {
  NeighSpec s;
  s.ifindex = dev->ifindex;
  s.dst = primary_key;
  if (tbl->family == NeighTable::Family::inet6) s.dst6 = primary_key6;
  s.state = nud_state.load(std::memory_order_relaxed);
  s.has_lladdr = nud_valid(s.state) && dev_has_header(*dev);
  if (s.has_lladdr) s.lladdr = mac();
  s.flags = flags.load(std::memory_order_relaxed);
  return s;
}

std::string_view name(Nud n) {
  switch (n) {
    case Nud::none: return "NONE";
    case Nud::incomplete: return "INCOMPLETE";
    case Nud::reachable: return "REACHABLE";
    case Nud::stale: return "STALE";
    case Nud::delay: return "DELAY";
    case Nud::probe: return "PROBE";
    case Nud::failed: return "FAILED";
    case Nud::noarp: return "NOARP";
    case Nud::permanent: return "PERMANENT";
  }
  return "NONE";
}

bool dev_has_header(const NetDevice& dev) {
  const std::uint16_t type = dev.link().type;
  return type == kArphrdEther || type == kArphrdLoopback;
}

NeighHash::NeighHash(unsigned bits)
    : shift(bits), buckets(new std::atomic<Neighbour*>[std::size_t{1} << bits]()) {}

std::atomic<Neighbour*>& NeighHash::bucket(int ifindex, Ip4 key, std::uint32_t rnd) const {
  const std::uint32_t h =  // arp_hashfn()
      (key.host ^ (static_cast<std::uint32_t>(ifindex) * 0x61c88647U)) * rnd;
  return buckets[h >> (32 - shift)];
}

std::atomic<Neighbour*>& NeighHash::bucket(int ifindex, const Ip6& key, std::uint32_t rnd) const {
  const std::uint64_t mixed =
      (key.hi ^ std::rotl(key.lo, 32) ^ (static_cast<std::uint64_t>(ifindex) << 17)) *
      (std::uint64_t{rnd} << 32 | 0x61c88647U);
  return buckets[mixed >> (64 - shift)];
}

std::atomic<Neighbour*>& NeighHash::bucket_of(const Neighbour& n, std::uint32_t rnd) const {
  if (n.tbl->family == NeighTable::Family::inet) return bucket(n.dev->ifindex, n.primary_key, rnd);
  return bucket(n.dev->ifindex, n.primary_key6, rnd);
}

NeighTable::NeighTable(Net& net, Family f)
    : family(f), net_(net), impl_(std::make_unique<Impl>(net, *this)) {}

NeighTable::~NeighTable() {
  net_.timers.del(impl_->gc_work);
  flush([](const Neighbour&) { return true; });
}

Neighbour* NeighTable::lookup(const NetDevice& dev, Ip4 next_hop) const {
  return impl_->find(dev.ifindex, neigh_key(dev, next_hop));
}

Neighbour* NeighTable::create(NetDevice& dev, Ip4 next_hop, Trace* trace) {
  Neighbour* n = impl_->create(dev, neigh_key(dev, next_hop), false, false);
  if (n == nullptr && trace != nullptr) {
    NamedObject limit;
    limit.kind = "sysctl";
    limit.text = "net.ipv4.neigh.default.gc_thresh3 = " + std::to_string(impl_->gc_thresh3);
    trace->by(Stage::ip_finish_output2, std::move(limit));
  }
  return n;
}

Neighbour* NeighTable::lookup(const NetDevice& dev, const Ip6& next_hop) const {
  return impl_->find(dev.ifindex, next_hop);
}

Neighbour* NeighTable::create(NetDevice& dev, const Ip6& next_hop, Trace* trace) {
  Neighbour* n = impl_->create(dev, next_hop, false, false);
  if (n == nullptr && trace != nullptr) {
    NamedObject limit;
    limit.kind = "sysctl";
    limit.text = "net.ipv6.neigh.default.gc_thresh3 = " + std::to_string(impl_->gc_thresh3);
    trace->by(Stage::ip6_finish_output2, std::move(limit));
  }
  return n;
}

Neighbour* NeighTable::Impl::find(int ifindex, const Ip6& key) const {
  Neighbour* n = nht->bucket(ifindex, key, hash_rnd).load(std::memory_order_acquire);
  while (n != nullptr && (n->primary_key6 != key || n->dev->ifindex != ifindex))
    n = n->next.load(std::memory_order_acquire);
  return n;
}

Neighbour* NeighTable::Impl::find(int ifindex, Ip4 key) const {
  Neighbour* n = nht->bucket(ifindex, key, hash_rnd).load(std::memory_order_acquire);
  while (n != nullptr && (n->primary_key != key || n->dev->ifindex != ifindex))
    n = n->next.load(std::memory_order_acquire);
  return n;
}

Neighbour* NeighTable::Impl::lookup_counted(const NetDevice& dev, Ip4 key) {
  stats.lookups.fetch_add(1, std::memory_order_relaxed);
  Neighbour* n = find(dev.ifindex, neigh_key(dev, key));
  if (n != nullptr) stats.hits.fetch_add(1, std::memory_order_relaxed);
  return n;
}

template <typename Key>
Neighbour* NeighTable::Impl::create(NetDevice& dev, const Key& key, bool exempt_from_gc,
                                    bool unlimited) {
  const Nanos now = net.clock.now();
  if (!exempt_from_gc && !unlimited) {  // neigh_alloc()
    const std::uint32_t before = gc_entries.load(std::memory_order_relaxed);
    const std::uint32_t thresh3 = gc_thresh3.load(std::memory_order_relaxed);
    if (before >= thresh3 ||
        (before >= gc_thresh2.load(std::memory_order_relaxed) && now > last_flush + 5 * kSecond)) {
      if (forced_gc() == 0 && before >= thresh3) {
        stats.table_fulls.fetch_add(1, std::memory_order_relaxed);
        return nullptr;
      }
    }
  }
  auto* n = new (std::nothrow) Neighbour;
  if (n == nullptr) return nullptr;
  stats.allocs.fetch_add(1, std::memory_order_relaxed);
  n->dev = &dev;
  n->tbl = &tbl;
  n->updated = now;
  n->used.store(now, std::memory_order_relaxed);
  n->timer.function = neigh_timer_handler;
  n->timer.arg = n;
  take_key(net, *n, key);
  n->confirmed = now - 2 * Nanos{neigh_parms(*n).base_reachable_time_ms} * kMillisecond;

  std::unique_lock guard(lock);
  NeighHash* hash = nht.get();
  if (entries.load(std::memory_order_relaxed) > hash->size()) hash = &grow(*hash);
  if (Neighbour* other = find(dev.ifindex, key); other != nullptr) {  // another thread was first
    guard.unlock();
    stats.destroys.fetch_add(1, std::memory_order_relaxed);
    delete n;
    return other;
  }
  auto& bucket = hash->bucket(dev.ifindex, key, hash_rnd);
  n->next.store(bucket.load(std::memory_order_relaxed), std::memory_order_relaxed);
  bucket.store(n, std::memory_order_release);
  entries.fetch_add(1, std::memory_order_relaxed);
  if (!exempt_from_gc) gc_add(*n);
  guard.unlock();
  net.generations.changed(Basis::neighbour);
  arm_gc();
  return n;
}

template Neighbour* NeighTable::Impl::create<Ip4>(NetDevice&, const Ip4&, bool, bool);
template Neighbour* NeighTable::Impl::create<Ip6>(NetDevice&, const Ip6&, bool, bool);

void NeighTable::set(const NeighSpec& spec) {
  NetDevice* dev = net_.dev->by_index(spec.ifindex);
  if (spec.dst6) {
    if (dev != nullptr && !spec.proxy) set_key(spec, *dev, *spec.dst6);
    return;
  }
  if (spec.proxy) {
    const std::lock_guard guard(impl_->lock);
    if (!std::ranges::any_of(impl_->proxies, [&](const Impl::Proxy& p) {
          return p.ifindex == spec.ifindex && p.addr == spec.dst;
        }))
      impl_->proxies.push_back({spec.ifindex, spec.dst});
    return;
  }
  if (dev != nullptr) set_key(spec, *dev, neigh_key(*dev, spec.dst));
}

template <typename Key>
void NeighTable::set_key(const NeighSpec& spec, NetDevice& dev, const Key& key) {
  const RcuReader reader;
  Neighbour* n = impl_->find(spec.ifindex, key);
  if (n == nullptr) {
    const bool exempt = spec.state == Nud::permanent || (spec.flags & kNtfExtLearned) != 0;
    n = impl_->create(dev, key, exempt, owner == NeighOwner::kernel);
  }
  if (n == nullptr) return;
  n->flags.store(spec.flags, std::memory_order_relaxed);
  neigh_update(net_, *n, spec.has_lladdr ? &spec.lladdr : nullptr, spec.state,
               kNeighUpdateOverride | kNeighUpdateAdmin);
  impl_->update_gc_list(*n);
}

void NeighTable::remove(int ifindex, Ip4 next_hop) {
  {
    const std::lock_guard guard(impl_->lock);
    std::erase_if(impl_->proxies,
                  [&](const Impl::Proxy& p) { return p.ifindex == ifindex && p.addr == next_hop; });
  }
  if (const NetDevice* dev = net_.dev->by_index(ifindex); dev != nullptr)
    remove_key(ifindex, neigh_key(*dev, next_hop));
}

void NeighTable::remove(int ifindex, const Ip6& next_hop) { remove_key(ifindex, next_hop); }

template <typename Key>
void NeighTable::remove_key(int ifindex, const Key& key) {
  const RcuReader reader;
  Neighbour* n = impl_->find(ifindex, key);
  if (n == nullptr) return;
  if (owner == NeighOwner::kernel && (ask_kernel || ask_kernel6)) {
    // The kernel has forgotten what our packets wait for: it is asked again.
    std::unique_lock guard(n->lock);
    if (!n->arp_queue.empty()) {
      neigh_set_state(net_, *n, Nud::incomplete);
      neigh_ask_kernel(net_, *n, guard);
      return;
    }
  }
  neigh_update(net_, *n, nullptr, Nud::failed, kNeighUpdateOverride | kNeighUpdateAdmin);
  SkbQueue left;
  {
    const std::lock_guard table(impl_->lock);
    const std::lock_guard guard(n->lock);
    if (n->dead) return;
    impl_->unlink(*n);
    impl_->bury(*n, left);
  }
  impl_->purge(left, DropReason::QUEUE_PURGE);
  impl_->retire(*n);
}

void NeighTable::flush(const std::function<bool(Neighbour&)>& goes) {
  std::vector<Neighbour*> gone;
  SkbQueue left;
  {
    const std::lock_guard table(impl_->lock);
    const NeighHash& hash = *impl_->nht;
    for (std::size_t b = 0; b < hash.size(); ++b) {
      Neighbour* n = hash.buckets[b].load(std::memory_order_relaxed);
      while (n != nullptr) {
        Neighbour* next = n->next.load(std::memory_order_relaxed);
        if (goes(*n)) {
          const std::lock_guard guard(n->lock);
          impl_->unlink(*n);
          impl_->bury(*n, left);
          gone.push_back(n);
        }
        n = next;
      }
    }
  }
  impl_->purge(left, DropReason::QUEUE_PURGE);
  for (Neighbour* n : gone) impl_->retire(*n);
}

void NeighTable::flush_dev(int ifindex) {
  flush([ifindex](const Neighbour& n) { return n.dev->ifindex == ifindex; });
  const std::lock_guard guard(impl_->lock);
  std::erase_if(impl_->proxies, [&](const Impl::Proxy& p) { return p.ifindex == ifindex; });
  const std::lock_guard reach(impl_->reach_lock);
  impl_->reach.erase(ifindex);
}

void NeighTable::flush_waiting() {
  flush([](Neighbour& n) {
    const std::lock_guard guard(n.lock);
    return !n.arp_queue.empty();
  });
}

void NeighTable::set_gc(std::uint32_t thresh1, std::uint32_t thresh2, std::uint32_t thresh3) {
  impl_->gc_thresh1.store(thresh1, std::memory_order_relaxed);
  impl_->gc_thresh2.store(thresh2, std::memory_order_relaxed);
  impl_->gc_thresh3.store(thresh3, std::memory_order_relaxed);
}

std::vector<NeighSpec> NeighTable::all() const {
  std::vector<NeighSpec> specs;
  const RcuReader reader;
  const std::lock_guard guard(impl_->lock);
  const NeighHash& hash = *impl_->nht;
  for (std::size_t b = 0; b < hash.size(); ++b)
    for (const Neighbour* n = hash.buckets[b].load(std::memory_order_acquire); n != nullptr;
         n = n->next.load(std::memory_order_acquire))
      specs.push_back(n->spec());
  for (const Impl::Proxy& p : impl_->proxies) {
    NeighSpec s;
    s.ifindex = p.ifindex;
    s.dst = p.addr;
    s.proxy = true;
    specs.push_back(s);
  }
  std::ranges::sort(specs, [](const NeighSpec& a, const NeighSpec& b) {
    if (a.ifindex != b.ifindex) return a.ifindex < b.ifindex;
    return a.dst != b.dst ? a.dst < b.dst : a.dst6 < b.dst6;
  });
  return specs;
}

std::uint64_t NeighTable::queued() const { return impl_->waiting.load(std::memory_order_acquire); }

NeighTable::Stats NeighTable::stats() const {
  const auto& s = impl_->stats;
  return {impl_->entries.load(), s.allocs.load(), s.destroys.load(),   s.hash_grows.load(),
          s.lookups.load(),      s.hits.load(),   s.res_failed.load(), s.unresolved_discards.load(),
          s.table_fulls.load()};
}

}  // namespace txp
