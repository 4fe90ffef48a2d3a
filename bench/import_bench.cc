// SPDX-License-Identifier: Apache-2.0
// A million routes out of a real network namespace, and out of a snapshot. Needs root (or a user
// namespace) to make the namespace; it goes with the program.
#include <arpa/inet.h>
#include <benchmark/benchmark.h>
#include <linux/if_link.h>
#include <linux/rtnetlink.h>
#include <linux/veth.h>
#include <net/if.h>
#include <sched.h>
#include <unistd.h>

#include <cstdlib>
#include <cstring>
#include <memory>

#include "mirror/import.h"
#include "mirror/netlink.h"
#include "mirror/netns.h"
#include "mirror/snapshot.h"
#include "net.h"
#include "route/fib.h"

namespace {

using namespace txp;

constexpr std::uint32_t kMillion = 1'000'000;

// A namespace with a million /24 and longer routes over 64 gateways.
class Namespace {
 public:
  Namespace() {
    auto started = NetnsThread::start("");
    if (!started) return;
    thread_ = std::move(*started);
    thread_->run([this] {
      if (unshare(CLONE_NEWNET) != 0) return;
      if (std::system("ip link set lo up && ip link add va type veth peer name vb && "
                      "ip link set va up && ip link set vb up && "
                      "ip addr add 10.77.0.1/16 dev va") != 0)
        return;
      if (!add_routes()) return;
      path_ = "/proc/self/task/" + std::to_string(gettid()) + "/ns/net";
    });
  }
  const std::string& path() const { return path_; }

 private:
  static bool add_routes() {
    auto socket = NlSocket::open(NETLINK_ROUTE);
    if (!socket) return false;
    const std::uint32_t va = if_nametoindex("va");
    for (std::uint32_t i = 0; i < kMillion; ++i) {
      NlRequest r(RTM_NEWROUTE, NLM_F_CREATE);
      auto* h = r.put_header<rtmsg>();
      h->rtm_family = AF_INET;
      h->rtm_dst_len = i % 2 == 0 ? 24 : 26;
      h->rtm_table = RT_TABLE_MAIN;
      h->rtm_protocol = RTPROT_BGP;
      h->rtm_type = RTN_UNICAST;
      mnl_attr_put_u32(r.header(), RTA_DST, htonl(0x0b000000 + (i << 7 & ~0xffU) + (i % 2) * 64));
      mnl_attr_put_u32(r.header(), RTA_GATEWAY, htonl(0x0a4d0002 + i % 64));
      mnl_attr_put_u32(r.header(), RTA_OIF, va);
      if (socket->send(r) != 0) return false;
      // Only refusals are answered.
      if (i % 1024 == 0) (void)socket->receive([](const nlmsghdr&, auto) {});
    }
    return true;
  }
  std::unique_ptr<NetnsThread> thread_;
  std::string path_;
};

const Namespace& the_namespace() {
  static const Namespace ns;
  return ns;
}

void report(benchmark::State& state, const Net& net) {
  const auto routes = static_cast<double>(net.fib->size());
  state.counters["routes"] = routes;
  state.counters["bytes_per_route"] = static_cast<double>(net.fib->memory()) / routes;
}

void import_million(benchmark::State& state) {
  if (the_namespace().path().empty()) return state.SkipWithError("no namespace can be made");
  for (auto _ : state) {
    auto net = std::make_unique<Net>(Net::Options{});
    const auto imported = import_namespace(*net, {.netns = the_namespace().path(), .record = {}});
    if (!imported) return state.SkipWithError(imported.error().what.c_str());
    state.PauseTiming();
    report(state, *net);
    net.reset();
    state.ResumeTiming();
  }
}

void save_million(benchmark::State& state) {
  if (the_namespace().path().empty()) return state.SkipWithError("no namespace can be made");
  char path[] = "/tmp/import-bench-XXXXXX";
  close(mkstemp(path));
  for (auto _ : state) {
    const auto saved = save_snapshot(path, {.netns = the_namespace().path(), .record = {}});
    if (!saved) state.SkipWithError(saved.error().what.c_str());
  }
  unlink(path);
}

void load_million(benchmark::State& state) {
  if (the_namespace().path().empty()) return state.SkipWithError("no namespace can be made");
  char path[] = "/tmp/import-bench-XXXXXX";
  close(mkstemp(path));
  const auto saved = save_snapshot(path, {.netns = the_namespace().path(), .record = {}});
  if (!saved) state.SkipWithError(saved.error().what.c_str());
  for (auto _ : state) {
    auto net = std::make_unique<Net>(Net::Options{});
    const auto loaded = load_snapshot(*net, path);
    if (!loaded) state.SkipWithError(loaded.error().what.c_str());
    state.PauseTiming();
    report(state, *net);
    net.reset();
    state.ResumeTiming();
  }
  unlink(path);
}

BENCHMARK(import_million)
    ->Unit(benchmark::kMillisecond)
    ->UseRealTime()
    ->MeasureProcessCPUTime()
    ->Iterations(3);
BENCHMARK(save_million)
    ->Unit(benchmark::kMillisecond)
    ->UseRealTime()
    ->MeasureProcessCPUTime()
    ->Iterations(1);
BENCHMARK(load_million)
    ->Unit(benchmark::kMillisecond)
    ->UseRealTime()
    ->MeasureProcessCPUTime()
    ->Iterations(2);

}  // namespace
