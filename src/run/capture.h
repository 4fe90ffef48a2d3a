// SPDX-License-Identifier: Apache-2.0
// --pcap: every frame of this process into a file of its own. Senders leave copies; the engine's
// thread, in whose descriptor table the file is, writes them.
#pragma once

#include <atomic>
#include <memory>
#include <mutex>
#include <string>
#include <vector>

#include "base/result.h"
#include "tap/taps.h"

namespace txp {

class Net;

class RunCapture {
 public:
  // Taps every device of `net`. Takes net.rtnl. Errors: the file's.
  [[nodiscard]] static Result<std::unique_ptr<RunCapture>> open(Net& net, const std::string& path);
  // The engine's thread: writes what has come; when close() was called, the file is whole after it.
  void write();
  // Any other thread: waits for that, at most `most` ns.
  void close(Nanos most);

 private:
  explicit RunCapture(std::shared_ptr<PcapngWriter> writer);
  std::shared_ptr<PcapngWriter> writer_;
  CallbackTap tap_;
  std::mutex mutex_;
  std::vector<TapFrame> frames_;
  std::atomic<bool> closing_{false};
  std::atomic<bool> closed_{false};
};

}  // namespace txp
