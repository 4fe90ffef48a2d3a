// SPDX-License-Identifier: Apache-2.0
// What stands behind each device of the namespace under `txpath run`, and which devices are left to
// the kernel: AF_XDP, else AF_PACKET, else the kernel, unless --device says otherwise.
//
// Descriptors. With the doorbell `sync` the frames are sent by the program's own threads, so the
// drivers' sockets stand in the program's descriptor table, high up and protected (Descriptors);
// the engine's thread, whose table is its own, never transmits. With `async` it is the other way
// round, and the program's table has none of ours.
#pragma once

#include <array>
#include <atomic>
#include <cstdint>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <vector>

#include "base/result.h"
#include "observe/trace.h"
#include "run/fallback.h"
#include "run/run_options.h"

namespace txp {

class Bell;
class Driver;
class Net;
struct NetDevice;
struct Skb;

// Descriptors of ours in the program's table: the preload keeps the program from closing them.
class Descriptors {
 public:
  static constexpr std::size_t kMost = 64;
  bool add(int fd);  // false: no room
  void remove(int fd);
  bool has(int fd) const {
    if (fd < lowest_.load(std::memory_order_relaxed)) return false;
    for (const std::atomic<int>& f : fds_)
      if (f.load(std::memory_order_relaxed) == fd + 1) return true;
    return false;
  }
  std::vector<int> all() const;  // ascending
  // From where descriptors of ours are numbered, out of the way of programs and of select().
  static int floor();

 private:
  std::array<std::atomic<int>, kMost> fds_{};  // fd + 1; 0: free
  std::atomic<int> lowest_{1 << 30};
};

// True in threads of ours.
bool in_engine_thread();
void set_in_engine_thread();

// Whether the calling thread may open the sockets that frames are sent on (CAP_NET_RAW), and what
// to do where it may not.
bool may_send_frames();
bool may_see_policy();  // CAP_NET_ADMIN
std::string grant_advice();

class RunDevices {
 public:
  // `bell` is rung with the doorbell `async`.
  RunDevices(Net& net, const RunOptions& options, Descriptors& descriptors, Bell& bell)
      : net_(net), options_(options), descriptors_(descriptors), bell_(bell) {}

  // Looks at the namespace's devices again: which need a driver, which have a shared discipline.
  // The engine's thread, after each change; net.rtnl not held.
  void review();
  bool wanted() const { return wanted_.load(std::memory_order_acquire); }
  // Puts drivers behind the devices that want one. In the thread whose descriptors they are to be
  // (see above). net.rtnl not held.
  void attach();

  // Whether the engine may send `skb`, whose route is known. Any thread, inside an RcuReader.
  struct Refusal {
    Fallback reason;
    NamedObject object;
  };
  std::optional<Refusal> refuse(const NetDevice& dev) const;

  // Rings for what was queued, on every device. The transmitting thread's.
  std::size_t transmit();
  // Frames of ours that the kernel had no room for: offers them again until they are gone or
  // `nanos` passed. False: some are left.
  bool settle(std::int64_t nanos);
  // "va: af_xdp; eth0: left to the kernel, ..."
  struct Told {
    std::string dev;
    std::string kind;  // "": the kernel
    std::string why;
  };
  std::vector<Told> told() const;
  // The driver that a device got; "": none.
  std::string kind_of(int ifindex) const;

 private:
  enum class State : std::uint8_t { none, wanted, usable, shaper, failed };
  struct Entry {
    std::atomic<int> ifindex{0};
    std::atomic<State> state{State::none};
    // The one that was attached: another device may get the number of one that went.
    std::atomic<const void*> driver{nullptr};
    std::size_t queues = 0;  // in use when the driver came
    Fallback reason = Fallback::DEVICE;
    std::string name, kind, why;  // under mutex_
  };
  static constexpr std::size_t kMostDevices = 64;
  Entry* find(int ifindex) const;
  void become(Entry& e, State state);  // tells flow plans, to which the gate was open or shut
  void attach(Entry& e);
  // What `kind` is on `dev`. `fds`: the descriptors that are in the program's table.
  Result<std::unique_ptr<Driver>> open(const NetDevice& dev, const std::string& kind,
                                       std::vector<int>& fds);
  std::string kind_for(const std::string& dev) const;

  Net& net_;
  const RunOptions& options_;
  Descriptors& descriptors_;
  Bell& bell_;
  mutable std::mutex mutex_;
  mutable std::array<Entry, kMostDevices> entries_;
  std::atomic<bool> wanted_{false};
};

}  // namespace txp
