// SPDX-License-Identifier: Apache-2.0
#include "route/fib_semantics.h"

#include "dev/netdevice.h"
#include "neigh/neighbour.h"
#include "net.h"
#include "route/fib_lookup.h"
#include "route/ip_route.h"
#include "route/nexthop_object.h"

namespace txp {

void FibNh::assign(const NextHop& nh) {
  oif = nh.oif;
  gateway = nh.gateway;
  weight = nh.weight;
  scope = nh.scope;
  flags.store(nh.flags, std::memory_order_relaxed);
  if (!nh.gateway6.empty() || !nh.encap.empty() || nh.tclassid != 0)
    rare = std::make_unique<const Rare>(Rare{nh.gateway6, nh.encap, nh.tclassid});
}

NextHop FibNh::spec() const {
  NextHop nh;
  nh.oif = oif;
  nh.gateway = gateway;
  nh.scope = scope;
  nh.flags = flags.load(std::memory_order_relaxed);
  nh.weight = weight;
  if (rare) {
    nh.gateway6 = rare->gateway6;
    nh.encap = rare->encap;
    nh.tclassid = rare->tclassid;
  }
  return nh;
}

bool FibNh::same(const NextHop& nh) const {
  constexpr std::uint8_t kJudged = kNhfDead | kNhfLinkdown;
  const Rare none;
  const Rare& r = rare ? *rare : none;
  return oif == nh.oif && gateway == nh.gateway && weight == nh.weight && scope == nh.scope &&
         ((flags.load(std::memory_order_relaxed) ^ nh.flags) & ~kJudged) == 0 &&
         r.gateway6 == nh.gateway6 && r.encap == nh.encap && r.tclassid == nh.tclassid;
}

unsigned fib_info_num_path(const FibResult& res) {
  if (res.object != nullptr)
    return res.object->is_group() ? static_cast<unsigned>(res.object->group.size()) : 1;
  return res.fi->nh_count;
}

const FibNh* fib_info_nhc(const FibResult& res, std::size_t i) {
  if (res.object == nullptr) return i < res.fi->nh_count ? &res.fi->nhs[i] : nullptr;
  if (!res.object->is_group()) return i == 0 ? &res.object->nh : nullptr;
  if (i >= res.object->group.size()) return nullptr;
  const NhObject* member = res.object->group[i].slot->object.get();
  return member != nullptr ? &member->nh : nullptr;
}

Ip4 fib_nh_gateway(Net& net, const FibNh& nh) {
  const bool used = !nh.gateway_is_v6() && fib_nh_scope(net, nh) == kScopeLink;
  return used ? nh.gateway : Ip4{};
}

std::uint8_t fib_nh_scope(Net& net, const FibNh& nh) {
  if (nh.gateway_is_v6()) return kScopeLink;
  if (nh.gateway.is_zero()) return kScopeHost;
  if (nh.scope != kScopeUniverse) return nh.scope;
  if ((nh.flags.load(std::memory_order_relaxed) & kNhfOnlink) != 0) return kScopeLink;
  // fib_check_nh_v4_gw(): a gateway that is our own address has scope host, and then it is the
  // destination that is looked for on the link.
  const FibTables::Impl& fib = net.fib->impl();
  const std::uint64_t generation = fib.local_generation.load(std::memory_order_acquire);
  const std::uint64_t cached = nh.found_scope.load(std::memory_order_relaxed);
  if (cached >> 8 == generation) return static_cast<std::uint8_t>(cached);
  std::uint8_t scope = kScopeLink;
  if (const FibTable* local = fib.get_table(kTableLocal)) {
    Flow4 fl4;
    fl4.daddr = nh.gateway;
    fl4.oif = nh.oif;
    fl4.scope = kScopeLink;
    FibResult res;
    if (fib_table_lookup(net, *local, fl4, res) == 0 && res.type == RouteType::local)
      scope = kScopeHost;
  }
  nh.found_scope.store(generation << 8 | scope, std::memory_order_relaxed);
  return scope;
}

Ip4 fib_result_prefsrc(Net& net, const FibResult& res) {
  if (!res.fi->prefsrc.is_zero()) return res.fi->prefsrc;
  return inet_select_addr(net, net.dev->by_index(res.nh->oif), res.nh->gateway, res.fi->scope);
}

}  // namespace txp
