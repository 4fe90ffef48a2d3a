// SPDX-License-Identifier: Apache-2.0
// What `txpath run` tells the preloaded library, through the environment variable TXPATH_RUN.
#pragma once

#include <cstdint>
#include <map>
#include <string>
#include <string_view>

#include "base/result.h"

namespace txp {

enum class Doorbell : std::uint8_t {
  sync,   // the frame is with the kernel's driver when the call returns
  async,  // a thread of ours rings, a bounded time later
};

struct RunOptions {
  std::string device;                          // KIND for every device; "": chosen by itself
  std::map<std::string, std::string> devices;  // DEV=KIND
  Doorbell doorbell = Doorbell::sync;
  bool strict = false;      // a fallback is an error of the call: EOPNOTSUPP
  bool bulk = true;         // async: one segmentation frame for equal datagrams that wait
  std::uint64_t trace = 0;  // datagrams to trace, a process
  std::string pcap;         // a file a process: this path, a dot and the process's number
  std::string segment;      // the run's shared memory (run_segment.h); "": none
};

inline constexpr char kRunVariable[] = "TXPATH_RUN";

std::string encode(const RunOptions& options);
[[nodiscard]] Result<RunOptions> decode_run_options(std::string_view text);

// A KIND that --device may name: a driver's (drivers/registry.h), or "kernel".
inline constexpr std::string_view kKernelDevice = "kernel";

}  // namespace txp
