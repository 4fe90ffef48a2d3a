// SPDX-License-Identifier: Apache-2.0
// From errno to cause: what failed last, at which stage, by which object, and the smallest change
// that would have let it pass. A failure of a new kind is asked again of a private copy of the
// namespace, at most once a second; one of a known kind is only counted.
#pragma once

#include <cstdint>
#include <deque>
#include <functional>
#include <mutex>
#include <optional>
#include <string>

#include "explain/explain.h"
#include "observe/counters.h"
#include "observe/stat.h"

namespace txp {

struct Failure {
  std::int64_t at_ms = 0;  // the last time, since the epoch
  std::uint64_t times = 0;
  std::optional<Stage> stage;
  std::optional<DropReason> reason;
  int error = 0;  // the call's errno; 0: it succeeded, and a packet was dropped later
  FlowQuestion question;
  Explanation::Flow way;  // as far as it is known
  std::string dev;        // the last one that it came to; "": none
  std::string flow;       // "udp 10.0.0.1:* > 10.0.0.2:53, 100 bytes"
  std::string object;     // "": not known
  std::string change;     // "": none to name
};

// Thread safety: any.
class FailureLog {
 public:
  // Is told of each with how many times it happened since; before anything else, and not in vain.
  using Listener = std::function<void(const Failure& failure, std::uint64_t times)>;
  void listen(Listener listener) { listener_ = std::move(listener); }
  // A send call that failed with `error`.
  void call_failed(const FlowQuestion& question, std::size_t len, int error,
                   std::uint64_t times = 1);
  // What was dropped between two looks at the counters, by packets that `question` describes.
  void drops(const FlowQuestion& question, std::size_t len, const CounterTotals& before,
             const CounterTotals& now);
  // The last ones, oldest first: "failures" of the stat report.
  Json json() const;
  std::optional<Failure> last() const;

 private:
  void note(const FlowQuestion& question, std::size_t len, int error, std::optional<Stage> stage,
            std::optional<DropReason> reason, std::uint64_t times);

  Listener listener_;
  mutable std::mutex mutex_;
  std::deque<Failure> failures_;
  Nanos explained_ = 0;  // when, by the wall
};

}  // namespace txp
