// SPDX-License-Identifier: Apache-2.0
// lwIP's UDP send beside ours: raw API, no system layer running, one Ethernet interface whose
// driver does nothing, the next hop resolved beforehand.
//
// Not thread-safe; lwIP's state is global, so make one.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <span>

class LwipSender {
 public:
  LwipSender();
  ~LwipSender();
  // udp_sendto() of one datagram; the payload is copied, as a socket's send() must. False when
  // lwIP refused.
  bool sendto(std::span<const std::uint8_t> payload);
  // The same on a connected control block: udp_send().
  bool send(std::span<const std::uint8_t> payload);
  std::uint64_t frames() const;  // that came to the driver
  std::uint64_t bytes() const;

 private:
  struct State;
  std::unique_ptr<State> state_;
};
