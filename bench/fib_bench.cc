// SPDX-License-Identifier: Apache-2.0
// The forwarding tables with a million routes: import time, bytes a route, lookup time. Prefix
// lengths are spread as in the Internet's table, half of it /24.
#include <benchmark/benchmark.h>

#include <algorithm>
#include <mutex>
#include <vector>

#include "dev/netdevice.h"
#include "net.h"
#include "route/fib.h"
#include "route/fib_lookup.h"
#include "route/ip_route.h"

namespace {

using namespace txp;

constexpr std::size_t kMillion = 1'000'000;
constexpr int kGateways = 64;

std::vector<Route> internet(std::size_t count) {
  static constexpr std::uint8_t kLengths[] = {24, 24, 24, 24, 24, 24, 24, 24, 23, 22,
                                              22, 21, 20, 19, 18, 17, 16, 25, 27, 32};
  Random random(1);
  std::vector<Prefix4> prefixes;
  while (prefixes.size() < count) {
    for (std::size_t i = prefixes.size(); i < count + count / 8; ++i) {
      const std::uint8_t len = kLengths[random.below(std::size(kLengths))];
      // 1.0.0.0 to 223.255.255.255
      const std::uint32_t addr = (1 + random.below(223)) << 24 | (random.u32() & 0xffffff);
      prefixes.push_back({Ip4{addr & inet_make_mask(len)}, len});
    }
    std::ranges::sort(prefixes);
    prefixes.erase(std::ranges::unique(prefixes).begin(), prefixes.end());
  }
  // An even share of them, still in order, as a dump comes.
  std::vector<Route> routes(count);
  for (std::size_t i = 0; i < count; ++i) {
    Route& r = routes[i];
    r.dst = prefixes[i * prefixes.size() / count];
    r.nexthops = {
        NextHop{.oif = 2, .gateway = Ip4{0x0a090002 + random.below(kGateways)}, .scope = 253}};
  }
  return routes;
}

void add_device(Net& net) {
  Link link;
  link.ifindex = 2;
  link.name = "null0";
  link.flags = kIffUp | kIffBroadcast;
  net.dev->set_link(link);
  InAddr addr;
  addr.ifindex = 2;
  addr.local = addr.peer = Ip4{0x0a090001};
  addr.prefixlen = 24;
  net.dev->set_addr(addr);
}

void fib_import(benchmark::State& state) {
  const std::vector<Route> routes = internet(static_cast<std::size_t>(state.range(0)));
  for (auto _ : state) {
    Net net({.clock = Clock::manual(0)});
    const std::lock_guard guard(net.rtnl);
    for (const Route& r : routes)
      if (!net.fib->add(r)) state.SkipWithError("a route was refused");
    state.counters["bytes_per_route"] =
        static_cast<double>(net.fib->memory()) / static_cast<double>(net.fib->size());
  }
  state.SetItemsProcessed(state.iterations() * state.range(0));
}
BENCHMARK(fib_import)->Arg(kMillion)->Unit(benchmark::kMillisecond);

// Random destinations inside the table: `hot` asks 256 of them again and again.
void lookup(benchmark::State& state, bool whole) {
  const auto count = static_cast<std::size_t>(state.range(0));
  const std::vector<Route> routes = internet(count);
  Net net({.clock = Clock::manual(0)});
  std::vector<Ip4> asked;
  {
    const std::lock_guard guard(net.rtnl);
    add_device(net);
    for (const Route& r : routes)
      if (!net.fib->add(r)) state.SkipWithError("a route was refused");
    Random random(2);
    for (int i = 0; i < (state.range(1) != 0 ? 256 : 1 << 20); ++i) {
      const Prefix4 p = routes[random.below(static_cast<std::uint32_t>(count))].dst;
      asked.push_back({p.addr.host | (random.u32() & ~inet_make_mask(p.len))});
    }
  }
  const RcuReader reader;
  std::size_t at = 0;
  for (auto _ : state) {
    Flow4 f;
    f.daddr = asked[at++ & (asked.size() - 1)];
    f.proto = 17;
    if (whole) {
      benchmark::DoNotOptimize(ip_route_output_flow(net, f, nullptr));
    } else {
      FibResult res;
      if (fib_lookup(net, f, res, nullptr) != 0) state.SkipWithError("no route");
      benchmark::DoNotOptimize(res);
    }
  }
  state.SetItemsProcessed(state.iterations());
}
BENCHMARK_CAPTURE(lookup, fib_lookup, false)
    ->ArgNames({"routes", "hot"})
    ->Args({16, 1})
    ->Args({kMillion, 0})
    ->Args({kMillion, 1});
BENCHMARK_CAPTURE(lookup, ip_route_output_flow, true)
    ->ArgNames({"routes", "hot"})
    ->Args({16, 1})
    ->Args({kMillion, 0});

}  // namespace
