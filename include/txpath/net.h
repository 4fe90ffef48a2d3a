// SPDX-License-Identifier: Apache-2.0
// A network namespace in this process: the Linux send path over its configuration.
//
//   auto net = txpath::Net::open();                      // this namespace, live
//   net->attach("eth0", "af_packet");
//   auto socket = net->udp_socket();
//   socket->send_to(payload, *txpath::Endpoint::parse("10.0.0.2:53"));
#pragma once

#include <cstddef>
#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "txpath/address.h"
#include "txpath/result.h"
#include "txpath/udp_socket.h"

namespace txpath {

// Configuration by code, in the words of ip(8).
struct LinkConfig {
  std::string name;
  std::string address = "";         // "02:00:00:00:00:01"; "": made up
  std::uint32_t mtu = 1500;         // bytes
  std::string qdisc = "noqueue";    // "noqueue", "pfifo_fast", "pfifo", "bfifo"
  std::uint32_t txqueuelen = 1000;  // packets
};
struct RouteConfig {
  std::string prefix;  // "10.0.0.0/8", "default"
  std::string dev;
  std::optional<Ipv4Address> via = std::nullopt;
  std::optional<Ipv4Address> src = std::nullopt;
  std::uint32_t metric = 0;
  std::uint32_t table = 254;  // main
  std::uint32_t mtu = 0;      // bytes; 0: the device's
};

// What a Net has counted, summed over threads. Names are the kernel's.
struct StageStats {
  std::string_view name;  // "ip_finish_output2"
  std::uint64_t packets = 0;
  std::uint64_t bytes = 0;
  std::vector<std::pair<std::string_view, std::uint64_t>> drops;  // by reason, none that is zero
};
struct Stats {
  std::vector<StageStats> stages;                           // in the path's order, every stage
  std::vector<std::pair<std::string, std::uint64_t>> snmp;  // ("Udp.OutDatagrams", 3)
  std::uint64_t sent = 0;       // packets that began on the path (docs/decisions/0004)
  std::uint64_t delivered = 0;  // taken by a driver
  std::uint64_t dropped = 0;
  std::uint64_t queued = 0;  // waiting now
  std::uint64_t walked = 0;  // datagrams that walked the whole path
  std::uint64_t flown = 0;   // datagrams sent by their flow's plan
  // Exact when no thread is inside a call.
  bool conserved() const { return sent == delivered + dropped + queued; }
};

// A frame seen by a tap: valid during the call only.
struct Frame {
  std::string_view dev;
  std::span<const std::uint8_t> bytes;  // from the Ethernet header on
  bool outgoing = true;
};

// Thread safety: sockets may send from any number of threads at once, also while poll() runs;
// configuration calls may run beside them, attach() and taps may not.
class Net {
 public:
  // The calling thread's network namespace (or `netns`: a name of `ip netns` or a path), followed
  // live over netlink: poll() takes the changes in. Devices have the null driver until attach().
  // What could not be read for want of privilege is in warnings().
  [[nodiscard]] static Result<Net> open(const std::string& netns = "");
  // A snapshot file of `txpath snapshot`.
  [[nodiscard]] static Result<Net> load(const std::string& path);
  // An empty namespace with a loopback device. `seed` makes its random choices repeatable.
  [[nodiscard]] static Net create(std::uint64_t seed = 1);

  Net(Net&&) noexcept;
  Net& operator=(Net&&) noexcept;
  ~Net();

  [[nodiscard]] Result<void> add_link(const LinkConfig& link);
  // With the routes that the kernel adds by itself: local, broadcast and the subnet.
  [[nodiscard]] Result<void> add_address(const std::string& dev, const std::string& cidr);
  [[nodiscard]] Result<void> add_route(const RouteConfig& route);
  [[nodiscard]] Result<void> add_neighbour(const std::string& dev, Ipv4Address ip,
                                           const std::string& lladdr);

  // Puts a driver behind a device: "null", "af_packet", "pcap:FILE", "fault(drop=0.01)/null", ...
  // (docs/send.md lists them). Not while anything sends.
  [[nodiscard]] Result<void> attach(const std::string& dev, const std::string& driver);
  // Joins a device of one Net with one of another, as a veth pair does.
  [[nodiscard]] static Result<void> join(Net& a, const std::string& dev_a, Net& b,
                                         const std::string& dev_b);

  // Errors: ENOMEM.
  [[nodiscard]] SockResult<UdpSocket> udp_socket();

  // Receives, runs timers and transmit softirqs, follows the namespace; once, without waiting.
  // Answers how much was done.
  std::size_t poll();
  // poll() until no packet waits or `timeout_ns` passed. True when none waits.
  bool drain(std::int64_t timeout_ns);

  // Whether datagrams may fly: be sent by what their flow's first packet decided, while the tables
  // that it rested on have not changed (docs/plans.md). Bytes, errors and counters are the same;
  // only the time differs. On at first. Thread safety: any thread.
  void set_flying(bool on);

  Stats stats() const;
  std::vector<std::string> warnings() const;
  // What the last EOPNOTSUPP of a socket call came from, in the words of its own tool; "" when
  // there was none.
  std::string last_unknown() const;

  // Calls `see` with every frame that `dev` (every device when empty) sends or receives, on the
  // sending thread, until remove_tap().
  using TapId = std::size_t;
  [[nodiscard]] Result<TapId> add_tap(const std::string& dev,
                                      std::function<void(const Frame&)> see);
  // Only those that match `filter`, a pcap-filter(7) expression; one that is wrong is an error.
  [[nodiscard]] Result<TapId> add_tap(const std::string& dev, const std::string& filter,
                                      std::function<void(const Frame&)> see);
  // The same into a pcapng file, which appears whole when the tap is removed.
  [[nodiscard]] Result<TapId> add_capture(const std::string& dev, const std::string& path);
  [[nodiscard]] Result<void> remove_tap(TapId tap);

 private:
  struct Impl;
  explicit Net(std::unique_ptr<Impl> impl);
  std::unique_ptr<Impl> impl_;
};

}  // namespace txpath
