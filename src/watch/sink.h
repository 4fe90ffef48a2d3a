// SPDX-License-Identifier: Apache-2.0
// Where what is watched goes beside the terminal: files, and a store of records.
#pragma once

#include <cstdint>
#include <memory>
#include <string>

#include "base/clock.h"
#include "base/result.h"
#include "watch/watch.h"

namespace txp {

class Recorder;

// Thread safety: one thread at a time.
class WatchSink {
 public:
  virtual ~WatchSink() = default;
  // `wall`: when, ns since the epoch.
  virtual void write(const WatchEvent& event, Nanos wall) = 0;
  // The first error of all writing.
  [[nodiscard]] virtual Result<void> close() = 0;
};

// A file by the end of its name, as `send --trace-to` has them: .jsonl has an object an event;
// .json is for Perfetto and chrome://tracing, a track a packet and a slice from each point to the
// next; .pcapng is for Wireshark, an interface a stage; any other has a line an event. The file
// appears whole when it is closed.
[[nodiscard]] Result<std::unique_ptr<WatchSink>> make_watch_sink(const std::string& path);

// Drops and failed calls become records, each with what was seen of its packet. `recorder`
// outlives it.
std::unique_ptr<WatchSink> make_watch_recorder(Recorder& recorder);

}  // namespace txp
