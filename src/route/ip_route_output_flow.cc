// SPDX-License-Identifier: Apache-2.0
// The route of a datagram: by policy rules, tables, next hops and source addresses.
// Kernel twin: net/ipv4/route.c (ip_route_output_flow()); the lookup itself is in
// ip_route_output_key_hash.cc.
// Differs: no cached dst; IPsec (xfrm_lookup_route()) is an Obstacle of the Net.
// Drops: nothing. Fails with ENETUNREACH, EHOSTUNREACH, EACCES, EINVAL or ENODEV.
#include "route/ip_route.h"

#include <algorithm>
#include <memory>

#include "dev/netdevice.h"
#include "net.h"
#include "observe/counters.h"
#include "observe/trace.h"
#include "plan/plan_recorder.h"
#include "route/nexthop_object.h"
#include "route/output.h"

namespace txp {
namespace {

constexpr Stage kStage = Stage::ip_route_output_flow;

// The address that `src` is, on the device that sends if it is there.
const InAddr* find_addr(Net& net, const NetDevice& dev, Ip4 src) {
  for (const InAddr& a : dev.in_dev().addrs)
    if (a.local == src) return &a;
  for (const NetDevice* d : net.dev->all())
    for (const InAddr& a : d->in_dev().addrs)
      if (a.local == src) return &a;
  return nullptr;
}

void tell_lookup(Net& net, const FibResult& res, const OutputStory& story, Trace& trace) {
  for (const FibRule* r : story.lookup.passed) trace.also(kStage, *r);
  const auto tell = [&](Deciding what) {
    if (story.on_link)
      trace.also(kStage, std::move(what));
    else
      trace.by(kStage, std::move(what));
  };
  if (story.lookup.rule != nullptr) tell(*story.lookup.rule);
  if (res.table != nullptr) tell(fib_result_route(net.fib->impl(), res));
  if (res.object != nullptr) tell(res.object->spec);
  if (res.object_member != nullptr) tell(res.object_member->spec);
}

void tell_route(Net& net, const Rtable& rt, const Flow4& fl4, const FibResult& res,
                const OutputStory& story, Trace& trace) {
  if (story.source_chosen && (story.on_link || res.fi == nullptr || res.fi->prefsrc.is_zero()))
    if (const InAddr* a = find_addr(net, *rt.dev, fl4.saddr)) trace.by(kStage, *a);
  if (story.exception) {
    const RouteException& e = *story.exception;
    std::string what = e.daddr.str();
    if (!e.redirect.is_zero()) what += " via " + e.redirect.str() + " (redirected)";
    if (e.mtu != 0)
      what += " mtu " + std::string(e.mtu_locked ? "lock " : "") + std::to_string(e.mtu);
    trace.by(kStage, NamedObject{.kind = "route-exception", .text = std::move(what)});
  }
  trace.out(kStage, "dev", rt.dev->name());
  if (rt.gateway_is_v6)
    trace.out(kStage, "gateway", res.nh->rare->gateway6);
  else if (rt.gateway.is_zero())
    trace.out_null(kStage, "gateway");
  else
    trace.out(kStage, "gateway", rt.gateway.str());
  trace.out(kStage, "src", fl4.saddr.str());
  trace.out(kStage, "mtu", std::int64_t{rt.mtu});
}

void tell_on_link(const Rtable& rt, const OutputStory& story, Trace& trace) {
  if (!story.on_link) return;
  trace.by(kStage, NamedObject{.kind = "device",
                               .text = rt.dev->name() + ": asked for, and no route leads there; "
                                                        "the destination is taken as on link"});
}

// xfrm_lookup_route(): an IPsec policy that the engine cannot evaluate; null: none.
const Net::Obstacle* xfrm_policy(const Net& net) {
  const auto* obstacles = net.obstacles();
  if (obstacles == nullptr) [[likely]]
    return nullptr;
  const auto it = std::ranges::find(*obstacles, kStage, &Net::Obstacle::stage);
  return it != obstacles->end() ? &*it : nullptr;
}

}  // namespace

SockResult<Rtable> ip_route_output_flow(Net& net, Flow4& fl4, Trace* trace, FibResult* found) {
  enter(net, kStage, trace, 0);
  trace = telling(trace);
  const auto story = trace != nullptr ? std::make_unique<OutputStory>() : nullptr;
  FibResult here;
  FibResult& res = found != nullptr ? *found : here;
  SockResult<Rtable> rt = ip_route_output_key_hash(net, fl4, res, story.get());
  if (rt && fl4.proto != 0) fl4.oif = rt->dev->ifindex;
  if (PlanRecorder* r = net.this_cpu().recorder; r != nullptr && rt) [[unlikely]]
    r->route(fl4, res);
  if (const auto* policy = xfrm_policy(net); policy != nullptr && rt && fl4.proto != 0) {
    if (trace != nullptr)
      trace->unknown(kStage, NamedObject{.kind = policy->kind, .text = policy->text});
    rt = err(kUnknown);
  } else if (trace != nullptr) {
    tell_lookup(net, res, *story, *trace);
    if (rt) {
      tell_on_link(*rt, *story, *trace);
      tell_route(net, *rt, fl4, res, *story, *trace);
    } else if (rt.error().is_unknown()) {
      trace->unknown(kStage, story->unknown.value_or(NamedObject{.kind = "route", .text = ""}));
    } else {
      trace->result(kStage, "error");
    }
  }
  return rt;
}

}  // namespace txp
