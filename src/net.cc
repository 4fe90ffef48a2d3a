// SPDX-License-Identifier: Apache-2.0
#include "net.h"

#include <algorithm>
#include <utility>

#include "dev/fdb.h"
#include "dev/netdevice.h"
#include "ip/inet_fragment.h"
#include "neigh/neighbour.h"
#include "netfilter/nf_hook.h"
#include "route/fib.h"
#include "route/fib6.h"
#include "route/fib_exceptions.h"
#include "route/fib_rules.h"
#include "route/nexthop.h"
#include "softirq/net_tx_action.h"
#include "udp/udp_table.h"

namespace txp {

thread_local constinit Net::CpuCache Net::cache_;

namespace {

// Tells Nets apart for the per-thread cache, also when one is made where another was.
std::uint64_t next_net_id() {
  static std::atomic<std::uint64_t> last{0};
  return last.fetch_add(1, std::memory_order_relaxed) + 1;
}

// The Cpus that this thread holds, one a Net. Given back when the thread ends.
struct ThreadCpus {
  struct Held {
    std::uint64_t net_id;
    std::shared_ptr<Cpu> cpu;
  };
  std::vector<Held> held;
  ~ThreadCpus() {
    for (Held& h : held) h.cpu->in_use.store(false, std::memory_order_release);
  }
};
thread_local ThreadCpus thread_cpus;

}  // namespace

Net::Net(const Options& options)
    : id_(next_net_id()),
      sysctl_(new Sysctls),
      clock(options.clock),
      random(options.seed),
      dev(std::make_unique<DevTable>(*this)),
      nf(std::make_unique<NfHooks>(*this)),
      rules(std::make_unique<FibRules>(*this, FibRules::Family::inet)),
      nexthops(std::make_unique<Nexthops>(*this)),
      fib(std::make_unique<FibTables>(*this)),
      exceptions(std::make_unique<FibExceptions>(*this)),
      neigh(std::make_unique<NeighTable>(*this, NeighTable::Family::inet)),
      rules6(std::make_unique<FibRules>(*this, FibRules::Family::inet6)),
      fib6(std::make_unique<Fib6Tables>(*this)),
      neigh6(std::make_unique<NeighTable>(*this, NeighTable::Family::inet6)),
      fdb(std::make_unique<Fdb>(*this)),
      udp(std::make_unique<UdpTable>()),
      frags(std::make_unique<IpFrags>(*this)),
      frags6(std::make_unique<Ip6Frags>(*this)) {
  ip_id.store(random.u32(), std::memory_order_relaxed);
  multipath_seed = random.u32();
}

Net::~Net() {
  for (const std::shared_ptr<Cpu>& cpu : cpus_)
    while (SkbPtr skb = cpu->backlog.pop_front()) free_skb(std::move(skb));
  const std::lock_guard guard(rtnl);
  retired.flush();  // a discipline's watchdog needs the timers
  delete sysctl_.set(nullptr);
  delete obstacles_.set(nullptr);
}

Cpu& Net::slow_cpu() {
  for (const ThreadCpus::Held& h : thread_cpus.held) {
    if (h.net_id == id_) {
      cache_ = {id_, h.cpu.get()};
      return *h.cpu;
    }
  }
  // Entries of Nets that are gone: nobody but this thread holds their Cpu.
  std::erase_if(thread_cpus.held, [](const ThreadCpus::Held& h) { return h.cpu.use_count() == 1; });
  const std::lock_guard guard(cpus_mutex_);
  std::shared_ptr<Cpu> mine;
  for (const std::shared_ptr<Cpu>& c : cpus_) {
    bool free = false;
    if (c->in_use.compare_exchange_strong(free, true, std::memory_order_acquire)) {
      mine = c;
      break;
    }
  }
  if (!mine) {
    mine = std::make_shared<Cpu>();
    mine->in_use.store(true, std::memory_order_relaxed);
    mine->number = static_cast<unsigned>(cpus_.size());
    cpus_.push_back(mine);
  }
  thread_cpus.held.push_back({id_, mine});
  cache_ = {id_, mine.get()};
  return *mine;
}

void Net::set_sysctls(Sysctls s) {
  sk_buff_size.store(s.sk_buff, std::memory_order_relaxed);
  skb_small_head.store(s.skb_small_head, std::memory_order_relaxed);
  retired.retire(sysctl_.set(new Sysctls(std::move(s))));
  generations.changed(Basis::sysctl);
}

void Net::set_obstacles(std::vector<Obstacle> obstacles) {
  auto* next = obstacles.empty() ? nullptr : new std::vector<Obstacle>(std::move(obstacles));
  retired.retire(obstacles_.set(next));
  generations.changed(Basis::obstacle);
}

std::size_t Net::poll() {
  neigh->reap();
  neigh6->reap();
  std::size_t done = timers.run(*this, clock.now());
  const RcuReader reader;
  for (NetDevice* d : dev->all()) {
    if (d->driver) done += d->driver->poll(*this, *d, sysctl().dev_weight);
  }
  done += net_tx_action(*this);
  done += run_backlog(*this);
  return done;
}

bool Net::drain(Nanos timeout) {
  const Nanos until = clock.now() + timeout;
  for (;;) {
    const std::size_t done = poll();
    if (totals().queued == 0) return true;
    const Nanos now = clock.now();
    if (now >= until) return false;
    if (done == 0 && clock.is_manual()) {
      const Nanos next = timers.next();
      if (next < 0 || next > until) {
        clock.advance(until - now);
        continue;
      }
      clock.advance(std::max<Nanos>(next - now, 0));
    } else if (done == 0) {
      std::this_thread::yield();
    }
  }
}

void Net::keep_unknown(std::string words) {
  const std::lock_guard guard(unknown_mutex_);
  last_unknown_ = std::move(words);
}

std::string Net::last_unknown() const {
  const std::lock_guard guard(unknown_mutex_);
  return last_unknown_;
}

CounterTotals Net::totals() const {
  CounterTotals t;
  {
    const std::lock_guard guard(cpus_mutex_);
    for (const std::shared_ptr<Cpu>& cpu : cpus_) {
      const Counters& c = cpu->counters;
      for (std::size_t s = 0; s < kStageCount; ++s) {
        t.stages[s].packets += c.stages[s].packets.get();
        t.stages[s].bytes += c.stages[s].bytes.get();
        for (std::size_t r = 0; r < kDropReasonCount; ++r)
          t.stages[s].drops[r] += c.drops[s][r].get();
      }
      for (std::size_t i = 0; i < kSnmpCount; ++i) t.snmp[i] += c.snmp[i].get();
      for (std::size_t r = 0; r < kDropReasonCount; ++r) t.rx_drops[r] += c.rx_drops[r].get();
      t.sent += c.sent.get();
      t.delivered += c.delivered.get();
      t.dropped += c.dropped.get();
      t.walked += c.walked.get();
      for (std::size_t i = 0; i < kWalkCount; ++i) t.walked_by[i] += c.walked_by[i].get();
      for (std::size_t i = 0; i < kBasisCount; ++i)
        t.invalidated_by[i] += c.invalidated_by[i].get();
      t.flown += cpu->shapes.add_to(t);
      t.softirq_net_tx += c.softirq_net_tx.get();
    }
  }
  const RcuReader reader;
  t.queued = dev->queued() + neigh->queued() + neigh6->queued();
  return t;
}

}  // namespace txp
