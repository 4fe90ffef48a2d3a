// SPDX-License-Identifier: Apache-2.0
// One of the two worlds: the kernel's sockets, or the engine's. Both live in the sending namespace
// of a laboratory of their own.
#pragma once

#include <netinet/in.h>

#include <cstdint>
#include <memory>
#include <nlohmann/json_fwd.hpp>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "base/result.h"
#include "kernel_diff/record.h"
#include "kernel_diff/scenario.h"
#include "support/lab.h"

namespace txp::kdiff {

// Answers as the kernel's system calls: a value, or a negative errno.
using Answer = std::int64_t;

struct SendCall {
  const Addr* addr = nullptr;
  std::size_t addrlen = 0;
  std::span<const std::uint8_t> payload;
  std::span<const std::uint8_t> control;  // a list of cmsghdr
  int flags = 0;
};

struct Received {
  Addr from;
  Bytes payload;
};

struct RecvCall {
  int flags = 0;  // MSG_*
  std::size_t size = 0;
  std::size_t control_size = 0;
};

struct ReceivedMsg {
  std::optional<Addr> from;
  Bytes payload;  // what had room
  Bytes control;  // a list of cmsghdr
  int flags = 0;  // MSG_TRUNC and its like
};

class World {
 public:
  virtual ~World() = default;
  // The setup is done; calls follow.
  virtual Result<void> begin() = 0;
  // A command changed something after begin().
  virtual Result<void> changed() = 0;
  // Waits, bounded, until what is under way has come to its end; at least `ms` milliseconds.
  virtual void settle(int ms) = 0;

  // Answers a handle. `unprivileged`: its calls are made without a capability.
  virtual Answer socket(bool inet6, std::uint32_t uid, bool unprivileged) = 0;
  virtual Answer bind(int s, const Addr& addr) = 0;
  virtual Answer connect(int s, const Addr& addr) = 0;
  virtual Answer send(int s, const SendCall& call) = 0;
  // sendmmsg(2): how many were sent, or the first one's errno.
  virtual Answer sendmmsg(int s, std::span<const SendCall> calls, int flags) = 0;
  virtual Answer recv(int s, Received& to) = 0;  // never waits
  virtual Answer recvmsg(int s, const RecvCall& call, ReceivedMsg& to) = 0;
  virtual Answer setsockopt(int s, int level, int option, std::span<const std::uint8_t> value) = 0;
  // `value` comes as room and goes as what was written.
  virtual Answer getsockopt(int s, int level, int option, Bytes& value) = 0;
  virtual Answer getsockname(int s, Addr& to) = 0;
  virtual Answer shutdown(int s, int how) = 0;
  virtual Answer close(int s) = 0;

  // Frames on `lo` since the last call.
  virtual std::vector<test::WireFrame> loopback_frames() = 0;
  // Totals since the namespace began, as /proc/net/snmp, /proc/net/netstat, /proc/net/dev and
  // `tc -s qdisc` name them.
  virtual Counters counters() = 0;
  // Whether counters() has the ARP frames that the kernel sent.
  virtual bool counts_kernel_arp() const = 0;
  // For people.
  virtual std::vector<std::string> notes() { return {}; }
};

std::unique_ptr<World> make_kernel_world(test::Lab& lab);
std::unique_ptr<World> make_engine_world(test::Lab& lab, int patience_ms, const char* driver);

// `tc -s` of a stat report (observe/stat.h).
void count_disciplines(const nlohmann::ordered_json& report, Counters& to);

}  // namespace txp::kdiff
