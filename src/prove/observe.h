// SPDX-License-Identifier: Apache-2.0
// One datagram really sent through the kernel, and what was seen of it: the call's errno, the
// tracepoints that its packets passed, the frames on the devices.
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "base/result.h"
#include "explain/explain.h"
#include "explain/flow_question.h"
#include "watch/watch.h"

namespace txp {

struct SeenEvent {
  std::optional<Stage> stage;
  txp_watch_point point{};
  std::string event;
  std::string dev;
  std::uint32_t len = 0;
  std::int32_t value = 0;
  std::uint32_t table = 0;       // fib_table_lookup
  std::string reason, location;  // kfree_skb
};

struct Observation {
  std::optional<Errno> error;  // of the send call, or of `failed_call`
  std::string failed_call;
  std::vector<SeenEvent> events;    // in time
  std::vector<ReportFrame> frames;  // as hardware would send them: segmented, checksums filled
  bool superframe = false;          // the device took a frame to be segmented by hardware
  std::vector<bool> watched;        // by Stage: some point tells of it
};

// Watches this process. One at a time in a process, as what it sees is told by process.
class Observer {
 public:
  // In the calling thread's namespace. Errors as Watch::open().
  [[nodiscard]] static Result<std::unique_ptr<Observer>> open();
  // Sends, and looks until nothing more is seen for a moment.
  [[nodiscard]] Result<Observation> send(const FlowQuestion& question,
                                         std::span<const std::uint8_t> payload);

 private:
  explicit Observer(std::unique_ptr<Watch> watch) : watch_(std::move(watch)) {}
  std::unique_ptr<Watch> watch_;
};

}  // namespace txp
