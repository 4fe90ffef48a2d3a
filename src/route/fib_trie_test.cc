// SPDX-License-Identifier: Apache-2.0
#include "route/fib_trie.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <atomic>
#include <map>
#include <random>
#include <thread>

#include "route/route_test_net.h"

namespace txp {
namespace {

// Buries at once: nobody reads while these tests change the trie.
struct NoReaders final : TrieGraveyard {
  TrieArenas arenas;
  std::size_t buried = 0;
  void bury_node(std::uint32_t i) override {
    arenas.nodes.free(i);
    ++buried;
  }
  void bury_alias(std::uint32_t) override {}
};

// With and without the quick way into big tables.
class FibTrieProperty : public testing::TestWithParam<std::size_t> {};
INSTANTIATE_TEST_SUITE_P(JumpFrom, FibTrieProperty, testing::Values(1U, 100U, 1U << 30));

TEST_P(FibTrieProperty, LongestPrefixAsALinearSearch) {
  const unsigned seed = std::random_device{}();
  SCOPED_TRACE("seed " + std::to_string(seed));
  Random random(seed);
  NoReaders grave;
  FibTrie trie(grave.arenas, grave, GetParam());
  std::map<std::uint64_t, Prefix4> routes;  // the naive twin
  const auto id = [](Prefix4 p) { return std::uint64_t{p.addr.host} << 8 | p.len; };
  const auto some_key = [&] {
    // Few bits vary, so that prefixes meet.
    return Ip4{(random.u32() & 0xc3000f0fU) | 0x0a000000U};
  };
  for (int step = 0; step < 20000; ++step) {
    if (random.u32() % 5 < 3) {
      Prefix4 p{some_key(), static_cast<std::uint8_t>(random.u32() % 33)};
      p.addr.host &= inet_make_mask(p.len);
      const std::uint32_t node = trie.insert_node(p);
      ASSERT_NE(node, 0U);
      grave.arenas.nodes.at(node).alias.store(1);
      routes[id(p)] = p;
    } else if (!routes.empty()) {
      auto it = routes.lower_bound(id({some_key(), 0}));
      if (it == routes.end()) it = routes.begin();
      grave.arenas.nodes.at(trie.find(it->second)).alias.store(0);
      trie.prune(it->second);
      EXPECT_EQ(trie.find(it->second) != 0 && trie.node(trie.find(it->second)).alias.load() != 0,
                false);
      routes.erase(it);
    }
    if (step % 10 != 0) continue;
    const Ip4 key = some_key();
    TrieMatches m, rest;
    trie.match(key, m);
    rest.from = m.from;
    trie.match_rest(key, rest);
    std::copy_backward(m.node.begin(), m.node.begin() + m.count,
                       m.node.begin() + m.count + rest.count);
    std::copy_n(rest.node.begin(), rest.count, m.node.begin());
    m.count += rest.count;
    std::vector<Prefix4> want;
    for (const auto& [_, p] : routes)
      if (p.contains(key)) want.push_back(p);
    std::ranges::sort(want, {}, &Prefix4::len);
    ASSERT_EQ(m.count, want.size());
    for (unsigned i = 0; i < m.count; ++i) {
      EXPECT_EQ(trie.node(m.node[i]).key, want[i].addr.host);
      EXPECT_EQ(trie.node(m.node[i]).plen, want[i].len);
    }
  }
  std::size_t seen = 0;
  trie.for_each([&](const TrieNode& t) {
    EXPECT_TRUE(routes.contains(id({Ip4{t.key}, t.plen})));
    ++seen;
  });
  EXPECT_EQ(seen, routes.size());
}

TEST(FibTrie, RemovingEverythingGivesEveryNodeBack) {
  NoReaders grave;
  FibTrie trie(grave.arenas, grave);
  std::vector<Prefix4> all;
  for (std::uint32_t i = 0; i < 256; ++i) all.push_back({Ip4{i << 20}, 14});
  for (const Prefix4& p : all) grave.arenas.nodes.at(trie.insert_node(p)).alias.store(1);
  for (const Prefix4& p : all) {
    grave.arenas.nodes.at(trie.find(p)).alias.store(0);
    trie.prune(p);
  }
  EXPECT_EQ(grave.buried, 256U + 255U);  // leaves and branch points
  TrieMatches m;
  trie.match(Ip4{5U << 20}, m);
  EXPECT_EQ(m.count, 0U);
}

TEST(FibTrie, ReadersNeverMissAStableRouteWhileAWriterChangesOthers) {
  RouteTestNet t;
  t.link(2, "va");
  t.addr(2, "10.77.0.1", 24);
  t.add(RouteTestNet::via("10.200.0.0/16", "10.77.0.2", 2));
  // So many that the table has its quick way in.
  for (std::uint32_t i = 0; i < 4000; ++i) {
    Route r = RouteTestNet::via("20.0.0.0/24", "10.77.0.9", 2);
    r.dst.addr.host += i << 8;
    t.add(r);
  }
  t.rtnl.unlock();
  std::atomic<bool> stop{false};
  std::atomic<int> wrong{0};
  const auto reader = [&] {
    Random random(3);
    while (!stop.load(std::memory_order_relaxed)) {
      Flow4 f = RouteTestNet::flow("10.200.0.1");
      f.daddr.host |= random.u32() & 0xffff;
      const RcuReader guard;
      const SockResult<Rtable> rt = ip_route_output_flow(t.net, f, nullptr);
      if (!rt || (rt->gateway != ip("10.77.0.2") && rt->gateway != ip("10.77.0.3"))) ++wrong;
    }
  };
  std::thread a(reader), b(reader);
  Random random(5);
  for (int round = 0; round < 60; ++round) {
    const std::lock_guard guard(t.net.rtnl);
    for (int i = 0; i < 50; ++i) {
      Route r = RouteTestNet::via("10.200.0.0/24", "10.77.0.3", 2);
      r.dst.len = static_cast<std::uint8_t>(8 + random.u32() % 25);
      r.dst.addr.host = (r.dst.addr.host | (random.u32() & 0xffff)) & inet_make_mask(r.dst.len);
      r.priority = random.u32() % 500;
      if (random.u32() % 2 == 0)
        (void)t.net.fib->add(r);
      else
        t.net.fib->remove(r);
    }
    t.net.retired.flush();
  }
  stop = true;
  a.join();
  b.join();
  EXPECT_EQ(wrong.load(), 0);
  t.rtnl.lock();
}

}  // namespace
}  // namespace txp
