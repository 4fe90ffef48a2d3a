// SPDX-License-Identifier: Apache-2.0
// Kernel twin: net/ipv4/route.c (update_or_create_fnhe(), find_exception()). Differs: one table for
// the Net, not one for each next hop; it holds kMost exceptions, and the oldest leaves.
#include "route/fib_exceptions.h"

#include <algorithm>
#include <atomic>
#include <map>
#include <mutex>

#include "base/spinlock.h"
#include "net.h"

namespace txp {
namespace {

struct Key {
  std::uint32_t daddr;
  std::uint32_t gateway;
  int oif;
  friend auto operator<=>(const Key&, const Key&) = default;
};
Key key_of(const RouteException& e) { return {e.daddr.host, e.gateway.host, e.oif}; }

}  // namespace

struct FibExceptions::Impl {
  static constexpr std::size_t kMost = 16384;
  struct Entry {
    RouteException e;
    std::uint64_t stamp;
  };
  explicit Impl(Net& n) : net(n) {}
  Net& net;
  mutable Spinlock lock;
  std::map<Key, Entry> entries;
  std::uint64_t stamp = 0;

  bool expired(const RouteException& e) const {
    return e.expires != 0 && net.clock.now() > e.expires;
  }
  void set(const RouteException& e) {
    const auto it = entries.find(key_of(e));
    if (it == entries.end() && entries.size() >= kMost)
      entries.erase(std::ranges::min_element(entries, {},
                                             [](const auto& entry) { return entry.second.stamp; }));
    Entry& entry = entries[key_of(e)];
    RouteException learnt = e;
    if (it != entries.end()) {
      if (e.redirect.is_zero()) learnt.redirect = entry.e.redirect;
      if (e.mtu == 0) {
        learnt.mtu = entry.e.mtu;
        learnt.mtu_locked = entry.e.mtu_locked;
      }
    }
    entry = {learnt, ++stamp};
  }
};

FibExceptions::FibExceptions(Net& net) : impl_(std::make_unique<Impl>(net)) {}
FibExceptions::~FibExceptions() = default;

void FibExceptions::set(const RouteException& e) {
  const std::lock_guard guard(impl_->lock);
  impl_->set(e);
  count_.store(impl_->entries.size(), std::memory_order_release);
  impl_->net.generations.changed(Basis::exception);
}

void FibExceptions::set_all(const std::vector<RouteException>& all) {
  const std::lock_guard guard(impl_->lock);
  impl_->entries.clear();
  for (const RouteException& e : all) impl_->set(e);
  count_.store(impl_->entries.size(), std::memory_order_release);
  impl_->net.generations.changed(Basis::exception);
}

std::optional<RouteException> FibExceptions::search(Ip4 daddr, Ip4 gateway, int oif) const {
  const std::lock_guard guard(impl_->lock);
  const auto it = impl_->entries.find({daddr.host, gateway.host, oif});
  if (it == impl_->entries.end()) return std::nullopt;
  if (impl_->expired(it->second.e)) {
    impl_->entries.erase(it);
    count_.store(impl_->entries.size(), std::memory_order_release);
    return std::nullopt;
  }
  return it->second.e;
}

std::vector<RouteException> FibExceptions::all() const {
  const std::lock_guard guard(impl_->lock);
  std::vector<RouteException> list;
  for (const auto& [key, entry] : impl_->entries)
    if (!impl_->expired(entry.e)) list.push_back(entry.e);
  return list;
}

}  // namespace txp
