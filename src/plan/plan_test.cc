// SPDX-License-Identifier: Apache-2.0
// The walk against the flight: the same calls in two Nets, one of which may fly.
#include "plan/plan.h"

#include <gtest/gtest.h>
#include <netinet/in.h>
#include <netinet/udp.h>

#include <thread>

#include "drivers/null.h"
#include "netfilter/nf_hook.h"
#include "plan/plan_recorder.h"
#include "route/fib_rules.h"
#include "softirq/net_tx_action.h"
#include "tests/support/small_net.h"
#include "wire/ethernet.h"
#include "wire/ipv4.h"
#include "wire/udp.h"

namespace txp::test {
namespace {

std::uint64_t by(const CounterTotals& t, Walk why) {
  return t.walked_by[static_cast<std::size_t>(why)];
}
std::uint64_t by(const CounterTotals& t, Basis why) {
  return t.invalidated_by[static_cast<std::size_t>(why)];
}

void expect_same_counts(const Net& a, const Net& b) {
  const CounterTotals x = a.totals();
  const CounterTotals y = b.totals();
  for (const StageInfo& s : kPath) {
    const auto i = static_cast<std::size_t>(s.stage);
    EXPECT_EQ(x.stages[i].packets, y.stages[i].packets) << s.name;
    EXPECT_EQ(x.stages[i].bytes, y.stages[i].bytes) << s.name;
    EXPECT_EQ(x.stages[i].drops, y.stages[i].drops) << s.name;
  }
  for (std::size_t i = 0; i < kSnmpCount; ++i)
    EXPECT_EQ(x.snmp[i], y.snmp[i]) << kSnmp[i].group << kSnmp[i].name;
  EXPECT_EQ(x.sent, y.sent);
  EXPECT_EQ(x.delivered, y.delivered);
  EXPECT_EQ(x.dropped, y.dropped);
  EXPECT_EQ(x.flown + x.walked, y.flown + y.walked);
  EXPECT_TRUE(x.conserved());
}

class FlowPlan : public ::testing::Test {
 protected:
  FlowPlan() { walks.net.plans = false; }
  ~FlowPlan() override { expect_same_counts(flies.net, walks.net); }

  // The same in both; what `op` answers must be equal.
  template <typename Op>
  auto both(Op op) {
    auto a = op(flies, *s_flies);
    auto b = op(walks, *s_walks);
    EXPECT_EQ(a, b);
    EXPECT_EQ(flies.va.frames, walks.va.frames);
    flies.va.frames.clear();
    walks.va.frames.clear();
    return a;
  }
  // send() and send_to() as a number: bytes, or minus the errno.
  static std::int64_t number(const SockResult<std::size_t>& r) {
    return r ? static_cast<std::int64_t>(*r) : -std::int64_t{r.error().code};
  }
  std::int64_t send_to(std::string_view ip, std::uint16_t port, std::size_t n, int flags = 0) {
    return both(
        [&](SmallNet&, TestSocket& s) { return number(s.send_to(ip, port, pattern(n), flags)); });
  }
  std::int64_t send(std::size_t n) {
    return both([&](SmallNet&, TestSocket& s) { return number(s.send(pattern(n))); });
  }
  void option(int level, int name, int value) {
    both([&](SmallNet&, TestSocket& s) { return s.set(level, name, value).has_value(); });
  }
  template <typename Change>
  void change(Change change) {
    for (SmallNet* n : {&flies, &walks}) {
      const std::lock_guard guard(n->net.rtnl);
      change(*n);
    }
  }
  void bind(std::uint16_t port) {
    both([&](SmallNet&, TestSocket& s) { return s.bind("0.0.0.0", port).has_value(); });
  }
  void connect(std::string_view ip, std::uint16_t port) {
    both([&](SmallNet&, TestSocket& s) { return s.connect(ip, port).has_value(); });
  }
  std::uint64_t flown() const { return flies.net.totals().flown; }

  SmallNet flies;
  SmallNet walks;
  std::optional<TestSocket> s_flies{flies.net};
  std::optional<TestSocket> s_walks{walks.net};
};

TEST_F(FlowPlan, TheFirstWalksTheRestFly) {
  bind(4000);
  for (int i = 0; i < 10; ++i) EXPECT_EQ(send_to("10.77.0.2", 53, 64), 64);
  EXPECT_EQ(flown(), 9U);
  EXPECT_EQ(by(flies.net.totals(), Walk::first), 1U);
  EXPECT_EQ(walks.net.totals().flown, 0U);
  EXPECT_EQ(by(walks.net.totals(), Walk::off), 10U);
}

TEST_F(FlowPlan, AConnectedSocketHoldsItsPlan) {
  connect("10.77.0.2", 53);
  for (const std::size_t n : {1U, 2U, 3U, 64U, 1400U, 1472U}) EXPECT_EQ(send(n), std::int64_t(n));
  EXPECT_EQ(flown(), 5U);
  EXPECT_EQ(send_to("10.77.0.2", 54, 9), 9);
  EXPECT_EQ(flown(), 5U);
}

TEST_F(FlowPlan, EverySizeGivesTheWalksBytes) {
  bind(4000);
  for (std::size_t n = 0; n < 1600; ++n) EXPECT_EQ(send_to("10.77.0.2", 53, n), std::int64_t(n));
  EXPECT_GE(flown(), 1471U);  // 2 to 1472
}

TEST_F(FlowPlan, FragmentsFlyToo) {
  bind(4000);
  for (const std::size_t n : {8192UL, 8192UL, 8000UL, 64UL, 64UL, 8191UL, 8192UL, 2953UL, 2954UL,
                              1700UL, 1800UL, 1473UL, 1474UL, 65507UL, 65506UL})
    EXPECT_EQ(send_to("10.77.0.2", 53, n), std::int64_t(n)) << n;
  EXPECT_EQ(flown(), 10U);
  for (const std::size_t mtu : {1400U, 1006U, 576U}) {
    for (SmallNet* n : {&flies, &walks}) n->set_mtu(static_cast<std::uint32_t>(mtu));
    for (std::size_t n = 1; n < 5000; n += 7) send_to("10.77.0.2", 53, n);
  }
  EXPECT_GT(flown(), 1800U);
  connect("10.77.0.2", 53);
  for (int i = 0; i < 4; ++i) EXPECT_EQ(send(4000), 4000);
  for (int i = 0; i < 4; ++i) EXPECT_EQ(send(40), 40);
  option(SOL_SOCKET, SO_NO_CHECK, 1);
  for (int i = 0; i < 4; ++i) EXPECT_EQ(send(4000), 4000);
}

TEST_F(FlowPlan, ARefusedFragmentTakesTheOthersWithIt) {
  bind(4000);
  for (const bool sync : {false, true}) {
    for (SmallNet* n : {&flies, &walks}) {
      n->va.features.sync = sync;
      const std::lock_guard guard(n->net.rtnl);
      n->net.dev->attach(*n->net.dev->by_index(2), std::make_unique<RecordingDriver>(n->va));
    }
    send_to("10.77.0.2", 53, 8000);
    const std::uint64_t before = flown();
    for (std::size_t taken = 0; taken < 6; ++taken) {
      for (SmallNet* n : {&flies, &walks}) n->va.busy_from = taken;
      EXPECT_EQ(send_to("10.77.0.2", 53, 8000), -ENETDOWN);
    }
    for (SmallNet* n : {&flies, &walks}) n->va.busy_from.reset();
    EXPECT_EQ(send_to("10.77.0.2", 53, 8000), 8000);
    EXPECT_EQ(flown() - before, 7U);
  }
}

TEST_F(FlowPlan, ASmallSendBufferIsFullAtTheWalksFragment) {
  bind(4000);
  send_to("10.77.0.2", 53, 60000);
  send_to("10.77.0.2", 53, 60000);
  option(SOL_SOCKET, SO_SNDBUF, 16000);
  for (std::size_t n = 8000; n < 60000; n += 8000) {
    send_to("10.77.0.2", 53, n);
    send_to("10.77.0.2", 53, n);
  }
}

TEST_F(FlowPlan, ChecksumsAreLeftToADeviceThatDoesThem) {
  for (SmallNet* n : {&flies, &walks}) {
    n->va.features.csum = true;
    const std::lock_guard guard(n->net.rtnl);
    n->net.dev->attach(*n->net.dev->by_index(2), std::make_unique<RecordingDriver>(n->va));
  }
  bind(4000);
  for (std::size_t n = 1; n < 100; ++n) send_to("10.77.0.2", 53, n);
  option(SOL_SOCKET, SO_NO_CHECK, 1);
  for (std::size_t n = 1; n < 100; ++n) send_to("10.77.0.2", 53, n);
  EXPECT_EQ(flown(), 196U);
}

TEST_F(FlowPlan, OptionsOfTheSocketEndIt) {
  bind(4000);
  const std::pair<int, int> options[] = {{IP_TOS, 0x10},
                                         {IP_TTL, 9},
                                         {IP_MTU_DISCOVER, IP_PMTUDISC_DO},
                                         {IP_MTU_DISCOVER, IP_PMTUDISC_DONT},
                                         {IP_TOS, 0}};
  for (const auto& [name, value] : options) {
    option(IPPROTO_IP, name, value);
    for (int i = 0; i < 3; ++i) EXPECT_EQ(send_to("10.77.0.2", 53, 64), 64);
  }
  EXPECT_EQ(flown(), 10U);
  connect("10.77.0.2", 53);
  for (int i = 0; i < 3; ++i) EXPECT_EQ(send(64), 64);
  option(SOL_SOCKET, SO_PRIORITY, 3);
  for (int i = 0; i < 3; ++i) EXPECT_EQ(send(64), 64);
  EXPECT_EQ(by(flies.net.totals(), Basis::socket), 1U);
  EXPECT_EQ(flown(), 14U);
}

TEST_F(FlowPlan, WhatBelongsToOneCallWalks) {
  bind(4000);
  send_to("10.77.0.2", 53, 64);
  send_to("10.77.0.2", 53, 64, MSG_DONTROUTE);
  send_to("10.77.0.2", 53, 64, MSG_MORE);
  send_to("10.77.0.2", 53, 64);  // finishes the corked one
  EXPECT_EQ(flown(), 0U);
  send_to("10.77.0.2", 53, 64);
  EXPECT_EQ(flown(), 1U);
  EXPECT_EQ(by(flies.net.totals(), Walk::message), 2U);
  EXPECT_EQ(by(flies.net.totals(), Walk::socket), 1U);
}

TEST_F(FlowPlan, AnErrorThatWaitsIsTold) {
  bind(4000);
  send_to("10.77.0.2", 53, 64);
  (*s_flies)->sk_err = ECONNREFUSED;
  (*s_walks)->sk_err = ECONNREFUSED;
  EXPECT_EQ(send_to("10.77.0.2", 53, 64), -ECONNREFUSED);
  EXPECT_EQ(send_to("10.77.0.2", 53, 64), 64);
  EXPECT_EQ(flown(), 1U);
}

TEST_F(FlowPlan, ABusyDeviceDropsAsForTheWalk) {
  bind(4000);
  send_to("10.77.0.2", 53, 64);
  for (SmallNet* n : {&flies, &walks}) n->va.busy = 1;
  EXPECT_EQ(send_to("10.77.0.2", 53, 64), -ENETDOWN);
  EXPECT_EQ(send_to("10.77.0.2", 53, 64), 64);
  EXPECT_EQ(flown(), 2U);
}

// Past an empty discipline, and by way of one where packets wait.
TEST_F(FlowPlan, ADisciplineSeesTheSame) {
  const auto stats = [](SmallNet& n) {
    const QdiscStats& q = n.net.dev->by_index(2)->tx[0]->qdisc->stats;
    return std::array{q.packets.get(), q.bytes.get(),         q.requeues.get(),
                      q.drops.get(),   std::uint64_t{q.qlen}, std::uint64_t{q.backlog}};
  };
  const auto equal = [&] {
    EXPECT_EQ(stats(flies), stats(walks));
    expect_same_counts(flies.net, walks.net);
    EXPECT_EQ((*s_flies)->wmem_alloc.load(), (*s_walks)->wmem_alloc.load());
  };
  bind(4000);
  for (const bool sync : {false, true}) {
    change([&](SmallNet& n) {
      n.va.features.sync = sync;
      n.net.dev->attach(*n.net.dev->by_index(2), std::make_unique<RecordingDriver>(n.va));
      QdiscSpec spec;
      spec.ifindex = 2;
      spec.parent = 0xffffffff;
      spec.handle = 0x80010000 + (sync ? 0x10000 : 0);
      spec.kind = "pfifo_fast";
      n.net.dev->set_qdiscs(2, {spec});
    });
    const std::uint64_t before = flown();
    for (const std::size_t n : {64, 8000, 64, 8000, 64, 8000}) send_to("10.77.0.2", 53, n);
    equal();
    for (SmallNet* n : {&flies, &walks}) n->va.busy = 1;
    for (int i = 0; i < 3; ++i) EXPECT_EQ(send_to("10.77.0.2", 53, 64), 64);
    equal();
    for (const std::size_t taken : {0U, 1U, 3U, 5U, 6U}) {
      for (SmallNet* n : {&flies, &walks}) n->va.busy_from = taken;
      EXPECT_EQ(send_to("10.77.0.2", 53, 8000), 8000);
      EXPECT_EQ(send_to("10.77.0.2", 53, 64), 64);
      equal();
      for (SmallNet* n : {&flies, &walks}) n->va.busy_from.reset();
      both([](SmallNet& n, TestSocket&) { return n.net.poll(); });
      EXPECT_EQ(send_to("10.77.0.2", 53, 64), 64);
      equal();
    }
    for (SmallNet* n : {&flies, &walks}) n->net.dev->by_index(2)->tx[0]->stopped = true;
    for (int i = 0; i < 3; ++i) EXPECT_EQ(send_to("10.77.0.2", 53, 64), 64);
    equal();
    EXPECT_EQ(stats(flies)[4], 3U);
    for (SmallNet* n : {&flies, &walks})
      netif_tx_wake_queue(n->net, *n->net.dev->by_index(2)->tx[0]);
    both([](SmallNet& n, TestSocket&) { return n.net.poll(); });
    equal();
    EXPECT_GE(flown() - before, 20U);
  }
}

TEST_F(FlowPlan, ChangedTablesEndIt) {
  bind(4000);
  const auto twice = [&] {
    for (int i = 0; i < 2; ++i) send_to("10.9.0.1", 53, 64);
  };
  const auto counted = [&](Basis basis) { return by(flies.net.totals(), basis); };
  change([](SmallNet& n) {
    Route r;
    r.dst = {*Ip4::parse("10.9.0.0"), 24};
    r.nexthops = {NextHop{.oif = 2, .gateway = *Ip4::parse("10.77.0.2"), .scope = kScopeLink}};
    n.add_route(r);
  });
  twice();
  change([](SmallNet& n) {
    Route r;
    r.dst = {*Ip4::parse("10.9.0.1"), 32};
    r.nexthops = {NextHop{.oif = 2, .gateway = *Ip4::parse("10.77.0.3"), .scope = kScopeLink}};
    n.add_route(r);
    n.add_neigh(2, "10.77.0.3", "02:00:00:00:00:03");
  });
  twice();
  EXPECT_EQ(counted(Basis::route), 1U);
  change([](SmallNet& n) { n.add_neigh(2, "10.77.0.3", "02:00:00:00:00:33"); });
  twice();
  EXPECT_EQ(counted(Basis::neighbour), 1U);
  change([](SmallNet& n) { n.add_neigh(2, "10.77.0.9", "02:00:00:00:00:99"); });
  twice();
  EXPECT_EQ(counted(Basis::neighbour), 1U) << "another neighbour is no matter";
  change([](SmallNet& n) {
    FibRule rule;
    rule.priority = 10;
    rule.action = RuleAction::prohibit;
    rule.dst = Prefix4{*Ip4::parse("10.9.0.1"), 32};
    n.net.rules->add(rule);
  });
  EXPECT_EQ(send_to("10.9.0.1", 53, 64), -EACCES);
  EXPECT_EQ(counted(Basis::rule), 1U);
  change([](SmallNet& n) { n.net.rules->set_all({}); });
  EXPECT_EQ(send_to("10.9.0.1", 53, 64), -ENETUNREACH);
  EXPECT_EQ(flown(), 5U);
}

TEST_F(FlowPlan, AHookThatDoesNotVouchIsAskedForEveryPacket) {
  int asked = 0;
  bool vouches = false;
  const auto hook = [&](Net& net, Skb&) {
    ++asked;
    if (PlanRecorder* r = net.this_cpu().recorder; r != nullptr && vouches) r->vouch();
    return NfVerdict::accept;
  };
  change([&](SmallNet& n) {
    NfHookOps ops;
    ops.function = hook;
    n.net.nf->add(ops);
  });
  bind(4000);
  for (int i = 0; i < 4; ++i) send_to("10.77.0.2", 53, 64);
  EXPECT_EQ(asked, 8);
  EXPECT_EQ(flown(), 0U);
  EXPECT_EQ(by(flies.net.totals(), Walk::netfilter), 3U);
  vouches = true;
  change([](SmallNet& n) { n.net.nf->set_ruleset({}); });  // tells that rules changed
  for (int i = 0; i < 4; ++i) send_to("10.77.0.2", 53, 64);
  EXPECT_EQ(flown(), 3U);
}

TEST_F(FlowPlan, AnUnresolvedNeighbourIsWaitedFor) {
  bind(4000);
  for (int i = 0; i < 3; ++i) send_to("10.77.0.7", 53, 64);
  EXPECT_EQ(flown(), 0U);
  change([](SmallNet& n) { n.add_neigh(2, "10.77.0.7", "02:00:00:00:00:07"); });
  for (int i = 0; i < 3; ++i) send_to("10.77.0.7", 53, 64);
  EXPECT_EQ(flown(), 2U);
}

TEST_F(FlowPlan, ANeighbourInDoubtIsTold) {
  bind(4000);
  const auto state = [&](Nud s) {
    change([s](SmallNet& n) {
      NeighSpec spec;
      spec.ifindex = 2;
      spec.dst = *Ip4::parse("10.77.0.5");
      spec.lladdr = *MacAddr::parse("02:00:00:00:00:05");
      spec.has_lladdr = true;
      spec.state = s;
      n.net.neigh->set(spec);
    });
  };
  const auto used = [](SmallNet& n) {
    return n.net.neigh->lookup(*n.net.dev->by_index(2), *Ip4::parse("10.77.0.5"))
        ->used.load(std::memory_order_relaxed);
  };
  state(Nud::stale);
  for (int i = 0; i < 5; ++i) {
    for (SmallNet* n : {&flies, &walks}) n->net.clock.advance(kMillisecond);
    send_to("10.77.0.5", 53, 64);
    EXPECT_EQ(used(flies), used(walks));
    EXPECT_EQ(used(flies), flies.net.clock.now());
  }
  EXPECT_EQ(flown(), 4U);
  state(Nud::reachable);
  for (int i = 0; i < 3; ++i) send_to("10.77.0.5", 53, 64);
  EXPECT_EQ(flown(), 6U);
  EXPECT_EQ(used(flies), used(walks));
}

TEST_F(FlowPlan, ManyFlowsShareABoundedTable) {
  bind(4000);
  for (int round = 0; round < 2; ++round)
    for (std::uint16_t port = 1; port <= 5000; ++port) {
      static_cast<void>((*s_flies).send_to("10.77.0.2", port, pattern(8)));
      static_cast<void>((*s_walks).send_to("10.77.0.2", port, pattern(8)));
    }
  EXPECT_EQ(flies.va.frames, walks.va.frames);
  // One that is used all the time stays, whatever passes by.
  const std::uint64_t before = flown();
  for (std::uint16_t port = 1; port <= 5000; ++port) {
    send_to("10.77.0.2", 9, 8);
    send_to("10.77.0.2", port, 8);
  }
  EXPECT_GE(flown() - before, 4999U);
}

TEST_F(FlowPlan, ACrowdOfFlowsIsRecordedWhenItComesAgain) {
  bind(4000);
  const auto round = [this] {
    for (std::uint16_t port = 1; port <= 3000; ++port) send_to("10.77.0.2", port, 8);
  };
  round();
  EXPECT_EQ(flown(), 0U);
  send_to("10.77.0.2", 9000, 8);  // not seen before: nobody makes room
  send_to("10.77.0.2", 9000, 8);
  send_to("10.77.0.2", 9000, 8);
  EXPECT_EQ(flown(), 1U);
}

TEST_F(FlowPlan, ABatchIsManyCalls) {
  connect("10.77.0.2", 53);
  const auto payload = pattern(2000);
  const auto batch = [&](std::span<const std::size_t> sizes) {
    return both([&](SmallNet& n, TestSocket& s) {
      std::vector<iovec> parts;
      std::vector<MsgHdr> msgs(sizes.size());
      for (const std::size_t size : sizes)
        parts.push_back({const_cast<std::uint8_t*>(payload.data()), size});
      for (std::size_t i = 0; i < sizes.size(); ++i) msgs[i].iov = {&parts[i], 1};
      return number(sock_sendmmsg(n.net, *s, msgs));
    });
  };
  std::vector<std::size_t> sizes(100, 64);
  EXPECT_EQ(batch(sizes), 100);
  EXPECT_EQ(flown(), 99U);
  sizes = {1, 2, 0, 3, 1472, 1473, 2000, 5, 66000, 7};
  EXPECT_EQ(batch(sizes), 8);
  EXPECT_EQ(flown(), 104U);
  for (const bool sync : {false, true}) {
    for (SmallNet* n : {&flies, &walks}) {
      n->va.features.sync = sync;
      const std::lock_guard guard(n->net.rtnl);
      n->net.dev->attach(*n->net.dev->by_index(2), std::make_unique<RecordingDriver>(n->va));
    }
    sizes.assign(40, 9);
    EXPECT_EQ(batch(sizes), 40);
    for (SmallNet* n : {&flies, &walks}) n->va.busy_from = 5;
    EXPECT_EQ(batch(sizes), 5);
    for (SmallNet* n : {&flies, &walks}) n->va.busy_from = 0;
    EXPECT_EQ(batch(sizes), -ENETDOWN);
    for (SmallNet* n : {&flies, &walks}) n->va.busy_from.reset();
    (*s_flies)->inet_id = 1;  // those that were not tried had drawn theirs
    (*s_walks)->inet_id = 1;
    EXPECT_EQ(batch(sizes), 40);
  }
}

TEST_F(FlowPlan, ARunOfBlocksIsManyCalls) {
  connect("10.77.0.2", 53);
  const auto payload = pattern(2000);
  const auto run = [&](std::span<const std::size_t> sizes, const SockAddr4* to, int flags) {
    return both([&](SmallNet& n, TestSocket& s) {
      std::vector<iovec> blocks;
      for (const std::size_t size : sizes)
        blocks.push_back({const_cast<std::uint8_t*>(payload.data()), size});
      return number(sock_send_run(n.net, *s, blocks, to, flags));
    });
  };
  const SockAddr4 other{*Ip4::parse("10.77.0.2"), 54};
  const SockAddr4 nobody{*Ip4::parse("10.77.0.2"), 54, AF_UNIX};
  for (const bool sync : {false, true}) {
    for (SmallNet* n : {&flies, &walks}) {
      n->va.features.sync = sync;
      const std::lock_guard guard(n->net.rtnl);
      n->net.dev->attach(*n->net.dev->by_index(2), std::make_unique<RecordingDriver>(n->va));
    }
    std::vector<std::size_t> sizes(40, 64);
    EXPECT_EQ(run(sizes, nullptr, 0), 40);
    EXPECT_EQ(run(sizes, &other, MSG_DONTWAIT), 40);
    EXPECT_EQ(run(sizes, &nobody, 0), -EAFNOSUPPORT);
    EXPECT_EQ(run(sizes, nullptr, MSG_OOB), -EOPNOTSUPP);
    sizes = {1, 2, 0, 3, 1472, 1473, 2000, 5, 66000, 7};
    EXPECT_EQ(run(sizes, nullptr, 0), 8);
    sizes.assign(40, 9);
    for (SmallNet* n : {&flies, &walks}) n->va.busy_from = 5;
    EXPECT_EQ(run(sizes, nullptr, 0), 5);
    for (SmallNet* n : {&flies, &walks}) n->va.busy_from.reset();
    (*s_flies)->inet_id = 1;  // those that were not tried had drawn theirs
    (*s_walks)->inet_id = 1;
  }
  EXPECT_GT(flown(), 150U);
}

TEST_F(FlowPlan, AFrameFilledInPlaceIsWhatSendMakes) {
  connect("10.77.0.2", 53);
  const auto commit = [&](std::size_t n, const SockAddr4* to) {
    return both([&](SmallNet& net, TestSocket& s) {
      auto frame = sock_reserve(net.net, n + 7);
      if (!frame) return -std::int64_t{frame.error().code};
      std::ranges::copy(pattern(n), (*frame)->data);
      return number(sock_commit(net.net, *s, std::move(*frame), n, to, 0));
    });
  };
  const SockAddr4 other{*Ip4::parse("10.77.0.2"), 54};
  for (const bool sync : {false, true}) {
    for (SmallNet* n : {&flies, &walks}) {
      n->va.features.sync = sync;
      const std::lock_guard guard(n->net.rtnl);
      n->net.dev->attach(*n->net.dev->by_index(2), std::make_unique<RecordingDriver>(n->va));
    }
    for (const std::size_t n : {64UL, 64UL, 1UL, 0UL, 1472UL, 1473UL, 1473UL, 9000UL, 65UL, 2UL})
      for (const SockAddr4* to : {static_cast<const SockAddr4*>(nullptr), &other})
        EXPECT_EQ(commit(n, to), std::int64_t(n));
    for (SmallNet* n : {&flies, &walks}) n->va.busy_from = 0;
    EXPECT_EQ(commit(64, nullptr), -ENETDOWN);
    for (SmallNet* n : {&flies, &walks}) n->va.busy_from.reset();
    EXPECT_EQ(commit(64, nullptr), 64);
  }
  EXPECT_GT(flown(), 20U);
  for (SmallNet* n : {&flies, &walks}) {
    EXPECT_EQ(sock_reserve(n->net, 65508).error().code, EMSGSIZE);
    free_skb(std::move(*sock_reserve(n->net, 64)));  // given up: nothing is sent
  }
}

// A reader in flight against writers: every frame must be one that the tables gave at some moment
// of its call. The writer numbers its changes; a change leaves its number in what it sets.
TEST(PlanUnderChange, NoFrameRestsOnStaleFacts) {
  constexpr std::uint32_t kChanges = 3000;
  SmallNet small;
  Net& net = small.net;
  // Gateway 1 by table main, gateway 2 by table 200 while the rule stands. The source address is
  // the number of the last change of the routes, the gateway's hardware address that of its own.
  constexpr std::uint32_t kSources = 64;
  const auto source = [](std::uint32_t n) { return Ip4{0x0a4d0000 + 100 + n % kSources}; };
  const auto set_route = [&](std::uint32_t table, std::string_view gateway, std::uint32_t n) {
    Route r;
    r.table = table;
    r.dst = {*Ip4::parse("10.9.0.0"), 24};
    r.prefsrc = source(n);
    r.nexthops = {NextHop{.oif = 2, .gateway = *Ip4::parse(gateway), .scope = kScopeLink}};
    ASSERT_TRUE(net.fib->replace(r));
  };
  const auto set_neigh = [&](std::uint8_t gateway, std::uint32_t n) {
    NeighSpec spec;
    spec.ifindex = 2;
    spec.dst = Ip4{0x0a4d0000U + gateway};
    spec.lladdr = {
        {2, gateway, 0, 0, static_cast<std::uint8_t>(n >> 8), static_cast<std::uint8_t>(n)}};
    spec.has_lladdr = true;
    spec.state = Nud::permanent;
    net.neigh->set(spec);
  };
  FibRule rule;
  rule.priority = 10;
  rule.table = 200;
  rule.dst = Prefix4{*Ip4::parse("10.9.0.0"), 24};
  {
    const std::lock_guard guard(net.rtnl);
    for (std::uint32_t i = 0; i < kSources; ++i) small.add_addr(2, source(i).str(), 24);
    set_route(kTableMain, "10.77.0.11", 0);
    set_route(200, "10.77.0.12", 0);
    set_neigh(11, 0);
    set_neigh(12, 0);
  }
  std::atomic<std::uint32_t> begun{0};
  std::atomic<std::uint32_t> done{0};
  // Change n: of the routes (0 mod 3), the rule (1), the neighbours (2).
  std::thread writer([&] {
    for (std::uint32_t n = 3; n < kChanges; ++n) {
      begun.store(n, std::memory_order_seq_cst);
      {
        const std::lock_guard guard(net.rtnl);
        switch (n % 3) {
          case 0:
            set_route(kTableMain, "10.77.0.11", n);
            set_route(200, "10.77.0.12", n);
            break;
          case 1:
            if (n / 3 % 2 == 1)
              net.rules->add(rule);
            else
              ASSERT_TRUE(net.rules->remove(rule));
            break;
          default: set_neigh(11, n); set_neigh(12, n);
        }
        if (n % 64 == 0) net.retired.flush();
      }
      done.store(n, std::memory_order_seq_cst);
      std::this_thread::yield();
    }
  });
  {
    TestSocket s(net);
    ASSERT_TRUE(s.bind("0.0.0.0", 4000));
    const auto payload = pattern(64);
    // The last change of kind `kind` that was over with change number n.
    const auto last = [](std::uint32_t n, std::uint32_t kind) {
      const std::uint32_t back = (n + 3 - kind) % 3;
      return n >= back + 3 ? n - back : 0;
    };
    const auto some = [&](std::uint32_t from, std::uint32_t to, std::uint32_t kind, auto fits) {
      for (std::uint32_t n = last(from, kind); n <= to; n += n == 0 ? 3 + kind : 3)
        if (fits(n)) return true;
      return false;
    };
    std::uint64_t sent = 0;
    while (done.load() + 1 < kChanges && sent < 2'000'000) {
      small.va.frames.clear();
      const std::uint32_t from = done.load(std::memory_order_seq_cst);
      ASSERT_TRUE(s.send_to("10.9.0.1", 53, payload));
      const std::uint32_t to = begun.load(std::memory_order_seq_cst);
      ++sent;
      ASSERT_EQ(small.va.frames.size(), 1U);
      const auto& f = small.va.frames[0];
      const auto eth = EthernetHeader::parse(f);
      const auto ip = Ipv4Header::parse(std::span(f).subspan(14));
      ASSERT_TRUE(eth && ip);
      ASSERT_EQ(ip_fast_csum(std::span(f).subspan(14, 20)), 0);
      ASSERT_TRUE(some(from, to, 0, [&](std::uint32_t n) { return ip->saddr == source(n); }))
          << "a route's source of another time: " << ip->saddr.str() << " in " << from << ".."
          << to;
      const std::uint8_t gateway = eth->dest.bytes[1];
      ASSERT_TRUE(
          some(from, to, 1, [&](std::uint32_t n) { return gateway == (n / 3 % 2 == 1 ? 12 : 11); }))
          << "a rule of another time in " << from << ".." << to;
      const std::uint32_t mac = eth->dest.bytes[4] << 8 | eth->dest.bytes[5];
      ASSERT_TRUE(some(from, to, 2, [&](std::uint32_t n) { return mac == n; }))
          << "a neighbour of another time: " << mac << " in " << from << ".." << to;
    }
    const CounterTotals t = net.totals();
    EXPECT_EQ(t.flown + t.walked, sent);
    EXPECT_GT(t.flown, 0U);
    EXPECT_GT(by(t, Basis::route), 0U);
    EXPECT_GT(by(t, Basis::rule), 0U);
    EXPECT_GT(by(t, Basis::neighbour), 0U);
    EXPECT_TRUE(t.conserved());
  }
  writer.join();
  const std::lock_guard guard(net.rtnl);
  net.retired.flush();
}

TEST(PlanThreads, EachThreadHasPlansOfItsOwn) {
  SmallNet small;
  {
    const std::lock_guard guard(small.net.rtnl);
    small.net.dev->attach(*small.net.dev->by_index(2), make_null());
  }
  TestSocket s(small.net);
  ASSERT_TRUE(s.connect("10.77.0.2", 53));
  constexpr int kEach = 2000;
  std::vector<std::thread> threads;
  for (int t = 0; t < 3; ++t)
    threads.emplace_back([&] {
      for (int i = 0; i < kEach; ++i) ASSERT_TRUE(s.send(pattern(64)));
    });
  for (std::thread& t : threads) t.join();
  const CounterTotals t = small.net.totals();
  EXPECT_EQ(t.delivered, 3U * kEach);
  EXPECT_EQ(t.flown + t.walked, 3U * kEach);
  EXPECT_GE(t.flown, 3U * (kEach - 1));
  EXPECT_TRUE(t.conserved());
}

}  // namespace
}  // namespace txp::test
