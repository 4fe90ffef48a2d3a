// SPDX-License-Identifier: Apache-2.0
// Records one walk into a flow plan. It hangs on the thread (Cpu::recorder) while the walk lasts;
// the stages that decide for a whole flow tell it what, and it counts what the walk counts.
#pragma once

#include <array>
#include <cstdint>

#include "net.h"
#include "plan/plan.h"
#include "plan/shape.h"

namespace txp {

struct FibResult;
struct MsgHdr;

class PlanRecorder {
 public:
  PlanRecorder(Net& net, Cpu& cpu, Sock& sk, const MsgHdr& msg, std::size_t payload);
  ~PlanRecorder() { cpu_.recorder = nullptr; }
  PlanRecorder(const PlanRecorder&) = delete;
  PlanRecorder& operator=(const PlanRecorder&) = delete;

  // ip_route_output_flow(): the answer, and what gave it.
  void route(const Flow4& fl4, const FibResult& res);
  // nf_hook(): asked before a hook runs, and whether it vouched afterwards.
  void hook_begins(bool flow_only) { vouched_ = flow_only; }
  // A rule's counter counted the packet, `len` bytes long.
  void counter(NftCounter& counter, std::uint32_t len);
  void hook_ends();
  // A hook, while it runs: this verdict, and what it did to the packet, follow from the flow alone,
  // and a packet that it does not see changes nothing.
  void vouch() { vouched_ = true; }
  // dev_queue_xmit(): the packet has its link header and its queue.
  void device(const Skb& skb);
  // This datagram says nothing about the flow's next.
  void only_this() { refuse(Walk::size); }
  // The flow must walk.
  void refuse(Walk why) {
    if (plan_.refused == Walk::first) plan_.refused = why;
  }

  // The walk is over: keeps the plan, or that there can be none.
  void finish(bool sent);

 private:
  void judge(const Skb& skb);
  void later_part(const Skb& skb);
  bool take_counts(FlightCounts& counts, std::size_t payload, std::uint64_t most);
  bool take_headers(const Skb& skb);
  bool take_tail();
  bool find_shapes();
  void keep(const Plan& plan);

  Net& net_;
  Cpu& cpu_;
  Sock& sk_;
  const std::size_t payload_;
  const MsgHdr& msg_;
  std::array<std::uint64_t, kFlightCounts> before_;  // at the start, and at each device()
  FlightCounts counts_;
  FlightCounts part_counts_;  // of each fragment but the first
  FlightCounts tail_counts_;  // after the last
  bool last_part_ = true;     // no fragment is missing
  unsigned routes_ = 0;
  unsigned devices_ = 0;
  bool vouched_ = false;
  Plan plan_;
};

}  // namespace txp
