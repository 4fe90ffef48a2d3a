// SPDX-License-Identifier: Apache-2.0
// ip6_dst_lookup_flow: the route of a datagram and the address it comes from.
//
// Kernel twin: net/ipv6/ip6_output.c, ip6_dst_lookup_flow(), ip6_dst_lookup_tail();
// net/ipv6/route.c, ip6_route_output_flags(), include/net/ip6_route.h, ip6_route_get_saddr().
// Differs: no cached dst; no l3mdev; IPsec is an Obstacle of the Net; an optimistic source address
// is not sent by the router while the neighbour is not known.
// Drops: nothing. Fails with ENETUNREACH, EHOSTUNREACH, EACCES, EINVAL, EADDRNOTAVAIL.
#include "dev/netdevice.h"
#include "net.h"
#include "observe/counters.h"
#include "observe/trace.h"
#include "plan/plan_recorder.h"
#include "route/ip6_route.h"
#include "socket/inet6_sock.h"

namespace txp {
namespace {

constexpr Stage kLookup6Stage = Stage::ip6_dst_lookup_flow;
constexpr int kLoopback6Ifindex = 1;

bool in_vrf(Net& net, const NetDevice& dev) {
  if (dev.link().kind == "vrf") return true;
  const NetDevice* master = dev.link().master != 0 ? net.dev->by_index(dev.link().master) : nullptr;
  return master != nullptr && master->link().kind == "vrf";
}

unsigned srcprefs(const Sock* sk) { return sk != nullptr && sk->inet6 ? sk->inet6->srcprefs : 0; }

// ip6_route_get_saddr()
std::optional<Ip6> get_saddr(Net& net, const Rt6Info* rt, const Ip6& daddr, unsigned prefs) {
  if (rt != nullptr && rt->from != nullptr && !rt->from->route.prefsrc.is_any())
    return rt->from->route.prefsrc;
  const NetDevice* dev = rt != nullptr ? net.dev->by_index(rt->idev) : nullptr;
  return ipv6_dev_get_saddr(net, dev, daddr, prefs);
}

// ip6_dst_lookup_tail()
SockResult<Rt6Info> lookup_tail(Net& net, const Sock* sk, Flow6& fl6, Fib6Story* story,
                                bool& source_chosen) {
  std::optional<Rt6Info> rt;
  int flags = 0;
  if (fl6.saddr.is_any()) {
    auto first = ip6_route_output(net, sk, fl6, 0, story);
    if (!first) return first;
    const bool good = first->error == 0;
    const auto saddr = get_saddr(net, good ? &*first : nullptr, fl6.daddr, srcprefs(sk));
    if (!saddr) return err(EADDRNOTAVAIL);
    fl6.saddr = *saddr;
    source_chosen = true;
    if (good) rt = *first;
    if (fl6.oif != 0) flags |= kRt6Iface;
  }
  if (!rt) {
    if (story != nullptr) *story = Fib6Story{};
    auto found = ip6_route_output(net, sk, fl6, flags, story);
    if (!found) return found;
    rt = *found;
  }
  if (rt->error != 0) return err(rt->error);
  if (fl6.saddr.is_v4mapped() && !fl6.daddr.is_v4mapped() && !fl6.daddr.is_any())
    return err(EAFNOSUPPORT);
  return *rt;
}

const In6Addr* find_addr(Net& net, const Ip6& src) {
  for (const NetDevice* d : net.dev->all())
    for (const In6Addr& a : d->in6_dev().addrs)
      if (a.local == src) return &a;
  return nullptr;
}

void tell(Net& net, const SockResult<Rt6Info>& rt, const Flow6& fl6, const Fib6Story& story,
          bool source_chosen, Trace& trace) {
  for (const FibRule* r : story.passed) trace.also(kLookup6Stage, *r);
  if (story.rule != nullptr) trace.by(kLookup6Stage, *story.rule);
  if (!rt) {
    if (rt.error().is_unknown())
      trace.unknown(kLookup6Stage,
                    story.unknown.value_or(NamedObject{.kind = "route", .text = ""}));
    else
      trace.result(kLookup6Stage, "error");
    return;
  }
  if (rt->from != nullptr) {
    trace.by(kLookup6Stage, rt->from->route);
    if (const NexthopSpec* nh = net.nexthops->find(rt->from->route.nhid))
      trace.by(kLookup6Stage, *nh);
  }
  if (source_chosen && (rt->from == nullptr || rt->from->route.prefsrc.is_any()))
    if (const In6Addr* a = find_addr(net, fl6.saddr)) trace.by(kLookup6Stage, *a);
  if (story.exception)
    trace.by(kLookup6Stage, NamedObject{.kind = "route-exception",
                                        .text = story.exception->daddr.str() + " mtu " +
                                                std::to_string(story.exception->mtu)});
  trace.out(kLookup6Stage, "dev", rt->dst.dev->name());
  if (rt->gateway.is_any())
    trace.out_null(kLookup6Stage, "gateway");
  else
    trace.out(kLookup6Stage, "gateway", rt->gateway.str());
  trace.out(kLookup6Stage, "src", fl6.saddr.str());
  trace.out(kLookup6Stage, "mtu", std::int64_t{rt->dst.mtu});
}

}  // namespace

SockResult<Rt6Info> ip6_route_output(Net& net, const Sock* sk, Flow6& fl6, int flags,
                                     Fib6Story* story) {
  fl6.iif = kLoopback6Ifindex;
  if (const NetDevice* oif = fl6.oif != 0 ? net.dev->by_index(fl6.oif) : nullptr;
      oif != nullptr && in_vrf(net, *oif)) {
    if (story != nullptr) story->unknown = NamedObject{.kind = "vrf", .text = oif->name()};
    return err(kUnknown);
  }
  const bool any_src = fl6.saddr.is_any();
  if ((sk != nullptr && sk->bound_dev_if != 0) || fl6.daddr.need_strict() ||
      (fl6.oif != 0 && any_src))
    flags |= kRt6Iface;
  if (!any_src) flags |= kRt6HasSaddr;
  return fib6_rule_lookup(net, fl6, flags, srcprefs(sk), story);
}

SockResult<Rt6Info> ip6_dst_lookup_flow(Net& net, const Sock* sk, Flow6& fl6, const Ip6* final_dst,
                                        Trace* trace) {
  enter(net, kLookup6Stage, trace, 0);
  trace = telling(trace);
  std::optional<Fib6Story> story;
  if (trace != nullptr) story.emplace();
  if (PlanRecorder* r = net.this_cpu().recorder; r != nullptr) r->only_this();
  bool source_chosen = false;
  SockResult<Rt6Info> rt = lookup_tail(net, sk, fl6, story ? &*story : nullptr, source_chosen);
  if (!rt && rt.error().code == ENETUNREACH) snmp(net, Snmp::Ip6OutNoRoutes);
  if (rt && final_dst != nullptr) fl6.daddr = *final_dst;
  if (const auto* obstacles = net.obstacles(); obstacles != nullptr && rt && fl6.proto != 0)
    for (const Net::Obstacle& o : *obstacles)
      if (o.stage == kLookup6Stage) {
        if (trace != nullptr)
          trace->unknown(kLookup6Stage, NamedObject{.kind = o.kind, .text = o.text});
        return err(kUnknown);
      }
  if (trace != nullptr) tell(net, rt, fl6, *story, source_chosen, *trace);
  return rt;
}

}  // namespace txp
