// SPDX-License-Identifier: Apache-2.0
// What a discipline costs a datagram beyond noqueue: the same walk to the null device, with each.
// The figures of interest are the differences; a busy machine blurs them, so compare medians.
#include <benchmark/benchmark.h>

#include <functional>
#include <mutex>
#include <span>
#include <vector>

#include "base/rcu.h"
#include "dev/netdevice.h"
#include "drivers/scripted_driver.h"
#include "sched/tc_options.h"
#include "txpath_sender.h"

namespace {

using namespace txp;
using testing::Octets;

constexpr std::uint32_t kMajor = 0x80010000;
constexpr std::uint32_t kFast = 1000000000;  // bytes a second: never the bottleneck

struct Setup {
  std::vector<QdiscSpec> qdiscs;
  std::vector<ClassSpec> classes;
};

Setup plain(const char* kind, Octets options = {}) {
  return {{testing::root_qdisc(kind, std::move(options))}, {}};
}
Setup htb_classes(std::uint32_t n) {
  Setup s = plain("htb", testing::htb(0x10));
  s.classes.push_back(testing::htb_class(kMajor | 1, 0xffffffff, kFast, kFast, 1000000));
  for (std::uint32_t i = 0; i < n; ++i)
    s.classes.push_back(
        testing::htb_class(kMajor | (0x10 + i), kMajor | 1, kFast / 2, kFast, 1000000));
  return s;
}

// One frame in, one frame out; `flows` packets of as many flows take turns.
void through(benchmark::State& state, const Setup& setup, std::uint32_t flows, bool by_class) {
  testing::Bed bed;
  bed.net.clock = Clock::monotonic();
  bed.driver->keep = false;
  {
    const std::lock_guard guard(bed.net.rtnl);
    bed.net.dev->set_qdiscs(2, setup.qdiscs, setup.classes, {});
  }
  const std::vector<std::uint8_t> payload(64);
  std::uint32_t flow = 0;
  for (auto _ : state) {
    SkbPtr skb = bed.frame(payload, by_class ? kMajor | (0x10 + flow) : 0);
    skb->hash = flow * 0x9e3779b9U + 1;
    if (++flow == flows) flow = 0;
    benchmark::DoNotOptimize(bed.send(std::move(skb)));
  }
  const CounterTotals t = bed.net.totals();
  if (!t.conserved() || t.delivered != static_cast<std::uint64_t>(state.iterations()))
    state.SkipWithError("packets were lost");
  state.SetItemsProcessed(state.iterations());
}

void qdisc(benchmark::State& state, const std::function<Setup()>& setup, std::uint32_t flows,
           bool by_class) {
  through(state, setup(), flows, by_class);
}

#define QDISC(name, setup, flows, by_class) \
  BENCHMARK_CAPTURE(qdisc, name, [] { return setup; }, flows, by_class)->Name(#name)

QDISC(noqueue, plain("noqueue"), 1, false);
QDISC(pfifo, plain("pfifo"), 1, false);
QDISC(pfifo_fast, plain("pfifo_fast"), 1, false);
QDISC(prio, plain("prio", testing::prio(3)), 1, false);
QDISC(tbf, plain("tbf", testing::tbf(kFast, 1000000, 1000000)), 1, false);
QDISC(htb_1, htb_classes(1), 1, true);
QDISC(htb_1000, htb_classes(1000), 1000, true);
QDISC(codel, plain("codel"), 1, false);
QDISC(fq_codel_10000_flows, plain("fq_codel"), 10000, false);
QDISC(fq_10000_flows, plain("fq"), 10000, false);
QDISC(sfq, plain("sfq"), 100, false);

// The same for a whole call, from send() on a connected socket to the driver.
void flight(benchmark::State& state, const char* kind) {
  TxpathSender sender(kind, true);
  const std::vector<std::uint8_t> payload(64);
  for (auto _ : state)
    if (!sender.send(payload)) state.SkipWithError("a send failed");
}
BENCHMARK_CAPTURE(flight, noqueue, "noqueue");
BENCHMARK_CAPTURE(flight, pfifo_fast, "pfifo_fast");
BENCHMARK_CAPTURE(flight, pfifo, "pfifo");

}  // namespace
