// SPDX-License-Identifier: Apache-2.0
// Counting a packet through the path: enter() (net.h), drop(), consume(), the protocol counters.
// Every thread counts in its own Cpu; readers sum. Stages call these and nothing else.
#pragma once

#include <array>
#include <cstdint>
#include <numeric>

#include "base/result.h"
#include "observe/count.h"
#include "observe/snmp.h"
#include "path.h"
#include "plan/reasons.h"
#include "skb/skb.h"

namespace txp {

struct NamedObject;  // observe/trace.h

// What every packet counts at a stage.
struct StageCounters {
  Count packets;
  Count bytes;
};

// What one thread has counted in one Net. What every packet touches lies together, in front.
struct Counters {
  std::array<StageCounters, kStageCount> stages;
  Count sent;       // packets born on the path: datagrams, fragments and segments beyond the first,
                    // multicast loop copies, our own ARP and ICMP
  Count delivered;  // packets a driver took
  Count walked;     // datagrams that walked; those that flew: Cpu::shapes
  Count dropped;
  std::array<Count, kSnmpCount> snmp;
  Count softirq_net_tx;
  std::array<std::array<Count, kDropReasonCount>, kStageCount> drops;
  std::array<Count, kWalkCount> walked_by;        // why they did not fly
  std::array<Count, kBasisCount> invalidated_by;  // flow plans that a change ended
  std::array<Count, kDropReasonCount> rx_drops;   // of what came in; never part of `sent`

  StageCounters& at(Stage stage) { return stages[static_cast<std::size_t>(stage)]; }
  Count& at(Snmp counter) { return snmp[static_cast<std::size_t>(counter)]; }
  Count& at(Stage stage, DropReason reason) {
    return drops[static_cast<std::size_t>(stage)][static_cast<std::size_t>(reason)];
  }
};

// The sum over threads at one moment.
struct CounterTotals {
  struct Stage {
    std::uint64_t packets = 0;
    std::uint64_t bytes = 0;
    std::array<std::uint64_t, kDropReasonCount> drops{};
  };
  std::array<Stage, kStageCount> stages{};
  std::array<std::uint64_t, kSnmpCount> snmp{};
  std::array<std::uint64_t, kDropReasonCount> rx_drops{};
  std::uint64_t sent = 0;
  std::uint64_t delivered = 0;
  std::uint64_t dropped = 0;
  std::uint64_t queued = 0;  // waiting in neighbour queues, qdiscs and requeue slots now
  std::uint64_t walked = 0;  // datagrams
  std::uint64_t flown = 0;
  std::array<std::uint64_t, kWalkCount> walked_by{};
  std::array<std::uint64_t, kBasisCount> invalidated_by{};
  std::uint64_t softirq_net_tx = 0;

  std::uint64_t invalidated() const {
    return std::accumulate(invalidated_by.begin(), invalidated_by.end(), std::uint64_t{0});
  }
  // sent == delivered + dropped + queued. Exact at any quiet moment (no thread inside a send).
  bool conserved() const { return sent == delivered + dropped + queued; }
};

// enter(), born(), delivered() and snmp(), which every packet calls, are inline in net.h.

// Tells a trace that its packet came to `stage`.
[[gnu::cold]] void trace_enter(Trace& trace, Stage stage, std::size_t len);
[[gnu::cold]] void trace_enter(Stage stage, const Skb& skb);
// A driver took a packet of the call that began at `began` (Clock::ticks()).
[[gnu::cold]] void driver_took(Net& net, std::uint64_t began);
// The packet's end at `stage`, for `reason`.
void drop(Net& net, Stage stage, SkbPtr skb, DropReason reason);
// A datagram's end at `stage` before it became an skb (no route, no buffer): born and dropped.
void drop_unborn(Net& net, Stage stage, Trace* trace, DropReason reason);
// The end of a received packet, for `reason`. Not a packet of the send path: the conservation
// equation does not see it.
void rx_drop(Net& net, SkbPtr skb, DropReason reason);
void rx_drop(Net& net, DropReason reason);  // of a frame that never became an skb
// The packet's good end: a driver (or the receiving socket) is done with it. Counts nothing. In
// net.h.
void consume(SkbPtr skb);
// The walk met an object that the engine does not implement. Tells the trace (may be null) and
// keeps the words for Net::last_unknown(). The caller fails with kUnknown.
void tell_unknown(Net& net, Stage stage, Trace* trace, NamedObject object);
// The same for a packet: drops the packet as
// TXPATH_UNKNOWN. `object` is what `ip`/`tc`/`nft` call it, e.g. "qdisc tbf 8001: dev va root".
TxResult unknown(Net& net, Stage stage, SkbPtr skb, std::string_view kind, std::string_view object);

}  // namespace txp
