// SPDX-License-Identifier: Apache-2.0
#include "kernel_sender.h"

#include <arpa/inet.h>
#include <linux/if_packet.h>
#include <net/if.h>
#include <netinet/in.h>
#include <sched.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cstdlib>

namespace {
sockaddr_in peer() {
  sockaddr_in addr{};
  addr.sin_family = AF_INET;
  addr.sin_port = htons(9);
  addr.sin_addr.s_addr = htonl(0x0a090002);  // 10.9.0.2
  return addr;
}

const sockaddr* as_sockaddr(const sockaddr_in& addr) {
  return static_cast<const sockaddr*>(static_cast<const void*>(&addr));
}
}  // namespace

KernelSender::KernelSender() {
  if (unshare(CLONE_NEWNET) != 0) {
    why_not_ = "no right to make a network namespace";
    return;
  }
  if (std::system("ip link add ifb0 type ifb && ip addr add 10.9.0.1/24 dev ifb0 && "
                  "ip link set ifb0 up && "
                  "ip neigh add 10.9.0.2 lladdr 02:00:00:00:00:02 dev ifb0 nud permanent") != 0) {
    why_not_ = "no ifb device in this kernel";
    return;
  }
  unconnected_ = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
  connected_ = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
  const sockaddr_in to = peer();
  if (unconnected_ < 0 || connected_ < 0 || connect(connected_, as_sockaddr(to), sizeof to) != 0)
    why_not_ = "no UDP socket";
  packet_ = socket(AF_PACKET, SOCK_RAW | SOCK_CLOEXEC, 0);
  sockaddr_ll device{};
  device.sll_family = AF_PACKET;
  device.sll_ifindex = static_cast<int>(if_nametoindex("ifb0"));
  const int one = 1;
  if (packet_ < 0 || setsockopt(packet_, SOL_PACKET, PACKET_QDISC_BYPASS, &one, sizeof one) != 0 ||
      bind(packet_, static_cast<const sockaddr*>(static_cast<const void*>(&device)),
           sizeof device) != 0)
    why_not_ = "no AF_PACKET socket";
}

KernelSender::~KernelSender() {
  if (unconnected_ >= 0) close(unconnected_);
  if (connected_ >= 0) close(connected_);
  if (packet_ >= 0) close(packet_);
}

bool KernelSender::sendto(std::span<const std::uint8_t> payload) {
  static const sockaddr_in to = peer();
  return ::sendto(unconnected_, payload.data(), payload.size(), 0, as_sockaddr(to), sizeof to) >= 0;
}

bool KernelSender::send(std::span<const std::uint8_t> payload) {
  return ::send(connected_, payload.data(), payload.size(), 0) >= 0;
}

bool KernelSender::sendmmsg(std::span<const std::uint8_t> payload) {
  // The kernel reads the payload only; iovec cannot say so.
  iovec part{const_cast<std::uint8_t*>(payload.data()), payload.size()};
  mmsghdr messages[kBatch] = {};
  for (mmsghdr& m : messages) {
    m.msg_hdr.msg_iov = &part;
    m.msg_hdr.msg_iovlen = 1;
  }
  return ::sendmmsg(connected_, messages, kBatch, 0) == static_cast<int>(kBatch);
}

bool KernelSender::packet(std::span<const std::uint8_t> payload) {
  // Addresses and ethertype; what is in the frame is no matter to AF_PACKET.
  constexpr std::size_t kHeaders = 42;
  if (frame_.size() != kHeaders + payload.size()) {
    frame_.assign(kHeaders, 0);
    frame_[0] = frame_[6] = 2;
    frame_[12] = 8;
    frame_.insert(frame_.end(), payload.begin(), payload.end());
  }
  return ::send(packet_, frame_.data(), frame_.size(), 0) >= 0;
}
