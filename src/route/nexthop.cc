// SPDX-License-Identifier: Apache-2.0
// Kernel twin: net/ipv4/nexthop.c. Differs: no resilient groups (a route over one is unknown), no
// FDB next hops on the path.
#include "route/nexthop.h"

#include <algorithm>

#include "dev/netdevice.h"
#include "neigh/neighbour.h"
#include "net.h"
#include "route/fib_lookup.h"
#include "route/nexthop_object.h"
#include "route/table_lookup.h"

namespace txp {
namespace {

// nexthop_is_good_nh(): no neighbour entry counts as good.
bool is_good_nh(Net& net, const FibNh& nh) {
  const NetDevice* dev = net.dev->by_index(nh.oif);
  if (dev == nullptr) return true;
  const Neighbour* n = net.neigh->lookup(*dev, nh.gateway);
  return n == nullptr || nud_valid(n->nud_state.load(std::memory_order_relaxed));
}

// nh_hthr_group_rebalance().
void rebalance(std::vector<NhMember>& group) {
  std::uint64_t total = 0;
  for (const NhMember& m : group) total += m.weight;
  std::uint64_t w = 0;
  for (NhMember& m : group) {
    w += m.weight;
    m.upper_bound =
        total == 0 ? -1 : static_cast<std::int32_t>(((w << 31) + total / 2) / total - 1);
  }
}

}  // namespace

bool nexthop_is_blackhole(const NhObject& nh) {
  if (!nh.is_group()) return nh.spec.blackhole;
  if (nh.group.size() > 1) return false;
  const NhObject* only = nh.group[0].slot->object.get();
  return only != nullptr && only->spec.blackhole;
}

const FibNh* nexthop_get_nhc_lookup(Net& net, const NhObject& nh, const Flow4& fl4,
                                    const NhObject** member) {
  if (!nh.is_group()) return fib_lookup_good_nhc(net, nh.nh, fl4) ? &nh.nh : nullptr;
  for (const NhMember& m : nh.group) {
    const NhObject* o = m.slot->object.get();
    if (o == nullptr || !fib_lookup_good_nhc(net, o->nh, fl4)) continue;
    *member = o;
    return &o->nh;
  }
  return nullptr;
}

const NhObject* nexthop_select_path(Net& net, const NhObject& nh, int hash) {
  const NhObject* first = nullptr;
  for (const NhMember& m : nh.group) {
    const NhObject* o = m.slot->object.get();
    if (o == nullptr || !is_good_nh(net, o->nh)) continue;
    if (first == nullptr) first = o;
    if (hash <= m.upper_bound) return o;
  }
  return first != nullptr ? first : nh.group[0].slot->object.get();
}

Nexthops::Impl::~Impl() {
  for (auto& [id, slot] : slots) delete slot->object.set(nullptr);
}

NhSlot* Nexthops::Impl::hold(std::uint32_t id) {
  const std::lock_guard guard(mutex);
  std::unique_ptr<NhSlot>& slot = slots[id];
  if (!slot) {
    slot = std::make_unique<NhSlot>();
    slot->id = id;
  }
  ++slot->refs;
  return slot.get();
}

void Nexthops::Impl::put(NhSlot* slot) {
  const std::lock_guard guard(mutex);
  if (--slot->refs != 0 || slot->object.get() != nullptr) return;
  const auto it = slots.find(slot->id);
  net.retired.retire(it->second.release());
  slots.erase(it);
}

Nexthops::Nexthops(Net& net) : impl_(std::make_unique<Impl>(net)) {}
Nexthops::~Nexthops() = default;
Nexthops::Impl& Nexthops::impl() const { return *impl_; }

void Nexthops::set(const NexthopSpec& spec) {
  auto object = std::make_unique<NhObject>();
  object->spec = spec;
  object->nh.assign(spec.nh);
  for (const auto& [id, weight] : spec.group) {
    NhMember m;
    m.slot = impl_->hold(id);
    m.weight = weight;
    object->group.push_back(m);
  }
  rebalance(object->group);
  NhSlot* slot = impl_->hold(spec.id);
  const NhObject* old = slot->object.set(object.release());
  if (old != nullptr) {
    for (const NhMember& m : old->group) impl_->put(m.slot);
    impl_->net.retired.retire(old);
  }
  impl_->put(slot);
  impl_->net.generations.changed(Basis::route);
}

void Nexthops::remove(std::uint32_t id) {
  NhSlot* slot = impl_->hold(id);
  const NhObject* old = slot->object.set(nullptr);
  if (old == nullptr) {
    impl_->put(slot);
    return;
  }
  // Out of the groups that have it; a group left empty goes too (remove_nexthop_from_groups()).
  std::vector<NexthopSpec> changed;
  for (const NexthopSpec& spec : all()) {
    if (std::ranges::any_of(spec.group, [id](const auto& m) { return m.first == id; }))
      changed.push_back(spec);
  }
  for (NexthopSpec& spec : changed) {
    std::erase_if(spec.group, [id](const auto& m) { return m.first == id; });
    if (spec.group.empty())
      remove(spec.id);
    else
      set(spec);
  }
  impl_->net.fib->impl().flush_object(slot);
  for (const NhMember& m : old->group) impl_->put(m.slot);
  impl_->net.retired.retire(old);
  impl_->put(slot);
  impl_->net.generations.changed(Basis::route);
}

const NexthopSpec* Nexthops::find(std::uint32_t id) const {
  const std::lock_guard guard(impl_->mutex);
  const auto it = impl_->slots.find(id);
  if (it == impl_->slots.end()) return nullptr;
  const NhObject* o = it->second->object.get();
  return o != nullptr ? &o->spec : nullptr;
}

std::vector<NexthopSpec> Nexthops::all() const {
  const std::lock_guard guard(impl_->mutex);
  std::vector<NexthopSpec> specs;
  for (const auto& [id, slot] : impl_->slots)
    if (const NhObject* o = slot->object.get()) specs.push_back(o->spec);
  return specs;
}

}  // namespace txp
