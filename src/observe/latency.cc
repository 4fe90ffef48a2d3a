// SPDX-License-Identifier: Apache-2.0
#include "observe/latency.h"

#include "net.h"
#include "observe/trace.h"

namespace txp {

void LatencyTotals::add(const Latency& latency) {
  latency.call.add_to(call);
  for (std::size_t i = 0; i < kStageCount; ++i) latency.stages[i].add_to(stages[i]);
}

void Net::measure_latency(LatencyMode mode) {
  clock.calibrate();
  latency_mode = mode;
}

Latency& Cpu::measured() {
  Latency* mine = latency.load(std::memory_order_relaxed);
  if (mine == nullptr) {
    mine = new Latency;
    latency.store(mine, std::memory_order_release);
  }
  return *mine;
}

Cpu::Cpu() = default;

Cpu::~Cpu() { delete latency.load(std::memory_order_relaxed); }

void driver_took(Net& net, std::uint64_t began) {
  net.this_cpu().measured().call.record(net.clock.ns_of(net.clock.ticks() - began));
}

LatencyTotals Net::latency() const {
  LatencyTotals totals;
  const std::lock_guard guard(cpus_mutex_);
  for (const std::shared_ptr<Cpu>& cpu : cpus_)
    if (const Latency* l = cpu->latency.load(std::memory_order_acquire); l != nullptr)
      totals.add(*l);
  return totals;
}

Trace* Cpu::stage_timer(const Clock& clock) {
  if (!timing) timing = std::make_unique<Trace>(clock, measured());
  return timing->idle() ? timing.get() : nullptr;
}

void Trace::take_time(Stage stage) {
  const std::uint64_t now = clock_.ticks();
  if (timed_)
    latency_->stages[static_cast<std::size_t>(*timed_)].record(clock_.ns_of(now - since_));
  timed_ = stage;
  since_ = now;
}

void Trace::stop_time() {
  if (timed_)
    latency_->stages[static_cast<std::size_t>(*timed_)].record(
        clock_.ns_of(clock_.ticks() - since_));
  timed_.reset();
}

}  // namespace txp
