// SPDX-License-Identifier: Apache-2.0
// Which of a program's send calls the engine takes over, and the order between it and the kernel.
// docs/decisions/0008-run-takeover.md says why it is right.
//
// A descriptor stays the kernel's UDP socket. For a send on it the engine builds a shadow: a Sock
// that sends as the kernel's socket would, from what the kernel says of it. The shadow is thrown
// away when anything may have changed the socket or the descriptor:
//   - this process closed, duplicated onto, bound, connected or set an option of it: the preload
//     sees the call (changed(), closed());
//   - another process of this run did (a child, a receiver of SCM_RIGHTS): it moves the generation
//     in the run's shared memory;
//   - somebody whose calls nobody sees did: the kernel is asked again every kLookAgain.
// A pending error of the socket is looked for before each call with the doorbell `sync`, and with
// the others every kLookAgain: poll() says POLLERR, and the call is the kernel's, which reports it
// as it always does. Whenever the engine does not send for certain, the kernel makes the call: its
// answer, its errno, its order.
//
// Order. Before the kernel makes a call, everything that the engine was given for any socket is
// with a driver. After it, the engine sends on that socket again only when the kernel's send buffer
// of it is empty (SIOCOUTQ).
//
// Threads: any. Signals: a handler that interrupts the engine's code sends through the kernel.
// Cancellation is put off while the engine's code runs.
#pragma once

#include <sys/socket.h>
#include <sys/uio.h>

#include <array>
#include <atomic>
#include <cstdint>
#include <map>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "base/clock.h"
#include "observe/stat.h"
#include "run/devices.h"
#include "run/fallback.h"
#include "run/kernel_socket.h"
#include "run/run_options.h"
#include "run/run_segment.h"

namespace txp {

class RunEngine;
class Trace;

// One message of a send call.
struct SendCall {
  const void* name = nullptr;
  socklen_t namelen = 0;
  const iovec* iov = nullptr;
  std::size_t iovlen = 0;
  const void* control = nullptr;
  std::size_t controllen = 0;
  int flags = 0;
};

class Takeover {
 public:
  explicit Takeover(RunOptions options);
  // Never destroyed.

  // Sends through the engine, or answers nothing: the kernel must make the call, and kernel_sent()
  // must be told how it went. errno is left alone.
  struct Answer {
    std::optional<ssize_t> sent;  // -1: `error`
    int error = 0;
    Fallback why = Fallback::none;
    void* entry = nullptr;  // for kernel_sent()
  };
  Answer send(int fd, const SendCall& call);
  // The kernel made the call that send() left to it; `sent` is what it answered.
  // errno is the call's still, where it failed.
  void kernel_sent(const Answer& answer, const SendCall& call, bool succeeded);
  void created(int fd);  // a descriptor that may be a UDP socket: socket(), dup(), recvmsg()
  void saw_udp() { has_udp_.store(true, std::memory_order_relaxed); }
  // Starts the engine, if this process has made a UDP socket.
  void start_before_privileges_go();
  void changed(int fd);  // an option, an address, a peer
  void closed(int fd);
  void shut_down(int fd);                        // for sending
  void only_kernel(int fd, const char* option);  // an option that cannot be read back

  // Descriptors from `first` to `last` that closed() should hear of.
  std::vector<int> known(unsigned first, unsigned last) const;
  // The program takes the number of a descriptor of ours: what stood there is gone.
  void lose(int fd);

  Descriptors descriptors;  // of ours in the program's table
  bool started() const { return engine_.load(std::memory_order_acquire) != nullptr; }
  bool tried() const { return tried_.load(std::memory_order_relaxed); }
  const RunOptions& options() const { return options_; }

  // The process ends, or becomes another program: what is queued goes out, the report is told. From
  // then on the kernel sends.
  void finish(bool last);

 private:
  struct Shadow;
  struct Entry;
  struct Chunk;
  struct Outcome;
  static constexpr std::size_t kChunk = 256;
  static constexpr std::size_t kChunks = 4096;  // 1,048,576 descriptors
  static constexpr Nanos kLookAgain = 10 * kMillisecond;

  Entry* entry(int fd, bool make) const;
  static bool is_udp(Entry& e, int fd);
  void open_segment();
  RunEngine* engine();
  bool look(Entry& e, int fd, RunEngine& engine, Nanos coarse);
  Outcome try_engine(Entry& e, int fd, const SendCall& call);
  Answer leave(Entry& e, Fallback why, std::string object);
  void note(Entry& e, Fallback why, std::string object);
  bool bind_now(Entry& e, int fd, RunEngine& engine, Nanos coarse);
  void forget(Entry& e);
  void keep_history(Entry& e);
  void note_failure(const Entry& e, const SendCall& call, int error);
  Json failures();
  void tell_report(bool last);
  Json report();

  const RunOptions options_;
  std::unique_ptr<RunSegment> segment_;
  std::atomic<std::uint64_t> own_generation_{0};
  std::atomic<std::atomic<std::uint64_t>*> generation_{&own_generation_};
  std::atomic<RunEngine*> engine_{nullptr};
  std::atomic<bool> tried_{false};
  std::atomic<bool> finished_{false};
  std::atomic<bool> lost_{false};
  std::atomic<bool> has_udp_{false};
  std::mutex start_mutex_;
  Fallback engine_failure_ = Fallback::none;
  std::string engine_error_;
  mutable std::array<std::atomic<Chunk*>, kChunks> chunks_{};
  std::array<std::atomic<std::uint64_t>, kFallbackCount> fallbacks_{};
  std::atomic<std::uint64_t> taken_{0};
  std::atomic<std::uint64_t> kernel_{0};

  std::mutex history_mutex_;
  std::vector<Json> history_;  // sockets that were closed
  std::uint64_t history_lost_ = 0;
  // Calls that failed, by errno and where to; the kernel said so.
  struct FailedTo {
    int error = 0;
    std::string dst;
    std::uint16_t dport = 0;
    auto operator<=>(const FailedTo&) const = default;
  };
  struct FailedHow {
    std::uint64_t times = 0;
    std::size_t len = 0;  // of the first
  };
  std::mutex failures_mutex_;
  std::map<FailedTo, FailedHow> failures_;
  std::mutex trace_mutex_;
  std::vector<std::unique_ptr<Trace>> traces_;  // a packet may hold its trace for long
  std::vector<std::string> trace_text_;
  std::vector<Json> stories_;  // the same, for a store of records
  std::atomic<std::uint64_t> traced_{0};
  std::mutex report_mutex_;
};

// True while this thread runs the engine's code.
bool inside_engine();
class InsideEngine {
 public:
  InsideEngine();
  ~InsideEngine();
  InsideEngine(const InsideEngine&) = delete;
  InsideEngine& operator=(const InsideEngine&) = delete;

 private:
  int cancel_ = 0;
  int errno_ = 0;
};

}  // namespace txp
