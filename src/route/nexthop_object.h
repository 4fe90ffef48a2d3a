// SPDX-License-Identifier: Apache-2.0
// Next-hop objects as the lookup reads them. Kernel twin: include/net/nexthop.h.
#pragma once

#include <cstdint>
#include <map>
#include <memory>
#include <mutex>
#include <vector>

#include "base/rcu.h"
#include "route/fib_semantics.h"
#include "route/nexthop.h"

namespace txp {

struct NhObject;

// A place for the object of one id. Routes and groups hold the slot, so that a replaced object is
// followed at once. Stable while anybody refers to it.
struct NhSlot {
  std::uint32_t id = 0;
  RcuPtr<const NhObject> object;  // null: no such object (now)
  std::uint32_t refs = 0;         // routes and groups; under rtnl
};

struct NhMember {  // struct nh_grp_entry
  NhSlot* slot = nullptr;
  std::uint16_t weight = 1;
  std::int32_t upper_bound = 0;
};

// struct nexthop: immutable, replaced as a whole.
struct NhObject {
  NexthopSpec spec;
  FibNh nh;                     // when it is no group
  std::vector<NhMember> group;  // when it is
  bool is_group() const { return !group.empty(); }
};

// nexthop_is_blackhole().
bool nexthop_is_blackhole(const NhObject& nh);
// nexthop_get_nhc_lookup(): the first usable hop for this flow, or null.
const FibNh* nexthop_get_nhc_lookup(Net& net, const NhObject& nh, const Flow4& fl4,
                                    const NhObject** member);
// nexthop_select_path(): the member of a group for `hash`. Null: cannot be known; `why` says what.
const NhObject* nexthop_select_path(Net& net, const NhObject& nh, int hash);

struct Nexthops::Impl {
  explicit Impl(Net& n) : net(n) {}
  ~Impl();
  Net& net;
  NhSlot* hold(std::uint32_t id);  // the slot of `id`, made when there is none; one reference
  void put(NhSlot* slot);
  mutable std::mutex mutex;  // the map; writers hold rtnl too
  std::map<std::uint32_t, std::unique_ptr<NhSlot>> slots;
};

}  // namespace txp
