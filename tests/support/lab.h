// SPDX-License-Identifier: Apache-2.0
// The laboratory of the tests: a sending namespace and a peer, joined by one or two veth pairs.
//
//     sender                                    peer
//     va 10.77.0.1/24  02:00:00:77:00:01  ----  vb 10.77.0.2/24  02:00:00:77:00:02
//     vc 10.78.0.1/24  02:00:00:78:00:01  ----  vd 10.78.0.2/24  02:00:00:78:00:02
//
// Nothing moves in it by itself: IPv6 is off, and the peer swallows UDP without an ICMP answer (a
// policy rule for UDP ends in a blackhole) until peer_answers() is called. ARP is answered.
// Offloads, disciplines and sysctls are the kernel's own.
#pragma once

#include <cstdint>
#include <map>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "support/netns.h"
#include "support/wire_capture.h"

namespace txp::test {

class Lab {
 public:
  enum class Wires { one, two };
  // Leaves the calling thread in the sending namespace.
  // `ipv6`: both ends have 2001:db8:NN::1/64 and ::2/64 and their link-local addresses, know each
  // other's hardware addresses, and send no flow labels of their own.
  static Result<Lab> make(Wires wires, bool ipv6 = false);
  bool ipv6() const { return ipv6_; }

  Wires wires() const { return wires_; }

  // As make() left it: addresses, routes, rules, next hops, neighbours, sysctls, devices. What the
  // namespaces counted stays.
  Result<void> reset();

  // Runs a command in one of the namespaces. "exec" of a shell is not involved: words only.
  // `sysctl -w NAME=VALUE...` is written here, and undone by reset().
  Result<void> in_sender(const std::vector<std::string>& argv, std::string_view input = {});
  Result<void> in_peer(const std::vector<std::string>& argv);
  // From now on the peer answers UDP that it has no socket for with ICMP port unreachable.
  Result<void> peer_answers();
  // The peer sends this frame on its end of the first wire.
  Result<void> peer_sends(std::span<const std::uint8_t> frame);
  // Carrier changes reach qdiscs and routes through a kernel work item; this waits for it.
  void sync_carrier();

  // The sending namespace's device with that hardware address; empty when there is none.
  std::string link_with_address(std::span<const std::uint8_t, 6> address) const;

  const NetNs& sender() const { return sender_; }
  const NetNs& peer() const { return peer_; }
  // What arrived at the peer's ends of va and vc since the last call, in order for each device.
  std::vector<WireFrame> frames();
  // Readable when frames() has something; for poll(2).
  std::vector<int> capture_fds() const;

 private:
  Lab(NetNs sender, NetNs peer) : sender_(std::move(sender)), peer_(std::move(peer)) {}
  struct Touched {
    bool links = false;    // perhaps
    bool tc = false;       // a discipline
    bool ethtool = false;  // a feature
    bool ruleset = false;
    bool peer = false;                           // anything in the peer
    std::map<std::string, std::string> sysctls;  // what each was before
  };
  std::vector<std::string> other_links() const;
  Result<void> sysctl(const std::vector<std::string>& argv);

  NetNs sender_;
  NetNs peer_;
  Wires wires_ = Wires::one;
  bool ipv6_ = false;
  Touched touched_;
  std::vector<std::string> peer_links_;
  std::vector<std::string> sender_links_;
  std::vector<WireCapture> captures_;
};

}  // namespace txp::test
