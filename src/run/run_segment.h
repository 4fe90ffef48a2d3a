// SPDX-License-Identifier: Apache-2.0
// Memory that `txpath run` shares with the program and its children: a generation that every
// process moves when it changes a UDP socket (which another process may hold too), and a place for
// each process's report. It is a memfd of the command's, so nothing is left behind when anything is
// killed.
#pragma once

#include <atomic>
#include <cstdint>
#include <functional>
#include <string>
#include <string_view>

#include "base/result.h"

namespace txp {

class RunSegment {
 public:
  // The command's side. Errors: no memory.
  [[nodiscard]] static Result<RunSegment> create();
  // A process's side: by path() of the command.
  [[nodiscard]] static Result<RunSegment> open(const std::string& path);
  RunSegment(RunSegment&& o) noexcept;
  RunSegment& operator=(RunSegment&&) = delete;
  ~RunSegment();

  std::string path() const;  // of the creating process: /proc/PID/fd/N
  std::atomic<std::uint64_t>& generation() const;

  // A process's report: JSON, replaced whole each time. `last`: the process ends.
  // False: no place was free, or the text is too long. One thread at a time.
  bool publish(std::string_view report, bool last);
  // The command's side: the reports that are complete. `ended`: no process writes any more, so all
  // of them. Each report is given once and its place freed.
  void collect(bool ended, const std::function<void(std::string_view report)>& take);

  // The reports as they are now, of processes that go on; nothing is freed.
  void look(const std::function<void(std::string_view report)>& take) const;

 private:
  struct Layout;
  RunSegment(Layout* memory, int fd) : memory_(memory), fd_(fd) {}
  Layout* memory_ = nullptr;
  int fd_ = -1;     // the creator's
  int place_ = -1;  // this process's
};

}  // namespace txp
