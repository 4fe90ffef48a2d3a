// SPDX-License-Identifier: Apache-2.0
// clsact: filters on a device's way out, before its queues. Kernel twin: net/sched/sch_ingress.c
// (clsact_qdisc_ops), struct mini_Qdisc. What is on the way in is not on the send path.
#pragma once

#include <atomic>
#include <cstdint>

#include "dev/link.h"
#include "sched/cls.h"

namespace txp {

struct Clsact {
  QdiscSpec spec;
  std::vector<FilterSpec> specs;  // what `egress` was made of
  TcfChain egress;
  // `tc -s qdisc`: any thread counts here.
  std::atomic<std::uint64_t> bytes{0};
  std::atomic<std::uint64_t> packets{0};
  std::atomic<std::uint64_t> drops{0};
};

}  // namespace txp
