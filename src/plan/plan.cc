// SPDX-License-Identifier: Apache-2.0
// Finding a flow's plan, and whether it still holds.
#include "plan/plan.h"

#include <netinet/in.h>

#include <algorithm>

#include "dev/netdevice.h"
#include "neigh/neighbour.h"
#include "net.h"
#include "plan/flight.h"
#include "socket/sock.h"
#include "wire/ethernet.h"
#include "wire/ipv4.h"
#include "wire/udp.h"

namespace txp {
namespace {

void invalidated(Cpu& cpu, Plan& plan, Basis by) {
  if (plan.refused == Walk::first) cpu.counters.invalidated_by[static_cast<std::size_t>(by)].add();
  plan.socket = 0;
}

// A table has changed since the plan was last used: whether it was one that the plan rests on.
[[gnu::noinline]] bool still_holds(Net& net, Cpu& cpu, Plan& plan, std::uint64_t epoch) {
  constexpr auto kNeighbour = static_cast<std::size_t>(Basis::neighbour);
  const Generations::Seen now = net.generations.seen();
  for (std::size_t i = 0; i < kBasisCount; ++i) {
    if (now[i] == plan.seen[i]) continue;
    if (i == kNeighbour && plan.refused == Walk::first && !plan.every_neighbour &&
        neighbour_holds(net, plan))
      continue;
    invalidated(cpu, plan, static_cast<Basis>(i));
    return false;
  }
  plan.seen = now;
  plan.epoch = epoch;
  return true;
}

// The plan that a connected socket holds, when it is this thread's.
Plan* own_plan(Cpu& cpu, const Sock& sk, std::uint64_t state) {
  SockPlan* held = sk.plan.load(std::memory_order_acquire);
  if (held == nullptr || held->owner != &cpu) return nullptr;
  Plan& plan = held->plan;
  if (plan.socket == state) [[likely]]
    return &plan;
  if (plan.socket != 0) invalidated(cpu, plan, Basis::socket);
  return nullptr;
}

}  // namespace

bool neighbour_holds(Net& net, Plan& plan) {
  const NetDevice& dev = *plan.skb.dev;
  Neighbour* n = net.neigh->lookup(dev, plan.next_hop);
  if (n == nullptr) return false;
  const Nud state = n->nud_state.load(std::memory_order_acquire);
  if (plan.in_doubt != nullptr) {
    if (state != Nud::delay && state != Nud::probe) return false;
    plan.in_doubt = n;
  } else if (!nud_connected(state)) {
    return false;
  }
  if (!dev_has_header(dev)) return true;
  const auto header = EthernetHeader::parse(plan.headers());
  return header && header->dest == n->mac();
}

// The most that a UDP datagram holds: beyond it the walk says EMSGSIZE.
constexpr std::size_t kMostPayload = 0xffff - kIpHlen - kUdpHlen;

Plan* find_plan(Net& net, Cpu& cpu, Sock& sk, const SockAddr4* to, std::size_t len, Walk& why) {
  const auto walks = [&why](Walk reason) {
    why = reason;
    return nullptr;
  };
  if (!net.plans.load(std::memory_order_relaxed)) [[unlikely]]
    return walks(Walk::off);
  if (sk.inet6) [[unlikely]]
    return walks(Walk::ipv6);
  const std::uint64_t epoch = net.generations.epoch();
  const std::uint64_t state = sk.plan_generation.load(std::memory_order_acquire);
  Plan* plan;
  if (to != nullptr) {
    if (to->family != AF_INET) [[unlikely]]
      return walks(Walk::message);
    plan = cpu.plans ? cpu.plans->find(state, to->addr, to->port) : nullptr;
  } else {
    plan = own_plan(cpu, sk, state);
    if (plan == nullptr && cpu.plans) plan = cpu.plans->find(state, {}, 0);
  }
  if (plan == nullptr) {
    const bool plain = sk.inet_num != 0 && !sk.corkflag && !sk.cork.pending;
    if (len == 0) return walks(Walk::size);
    return walks(plain ? Walk::first : Walk::socket);
  }
  if (plan->epoch != epoch && !still_holds(net, cpu, *plan, epoch)) return walks(Walk::first);
  // Of a flow whose first datagram was cut, only the MTU is known at first.
  const bool only_parts = plan->refused == Walk::fragments;
  if (plan->refused != Walk::first && !only_parts) [[unlikely]]
    return walks(plan->refused);
  if (len - 1 >= plan->max_payload) [[unlikely]] {
    const std::size_t parts = plan_parts(plan->max_payload, len);
    if (len == 0 || len > kMostPayload || parts > kPlanMostParts) return walks(Walk::size);
    Plan* cut = cpu.plans ? cpu.plans->find(state, plan->daddr, plan->dport, parts) : nullptr;
    if (cut == nullptr) return walks(Walk::fragments);
    if (cut->epoch != epoch && !still_holds(net, cpu, *cut, epoch)) return walks(Walk::fragments);
    if (cut->refused != Walk::first) return walks(cut->refused);
    plan = cut;
  } else if (only_parts) [[unlikely]] {
    return walks(Walk::first);
  }
  if (!socket_may_fly(sk)) [[unlikely]]
    return walks(Walk::socket);
  return plan;
}

std::uint64_t Plans::hash(std::uint64_t socket, Ip4 daddr, std::uint16_t dport, std::size_t parts) {
  const std::uint64_t h = (socket * kPlanMostParts + parts) * 0x9e3779b97f4a7c15ULL ^
                          (std::uint64_t{daddr.host} << 16 | dport);
  return h * 0xbf58476d1ce4e5b9ULL;
}

Plan* Plans::find(std::uint64_t socket, Ip4 daddr, std::uint16_t dport, std::size_t parts) {
  for (Plan& p : set_of(hash(socket, daddr, dport, parts)).ways) {
    if (p.socket != socket || p.daddr != daddr || p.dport != dport || p.parts != parts) continue;
    p.used = true;
    return &p;
  }
  return nullptr;
}

bool Plans::worth_recording(std::uint64_t socket, Ip4 daddr, std::uint16_t dport) {
  const std::uint64_t h = hash(socket, daddr, dport, 1);
  Set& set = set_of(h);
  if (std::ranges::find(set.ways, std::uint64_t{0}, &Plan::socket) != set.ways.end()) return true;
  const auto mark = static_cast<std::uint16_t>(h >> 24 | 1);
  if (const auto it = std::ranges::find(set.seen, mark); it != set.seen.end()) {
    *it = 0;
    return true;
  }
  set.seen[set.seen_hand++ % kWays] = mark;
  return false;
}

Plan& Plans::place(std::uint64_t socket, Ip4 daddr, std::uint16_t dport, std::size_t parts) {
  Set& set = set_of(hash(socket, daddr, dport, parts));
  for (Plan& p : set.ways)
    if (p.socket == 0) return p;
  // The clock: a plan that was used gets a second chance, once round.
  for (;;) {
    Plan& p = set.ways[set.hand];
    set.hand = static_cast<std::uint8_t>((set.hand + 1) % kWays);
    if (!p.used) return p;
    p.used = false;
  }
}

}  // namespace txp
