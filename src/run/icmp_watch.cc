// SPDX-License-Identifier: Apache-2.0
#include "run/icmp_watch.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <span>

#include "wire/icmp.h"
#include "wire/ipv4.h"

namespace txp {
namespace {

constexpr int kIcmpFilter = 1;                               // ICMP_FILTER, at SOL_RAW
constexpr std::uint32_t kAllBut = ~((1U << 3) | (1U << 5));  // destination unreachable, redirect

// Makes the kernel look for a route to `to`.
void look_up(std::uint32_t to) {
  const int fd = ::socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
  if (fd < 0) return;
  sockaddr_in sin{};
  sin.sin_family = AF_INET;
  sin.sin_port = htons(9);
  sin.sin_addr.s_addr = to;
  (void)::connect(fd, reinterpret_cast<sockaddr*>(&sin), sizeof sin);
  ::close(fd);
}

}  // namespace

IcmpWatch::IcmpWatch()
    : fd_(::socket(AF_INET, SOCK_RAW | SOCK_CLOEXEC | SOCK_NONBLOCK, IPPROTO_ICMP)) {
  if (fd_ < 0) return;
  (void)::setsockopt(fd_, SOL_RAW, kIcmpFilter, &kAllBut, sizeof kAllBut);
  const int few = 16 * 1024;  // bytes: that something came is all
  (void)::setsockopt(fd_, SOL_SOCKET, SO_RCVBUF, &few, sizeof few);
}

IcmpWatch::~IcmpWatch() {
  if (fd_ >= 0) ::close(fd_);
}

bool IcmpWatch::heard() {
  constexpr std::size_t kMost = 64;  // destinations
  std::array<std::uint8_t, 128> message;
  std::vector<std::uint32_t> now;
  for (ssize_t n; fd_ >= 0 && (n = ::recv(fd_, message.data(), message.size(), 0)) >= 0;) {
    const auto whole = std::span<const std::uint8_t>(message).first(static_cast<std::size_t>(n));
    const auto outer = Ipv4Header::parse(whole);
    if (!outer || whole.size() < outer->hlen() + kIcmpHlen) continue;
    const auto inner = Ipv4Header::parse(whole.subspan(outer->hlen() + kIcmpHlen));
    if (!inner) continue;
    const std::uint32_t to = htonl(inner->daddr.host);
    if (now.size() < kMost && std::ranges::find(now, to) == now.end()) now.push_back(to);
  }
  for (const auto* list : {&now, &just_now_})
    for (const std::uint32_t to : *list) look_up(to);
  const bool any = !now.empty() || !just_now_.empty();
  just_now_ = std::move(now);
  return any;
}

}  // namespace txp
