// SPDX-License-Identifier: Apache-2.0
// One network namespace: tables, devices, counters, clock and random source (struct net).
// No globals: two Nets live side by side.
//
// Threads: any number may send. Configuration changes hold `rtnl`. Readers of the tables stand in
// an RcuReader, which sock_sendmsg(), poll() and the receive entry take.
#pragma once

#include <array>
#include <atomic>
#include <cstdint>
#include <functional>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <vector>

#include "base/clock.h"
#include "base/random.h"
#include "base/rcu.h"
#include "base/sysctl.h"
#include "observe/counters.h"
#include "plan/generations.h"
#include "plan/shape.h"
#include "sched/qdisc.h"
#include "skb/skb.h"
#include "softirq/timer.h"

namespace txp {

enum class LatencyMode : std::uint8_t;  // observe/latency.h
struct Latency;
struct LatencyTotals;
class Trace;
class TraceLog;
class DevTable;
class Fdb;
class FibTables;
class FibRules;
class Nexthops;
class FibExceptions;
class NeighTable;
class Fib6Tables;
class NfHooks;
class UdpTable;
class IpFrags;
class Ip6Frags;
class Plans;
class PlanRecorder;

// What one thread owns in one Net (the kernel's per-CPU data). Outlives its thread: the counts
// stay, and the next new thread takes it over.
struct Cpu {
  unsigned number = 0;  // among its Net's, from 0
  Counters counters;
  SkbPool pool;
  int xmit_recursion = 0;                // dev_xmit_recursion
  TxResult below = TxResult::success();  // what the device under a stacked one answered
  SkbQueue backlog;  // softnet_data.input_pkt_queue: netif_rx() to run_backlog()
  bool in_backlog = false;
  PlanRecorder* recorder = nullptr;  // of the walk that this thread is in, when one is recorded
  std::shared_ptr<Plans> plans;      // null until the first is kept
  FlightShapes shapes;
  std::atomic<bool> in_use{false};
  Ip4 own_source;  // a source address that was found ours when generations.epoch() was this
  std::uint64_t own_source_epoch = 0;

  Cpu();
  ~Cpu();
  bool observing = false;                  // inside a call that observed_send() has begun
  std::uint64_t trace_skip = 0;            // calls until the next one that leaves a trace
  std::uint64_t call_began = 0;            // Clock::ticks() of a call that is measured; 0: none is
  std::atomic<Latency*> latency{nullptr};  // null: nothing was measured yet
  Latency& measured();
  // A trace that only takes the time of each stage; null while a packet still tells the last one.
  Trace* stage_timer(const Clock& clock);
  std::unique_ptr<Trace> timing;
};

class Net {
  struct CpuCache {
    std::uint64_t net_id = 0;
    Cpu* cpu = nullptr;
  };
  // initial-exec: also in a shared library (the preload) no call is needed to find it.
  [[gnu::tls_model("initial-exec")]] static thread_local constinit CpuCache cache_;
  Cpu& slow_cpu();

 public:
  // Policy on the path that the engine cannot evaluate and that hangs on no table here (an IPsec
  // policy, a cgroup BPF program): every packet that would meet it at `stage` is unknown.
  struct Obstacle {
    Stage stage;
    std::string kind;
    std::string text;
  };

 private:
  // First, so that it outlives the tables: their destructors drop what still waits.
  const std::uint64_t id_;
  mutable std::mutex cpus_mutex_;
  std::vector<std::shared_ptr<Cpu>> cpus_;
  mutable std::mutex unknown_mutex_;
  std::string last_unknown_;
  RcuPtr<const Sysctls> sysctl_;
  RcuPtr<const std::vector<Obstacle>> obstacles_;

 public:
  struct Options {
    Clock clock = Clock::monotonic();
    std::uint64_t seed = 1;
  };
  explicit Net(const Options& options);
  ~Net();
  Net(const Net&) = delete;
  Net& operator=(const Net&) = delete;

  Clock clock;
  Random random;
  std::mutex rtnl;     // writers of every table
  RcuRetired retired;  // under rtnl
  TimerQueue timers;
  OutputQueue output_queue;       // disciplines that net_tx_action() runs next
  Generations generations;        // what flow plans rest on: writers of the tables count there
  std::atomic<bool> plans{true};  // whether datagrams may fly

  const std::unique_ptr<DevTable> dev;
  const std::unique_ptr<NfHooks> nf;
  const std::unique_ptr<FibRules> rules;
  const std::unique_ptr<Nexthops> nexthops;
  const std::unique_ptr<FibTables> fib;
  const std::unique_ptr<FibExceptions> exceptions;
  const std::unique_ptr<NeighTable> neigh;  // arp_tbl
  const std::unique_ptr<FibRules> rules6;
  const std::unique_ptr<Fib6Tables> fib6;
  const std::unique_ptr<NeighTable> neigh6;  // nd_tbl
  const std::unique_ptr<Fdb> fdb;
  const std::unique_ptr<UdpTable> udp;
  const std::unique_ptr<IpFrags> frags;
  const std::unique_ptr<Ip6Frags> frags6;

  const Sysctls& sysctl() const { return *sysctl_; }
  void set_sysctls(Sysctls s);  // rtnl held

  const std::vector<Obstacle>* obstacles() const { return obstacles_.get(); }  // null: none
  void set_obstacles(std::vector<Obstacle> obstacles);                         // rtnl held

  // Set before anything sends where a kernel could send the packet as well (`txpath run`). Asked in
  // dst_output(), before the packet can wait or be copied; an object makes it unknown. A flow plan
  // takes the answer for its flow: what that rests on tells `generations` when it changes.
  std::function<std::optional<NamedObject>(Net&, const Skb&)> egress_gate;

  // The calling thread's own data. A few instructions after a thread's first call.
  Cpu& this_cpu() {
    if (cache_.net_id == id_) [[likely]]
      return *cache_.cpu;
    return slow_cpu();
  }

  // Timers, drivers and NET_TX, once, without waiting. Answers how much was done.
  std::size_t poll();
  // poll() until nothing is queued or `timeout` ns of the Net's clock passed (a manual clock is
  // moved to the next timer). True when nothing is queued.
  bool drain(Nanos timeout);

  CounterTotals totals() const;

  // The last object that made a packet unknown, in words; "" when there was none.
  void keep_unknown(std::string words);
  std::string last_unknown() const;

  // Takes traces of calls (observe/trace_log.h); null: none. Set while nothing sends.
  TraceLog* trace_log = nullptr;
  LatencyMode latency_mode{};  // off
  bool observed() const { return trace_log != nullptr || latency_mode != LatencyMode{}; }
  // Measures from now on. Not while anything sends.
  void measure_latency(LatencyMode mode);
  LatencyTotals latency() const;

  // The IP id of an unconnected packet (__ip_select_ident()); set to pin it in tests.
  std::atomic<std::uint32_t> ip_id{0};
  // Sysctls::sk_buff and skb_small_head, for whoever allocates outside of an RcuReader.
  std::atomic<std::uint32_t> sk_buff_size{256};
  std::atomic<std::uint32_t> skb_small_head{576};
  std::atomic<std::uint64_t> sock_cookie{0};  // SO_COOKIE of the newest socket
  // Our own seed of the multipath hash, for when net.ipv4.fib_multipath_hash_seed gives none.
  std::uint32_t multipath_seed = 0;
};

// observe/counters.h, what every packet calls:

// A packet comes to `stage`.
inline void enter(Net& net, Stage stage, const Skb& skb) {
  StageCounters& c = net.this_cpu().counters.at(stage);
  c.packets.add();
  c.bytes.add(skb.len);
  if (skb.trace != nullptr) [[unlikely]]
    trace_enter(stage, skb);
}
// The same above ip_make_skb, where there is no skb yet; `len` is the payload's bytes.
inline void enter(Net& net, Stage stage, Trace* trace, std::size_t len) {
  StageCounters& c = net.this_cpu().counters.at(stage);
  c.packets.add();
  c.bytes.add(len);
  if (trace != nullptr) [[unlikely]]
    trace_enter(*trace, stage, len);
}
// `n` packets begin on the path.
inline void born(Net& net, std::uint64_t n = 1) { net.this_cpu().counters.sent.add(n); }
// A driver took `n` packets.
inline void delivered(Net& net, std::uint64_t n = 1) { net.this_cpu().counters.delivered.add(n); }
inline void consume(SkbPtr skb) {
  if (skb->frag_list != nullptr || skb->sk != nullptr) return free_skb(std::move(skb));
  Skb* const alone = skb.release();
  alone->net->this_cpu().pool.put(alone);
}
inline void snmp(Net& net, Snmp counter, std::uint64_t n = 1) {
  net.this_cpu().counters.at(counter).add(n);
}

}  // namespace txp
