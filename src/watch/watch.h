// SPDX-License-Identifier: Apache-2.0
// The running kernel's send path, seen from its tracepoints in the stages of src/path.h.
// The programs hang on this process: they are detached when a Watch is destroyed, and when the
// process ends, however it ends.
#pragma once

#include <array>
#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "base/result.h"
#include "path.h"
#include "watch/event.h"
#include "watch/points.h"

namespace txp {

struct WatchOptions {
  std::uint32_t netns = 0;    // inode of the namespace; 0: every one
  std::uint32_t ifindex = 0;  // 0: every device
  std::uint32_t pid = 0;      // the process that sends; 0: any
  std::optional<std::uint32_t> mark;
  std::string filter;         // pcap-filter expression; "": every packet
  std::vector<Stage> stages;  // empty: every one
  bool counts = false;
  bool events = false;
  bool latency = false;
  bool drops_only = false;  // only what is dropped
  bool frames = false;      // events of dev_hard_start_xmit carry the whole frame
  bool functions = true;    // also functions' entries, where the kernel allows
};

struct WatchEvent {
  const txp_watch_event* raw;
  const WatchPoint* point;
  std::optional<Stage> stage;
  std::string reason;                   // of a drop
  std::string location;                 // of a drop
  std::span<const std::uint8_t> frame;  // with WatchOptions::frames
};

struct WatchHist {
  std::string_view from, to;
  std::uint64_t count = 0, sum = 0, max = 0;  // ns
  std::array<std::uint64_t, TXP_WATCH_BUCKETS> bucket{};
  // The upper end of the bucket that holds the p-th part of all, in ns; at most an eighth too much.
  std::uint64_t percentile(double p) const;
};

struct WatchDrop {
  std::string reason;
  std::string location;
  std::optional<Stage> stage;
  std::string dev;  // "": none yet
  std::uint64_t packets = 0, bytes = 0;
};

struct WatchTotals {
  struct StageTotal {
    bool seen = false;  // some point tells of the stage
    std::uint64_t packets = 0, bytes = 0;
    std::map<std::string, std::uint64_t> drops;        // by reason
    std::map<std::string, std::uint64_t> errors;       // by errno, of calls that failed there
    std::map<std::string_view, std::uint64_t> events;  // what else happened there
  };
  struct Qdisc {
    std::uint32_t handle = 0;
    txp_watch_qdisc counted{};
  };
  struct Device {
    std::uint32_t netns = 0, ifindex = 0;
    std::string name;
    std::uint64_t tx_packets = 0, tx_bytes = 0;  // what the driver took
    std::uint64_t queued_packets = 0;            // that came to __dev_queue_xmit
    std::uint64_t tx_busy = 0, drops = 0;
    std::vector<Qdisc> qdiscs;
  };
  std::array<StageTotal, kStageCount> stages;
  std::vector<Device> devices;
  std::vector<WatchDrop> drops;    // on the send path
  std::uint64_t elsewhere = 0;     // drops that are not of the send path
  std::vector<WatchHist> latency;  // that are not empty
  std::uint64_t lost = 0;
};

class Watch {
 public:
  // Errors: a capability that is missing, a filter that is wrong, a kernel without BTF.
  [[nodiscard]] static Result<std::unique_ptr<Watch>> open(const WatchOptions& options);
  virtual ~Watch() = default;
  Watch(const Watch&) = delete;
  Watch& operator=(const Watch&) = delete;

  // Calls `event` for what has come; waits up to `timeout_ms` for it. False: a signal came.
  virtual bool poll(int timeout_ms, const std::function<void(const WatchEvent&)>& event) = 0;
  virtual WatchTotals totals() = 0;
  // Events that found the ring full, and runs that the kernel left out, since open().
  virtual std::uint64_t lost() = 0;
  // The points that are attached, and why functions' entries are not ("": they are).
  virtual std::vector<const WatchPoint*> attached() const = 0;
  virtual std::string functions_refused() const = 0;

 protected:
  Watch() = default;
};

// The inode of the calling thread's network namespace.
std::uint32_t this_netns();

}  // namespace txp
