// SPDX-License-Identifier: Apache-2.0
// Kernel twins: net/core/fib_rules.c, net/ipv4/fib_rules.c, include/net/ip_fib.h (fib_lookup()).
// Differs: a flow of a VRF does not come here (see ip_route_output_key_hash.cc), so l3mdev rules
// never match; what a socket sends has no tunnel id, so tun_id rules never match.
#include "route/fib_rules.h"

#include <algorithm>
#include <cerrno>

#include "dev/netdevice.h"
#include "net.h"
#include "route/fib_lookup.h"
#include "route/table_lookup.h"

namespace txp {
namespace {

std::vector<FibRule> default_rules(FibRules::Family family) {
  std::vector<FibRule> rules(3);
  rules[0].priority = 0;
  rules[0].table = kTableLocal;
  rules[1].priority = 32766;
  rules[1].table = kTableMain;
  rules[2].priority = 32767;
  rules[2].table = kTableDefault;
  for (FibRule& r : rules) r.protocol = 2;  // RTPROT_KERNEL
  if (family == FibRules::Family::inet6) rules.pop_back();
  return rules;
}

bool is_default(const std::vector<FibRule>& rules, FibRules::Family family) {
  static constexpr std::uint32_t kWant[][2] = {
      {0, kTableLocal}, {32766, kTableMain}, {32767, kTableDefault}};
  const std::size_t count = family == FibRules::Family::inet ? 3 : 2;
  if (rules.size() != count) return false;
  for (std::size_t i = 0; i < count; ++i) {
    FibRule plain;
    plain.priority = kWant[i][0];
    plain.table = kWant[i][1];
    plain.protocol = rules[i].protocol;
    if (rules[i] != plain) return false;
  }
  return true;
}

bool outside(const std::optional<Prefix4>& prefix, Ip4 addr) {
  return prefix && !prefix->contains(addr);
}

// fib_rule_port_match(): one port under a mask, or a range.
bool port_differs(const std::optional<std::pair<std::uint16_t, std::uint16_t>>& range,
                  std::uint16_t mask, std::uint16_t port) {
  if (!range) return false;
  if (range->first == range->second && mask != 0) return ((range->first ^ port) & mask) != 0;
  return port < range->first || port > range->second;
}

// Whether the device of this name is number `ifindex`. A name that no device has matches nothing.
bool is_device(Net& net, const std::string& name, int ifindex) {
  const NetDevice* dev = net.dev->by_name(name);
  return dev != nullptr && dev->ifindex == ifindex;
}

bool all_match(Net& net, const FibRule& r, const Flow4& fl4) {
  if (!fib_rule_match_common(net, r, fl4.iif, fl4.oif, fl4.mark, fl4.uid)) return false;
  if (outside(r.src, fl4.saddr) || outside(r.dst, fl4.daddr)) return false;
  if (r.tos_mask != 0) {
    if (((r.tos ^ fl4.tos) & r.tos_mask) != 0) return false;
  } else if (r.tos != 0 && !fib_dscp_masked_match(r.tos, fl4)) {
    return false;
  }
  return fib_rule_match_ports(r, fl4.proto, fl4.sport, fl4.dport);
}

// fib4_rule_action().
int rule_action(Net& net, const FibRule& r, const Flow4& fl4, FibResult& res) {
  switch (r.action) {
    case RuleAction::to_table: break;
    case RuleAction::unreachable: return ENETUNREACH;
    case RuleAction::prohibit: return EACCES;
    default: return EINVAL;  // blackhole, none, and what a later kernel may have
  }
  const FibTable* table = net.fib->impl().get_table(r.table);
  return table != nullptr ? fib_table_lookup(net, *table, fl4, res) : EAGAIN;
}

// fib4_rule_suppress().
bool suppressed(Net& net, const FibRule& r, const FibResult& res) {
  if (int{res.prefixlen} <= r.suppress_prefixlength) return true;
  if (r.suppress_ifgroup == -1) return false;
  const FibNh* nh = fib_info_nhc(res, 0);
  const NetDevice* dev = nh != nullptr ? net.dev->by_index(nh->oif) : nullptr;
  return dev != nullptr && static_cast<int>(dev->link().group) == r.suppress_ifgroup;
}

int lookup_default(Net& net, const Flow4& fl4, FibResult& res, FibLookupTrace* trace) {
  const FibTables::Impl& fib = net.fib->impl();
  int error =
      fib_merged_lookup(net, fib.get_table(kTableLocal), fib.get_table(kTableMain), fl4, res);
  if (error == EAGAIN) {
    res = FibResult{};
    if (const FibTable* t = fib.get_table(kTableDefault))
      error = fib_table_lookup(net, *t, fl4, res);
    if (error == EAGAIN) {
      res = FibResult{};
      error = ENETUNREACH;
    }
  }
  if (trace != nullptr) {
    for (const FibRule& r : net.rules->all()) {
      if (res.table != nullptr && r.table == res.table->id) {
        trace->rule = &r;
        break;
      }
      trace->passed.push_back(&r);
    }
  }
  return error;
}

}  // namespace

FibRules::FibRules(Net& net, Family family)
    : net_(net), family_(family), rules_(new std::vector<FibRule>(default_rules(family))) {}
FibRules::~FibRules() { delete rules_.set(nullptr); }

void FibRules::add(const FibRule& rule) {
  std::vector<FibRule> rules = *rules_;
  const auto after = std::ranges::upper_bound(rules, rule.priority, {}, &FibRule::priority);
  rules.insert(after, rule);
  publish(std::move(rules));
}

bool FibRules::remove(const FibRule& rule) {
  std::vector<FibRule> rules = *rules_;
  const auto it = std::ranges::find(rules, rule);
  if (it == rules.end()) return false;
  rules.erase(it);
  publish(std::move(rules));
  return true;
}

void FibRules::set_all(std::vector<FibRule> rules) {
  std::ranges::stable_sort(rules, {}, &FibRule::priority);
  publish(std::move(rules));
}

void FibRules::publish(std::vector<FibRule> rules) {
  custom_.store(!is_default(rules, family_), std::memory_order_release);
  net_.retired.retire(rules_.set(new std::vector<FibRule>(std::move(rules))));
  net_.generations.changed(Basis::rule);
}

bool fib_rule_match_common(Net& net, const FibRule& r, int iif, int oif, std::uint32_t mark,
                           std::uint32_t uid) {
  if (!r.iifname.empty() && !is_device(net, r.iifname, iif)) return false;
  if (!r.oifname.empty() && !is_device(net, r.oifname, oif)) return false;
  if (((r.mark ^ mark) & r.mark_mask) != 0) return false;
  if (r.tun_id != 0 || r.l3mdev) return false;
  return !r.uid_range || (uid >= r.uid_range->first && uid <= r.uid_range->second);
}

bool fib_rule_match_ports(const FibRule& r, std::uint8_t proto, std::uint16_t sport,
                          std::uint16_t dport) {
  if (r.ip_proto != 0 && r.ip_proto != proto) return false;
  return !port_differs(r.sport, r.sport_mask, sport) && !port_differs(r.dport, r.dport_mask, dport);
}

bool fib_rule_match(Net& net, const FibRule& rule, const Flow4& fl4) {
  return all_match(net, rule, fl4) != rule.invert;
}

int fib_lookup(Net& net, const Flow4& fl4, FibResult& res, FibLookupTrace* trace) {
  res = FibResult{};
  if (!net.rules->custom()) return lookup_default(net, fl4, res, trace);
  const std::vector<FibRule>& rules = net.rules->all();
  for (std::size_t i = 0; i < rules.size(); ++i) {
    const FibRule& r = rules[i];
    if (trace != nullptr) trace->passed.push_back(&r);
    if (r.action == RuleAction::nop || !fib_rule_match(net, r, fl4)) continue;
    if (r.action == RuleAction::goto_) {
      // The kernel takes only targets further on; without one the rule is passed over.
      const auto target = std::ranges::find(rules, r.goto_target, &FibRule::priority);
      if (target != rules.end() && r.goto_target > r.priority)
        i = static_cast<std::size_t>(target - rules.begin()) - 1;
      continue;
    }
    FibResult found;
    const int error = rule_action(net, r, fl4, found);
    if (error == EAGAIN || (error == 0 && suppressed(net, r, found))) continue;
    if (trace != nullptr) {
      trace->passed.pop_back();
      trace->rule = &r;
    }
    res = found;
    return error;
  }
  return ENETUNREACH;
}

}  // namespace txp
