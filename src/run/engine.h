// SPDX-License-Identifier: Apache-2.0
// The engine of one process under `txpath run`: a Net that mirrors the namespace, drivers behind
// its devices, and a thread that follows, tells and (with the doorbell `async`) transmits.
//
// The thread has a descriptor table of its own (unshare(CLONE_FILES)), so the program never sees
// the engine's sockets: they shift no numbers, survive a program that closes everything, and are
// not inherited. It takes no signals.
#pragma once

#include <pthread.h>

#include <array>
#include <atomic>
#include <condition_variable>
#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "base/result.h"
#include "drivers/bell.h"
#include "net.h"
#include "run/capture.h"
#include "run/conntrack.h"
#include "run/devices.h"
#include "run/fallback.h"
#include "run/icmp_watch.h"
#include "run/run_options.h"

namespace txp {

class Live;

class RunEngine {
 public:
  // In the calling thread's network namespace. `report` is called by the engine's thread a few
  // times a second. Errors: the namespace cannot be read; no thread.
  [[nodiscard]] static Result<std::unique_ptr<RunEngine>> start(const RunOptions& options,
                                                                Descriptors& descriptors,
                                                                std::function<void()> report);
  // Only of one that did not start: of another, threads of the program may be inside a call for
  // ever.
  ~RunEngine();

  Net net;
  Bell bell;
  RunDevices devices;

  // SO_NETNS_COOKIE of the namespace; 0: this kernel does not tell.
  std::uint64_t netns() const { return netns_; }
  // Whether the mirror is as young as it promises (kMirrorAge). `coarse` is coarse_now().
  bool mirror_is_fresh(Nanos coarse) const {
    return coarse - alive_.load(std::memory_order_relaxed) < kMirrorAge;
  }
  // The engine's thread lost its right to see the namespace's policy (a setuid()): the kernel
  // sends.
  bool privileges_gone() const { return privileges_gone_.load(std::memory_order_relaxed); }
  static constexpr Nanos kMirrorAge = kSecond;
  // CLOCK_MONOTONIC_COARSE: some 4 ns, exact to a tick of the kernel.
  static Nanos coarse_now();

  // Opens drivers for devices that have none yet, when that is this thread's to do.
  void attach_wanted();
  // Why the gate refused the calling thread's last datagram; none: it was not the gate.
  static Fallback last_refusal();

  // Waits until the kernel has every frame that was handed to a driver. At most `nanos`.
  bool settle(Nanos nanos);
  // The capture's file becomes whole.
  void close_capture() {
    if (capture_) capture_->close(2 * kSecond);
  }
  // Deletes `p` when no sender can hold it any more.
  struct Retirable {
    Retirable* next_retired = nullptr;
    virtual ~Retirable() = default;
  };
  void retire(Retirable* p);

 private:
  RunEngine(const RunOptions& options, Descriptors& descriptors, std::function<void()> report);
  static void* thread_main(void* self);
  static void* transmit_main(void* self);
  void open();
  void follow();
  void transmit();
  void review_policy(bool changed);
  std::optional<NamedObject> gate(Net& net, const Skb& skb) const;
  void ask_kernel_soon(int ifindex, Ip4 next_hop);
  void ask_kernel_now();
  void take_retired();

  const RunOptions& options_;
  std::function<void()> report_;
  std::uint64_t netns_ = 0;
  pthread_t thread_{};
  std::unique_ptr<Live> live_;  // the engine's thread's
  std::unique_ptr<RunCapture> capture_;
  std::unique_ptr<IcmpWatch> icmp_;
  std::function<void(int ifindex, Ip4 next_hop)> ask_;
  std::mutex ask_mutex_;
  std::vector<std::pair<int, Ip4>> to_ask_;
  std::atomic<Retirable*> retired_{nullptr};
  std::atomic<Nanos> alive_{0};
  Conntrack conntrack_watch_;  // the engine's thread's
  std::atomic<bool> conntrack_{false};
  std::atomic<bool> rule_state_{false};
  std::atomic<bool> privileges_gone_{false};
  // async: whole rounds of the transmitting thread, each of which left nothing behind that was
  // queued when it began.
  std::atomic<std::uint64_t> rounds_{0};
  // The start.
  std::mutex start_mutex_;
  std::condition_variable started_;
  bool done_ = false;
  std::string failure_;
  std::vector<std::string> warnings_;

 public:
  const std::vector<std::string>& warnings() const { return warnings_; }
};

}  // namespace txp
