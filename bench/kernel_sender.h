// SPDX-License-Identifier: Apache-2.0
// The kernel's own UDP send beside ours: a network namespace of its own with an ifb device, whose
// transmit function drops every frame (the kernel's nearest thing to a null driver), the next hop
// known.
#pragma once

#include <cstdint>
#include <span>
#include <string>
#include <vector>

// Its constructor moves the calling thread into the new namespace; the thread that constructs also
// sends. Not thread-safe.
class KernelSender {
 public:
  KernelSender();
  ~KernelSender();
  KernelSender(const KernelSender&) = delete;
  KernelSender& operator=(const KernelSender&) = delete;
  // Empty, or why the kernel could not be asked: it takes the right to make network namespaces.
  const std::string& why_not() const { return why_not_; }
  bool sendto(std::span<const std::uint8_t> payload);
  bool send(std::span<const std::uint8_t> payload);
  // kBatch datagrams in one call.
  static constexpr std::size_t kBatch = 32;
  bool sendmmsg(std::span<const std::uint8_t> payload);
  // A ready frame through an AF_PACKET socket that goes past the discipline.
  bool packet(std::span<const std::uint8_t> payload);

 private:
  std::string why_not_;
  int unconnected_ = -1;
  int connected_ = -1;
  int packet_ = -1;
  std::vector<std::uint8_t> frame_;
};
