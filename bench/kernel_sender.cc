// SPDX-License-Identifier: Apache-2.0
#include "kernel_sender.h"

#include <arpa/inet.h>
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
}

KernelSender::~KernelSender() {
  if (unconnected_ >= 0) close(unconnected_);
  if (connected_ >= 0) close(connected_);
}

bool KernelSender::sendto(std::span<const std::uint8_t> payload) {
  static const sockaddr_in to = peer();
  return ::sendto(unconnected_, payload.data(), payload.size(), 0, as_sockaddr(to), sizeof to) >= 0;
}

bool KernelSender::send(std::span<const std::uint8_t> payload) {
  return ::send(connected_, payload.data(), payload.size(), 0) >= 0;
}
