// SPDX-License-Identifier: Apache-2.0
// fib6_rule_lookup: the policy rules, and for each its table.
//
// Kernel twin: net/ipv6/fib6_rules.c, fib6_rule_lookup(), fib6_rule_match(), fib6_rule_action(),
// fib6_rule_saddr(), fib6_rule_suppress(); net/ipv6/route.c, ip6_pol_route(), ip6_rt_init_dst().
// Differs: no l3mdev; a dst is made for each lookup instead of kept per CPU.
#include <algorithm>

#include "dev/netdevice.h"
#include "net.h"
#include "observe/trace.h"
#include "route/fib_rules.h"
#include "route/ip6_route.h"
#include "wire/ipv6.h"

namespace txp {
namespace {

bool rule_matches(Net& net, const FibRule& r, const Flow6& fl6, int flags) {
  if (!fib_rule_match_common(net, r, fl6.iif, fl6.oif, fl6.mark, fl6.uid)) return false;
  if (r.dst6 && !r.dst6->contains(fl6.daddr)) return false;
  if (r.src6) {
    if ((flags & kRt6HasSaddr) != 0) {
      if (!r.src6->contains(fl6.saddr)) return false;
    } else if (!r.find_saddr) {
      return false;
    }
  }
  // The old `tos` of a rule is the whole DSCP here.
  const std::uint8_t tos_mask = r.tos != 0 && r.tos_mask == 0 ? 0xfc : r.tos_mask;
  if (((r.tos ^ ip6_tclass(fl6.flowlabel)) & tos_mask) != 0) return false;
  if (((r.flowlabel ^ fl6.flowlabel) & r.flowlabel_mask) != 0) return false;
  return fib_rule_match_ports(r, fl6.proto, fl6.sport, fl6.dport);
}

// ip6_mtu() of the dst.
std::uint32_t dst_mtu(const Route6& route, const NetDevice& dev, const RouteException6* learnt) {
  std::uint32_t mtu = route.metrics.value[kRtaxMtu];
  if (learnt != nullptr && learnt->mtu != 0) mtu = learnt->mtu;
  if (mtu == 0) mtu = has_in6_dev(dev) ? dev.in6_dev().conf.mtu : kIpv6MinMtu;
  return std::min(mtu, kIp6MaxMtu);
}

Rt6Info null_entry(Net& net) {
  Rt6Info rt;
  rt.error = ENETUNREACH;
  rt.dst.dev = net.dev->loopback();
  if (rt.dst.dev != nullptr) rt.idev = rt.dst.dev->ifindex;
  return rt;
}

// ip6_pol_route(). `rt.from` null: the table has nothing.
SockResult<Rt6Info> pol_route(Net& net, const Fib6Table& table, Flow6& fl6, int flags,
                              Fib6Story* story) {
  NamedObject why;
  const auto unknown = [&]() -> std::unexpected<Errno> {
    if (story != nullptr) story->unknown = why;
    return err(kUnknown);
  };
  int strict = flags & kRt6Iface;
  if (!net.sysctl().ip6_forwarding) strict |= kRt6Reachable;
  Fib6Result res;
  if (!fib6_table_lookup(net, table, fl6.oif, fl6, strict, res, &why)) return unknown();
  if (res.f6i == nullptr) return null_entry(net);
  const bool have_oif_match = res.nh != nullptr && fl6.oif == res.nh->oif;
  if (!res.reject && !fib6_select_path(net, res, fl6, fl6.oif, have_oif_match, strict, &why))
    return unknown();

  Rt6Info rt;
  rt.from = res.f6i;
  rt.dst_len = res.f6i->route.dst.len;
  rt.dst.type = res.type;
  const NetDevice* nh_dev = res.nh != nullptr ? net.dev->by_index(res.nh->oif) : nullptr;
  rt.idev = nh_dev != nullptr ? nh_dev->ifindex : 0;
  // ip6_rt_get_dev_rcu()
  const bool local = res.type == RouteType::local || res.type == RouteType::anycast;
  rt.dst.dev =
      local || nh_dev == nullptr ? net.dev->loopback() : net.dev->by_index(nh_dev->ifindex);
  if (res.reject) {
    rt.error = ip6_rt_type_to_error(res.type);
    rt.dst.output = DstOutput::discard;
    return rt;
  }
  if (rt.dst.dev == nullptr) return null_entry(net);
  if (res.nh != nullptr && !res.nh->encap.empty()) {
    why = NamedObject{.kind = "lwtunnel", .text = "encap " + res.nh->encap};
    return unknown();
  }
  if (res.nh != nullptr) rt.gateway = res.nh->gateway;
  rt.dst.iif = rt.idev;  // where what this host sends to itself comes in
  RouteException6 learnt;
  const bool has_learnt =
      res.nh != nullptr && net.fib6->find_exception(fl6.daddr, rt.gateway, res.nh->oif, learnt);
  if (has_learnt && story != nullptr) story->exception = learnt;
  rt.dst.output = DstOutput::ip6_output;
  rt.dst.is_local = local;
  rt.dst.is_multicast = fl6.daddr.is_multicast();
  rt.dst.hoplimit =
      static_cast<std::uint8_t>(std::min(res.f6i->route.metrics.value[kRtaxHoplimit], 255U));
  rt.dst.mtu_locked = (res.f6i->route.metrics.lock & (1U << kRtaxMtu)) != 0;
  rt.dst.onlink_scope = rt.gateway.is_any();
  rt.dst.mtu = dst_mtu(res.f6i->route, *rt.dst.dev, has_learnt ? &learnt : nullptr);
  return rt;
}

// fib6_rule_saddr(): false: the address that would be chosen is not the rule's.
bool rule_saddr(Net& net, const FibRule& r, Flow6& fl6, int flags, unsigned prefs,
                const Rt6Info& rt) {
  if (!r.find_saddr || !r.src6 || (flags & kRt6HasSaddr) != 0) return true;
  const auto saddr = ipv6_dev_get_saddr(net, net.dev->by_index(rt.idev), fl6.daddr, prefs);
  if (!saddr || !r.src6->contains(*saddr)) return false;
  fl6.saddr = *saddr;
  return true;
}

bool suppressed(Net& net, const FibRule& r, const Rt6Info& rt) {
  if (int{rt.dst_len} <= r.suppress_prefixlength) return true;
  const NetDevice* dev = net.dev->by_index(rt.idev);
  return r.suppress_ifgroup != -1 && dev != nullptr &&
         static_cast<int>(dev->link().group) == r.suppress_ifgroup;
}

// fib6_rule_action(). Empty: the rule says nothing, go on.
std::optional<SockResult<Rt6Info>> rule_action(Net& net, const FibRule& r, Flow6& fl6, int flags,
                                               unsigned prefs, Fib6Story* story) {
  Rt6Info refused = null_entry(net);
  switch (r.action) {
    case RuleAction::to_table: break;
    case RuleAction::unreachable: return refused;
    case RuleAction::prohibit: refused.error = EACCES; return refused;
    default: refused.error = EINVAL; return refused;
  }
  const Fib6Table* table = net.fib6->get_table(r.table);
  if (table == nullptr) return std::nullopt;
  SockResult<Rt6Info> rt = pol_route(net, *table, fl6, flags, story);
  if (!rt) return rt;
  if (rt->from == nullptr || !rule_saddr(net, r, fl6, flags, prefs, *rt) || rt->error == EAGAIN)
    return std::nullopt;
  return rt;
}

}  // namespace

SockResult<Rt6Info> fib6_rule_lookup(Net& net, Flow6& fl6, int flags, unsigned prefs,
                                     Fib6Story* story) {
  const std::vector<FibRule>& rules = net.rules6->all();
  for (std::size_t i = 0; i < rules.size(); ++i) {
    const FibRule& r = rules[i];
    if (story != nullptr) story->passed.push_back(&r);
    if (r.action == RuleAction::nop || rule_matches(net, r, fl6, flags) == r.invert) continue;
    if (r.action == RuleAction::goto_) {
      const auto target = std::ranges::find(rules, r.goto_target, &FibRule::priority);
      if (target != rules.end() && r.goto_target > r.priority)
        i = static_cast<std::size_t>(target - rules.begin()) - 1;
      continue;
    }
    const auto rt = rule_action(net, r, fl6, flags, prefs, story);
    if (!rt) continue;
    if (*rt && r.action == RuleAction::to_table && suppressed(net, r, **rt)) continue;
    if (story != nullptr) {
      story->passed.pop_back();
      story->rule = &r;
    }
    return *rt;
  }
  return null_entry(net);
}

}  // namespace txp
