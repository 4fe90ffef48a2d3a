// SPDX-License-Identifier: Apache-2.0
#include "prove/kernel_send.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <netinet/udp.h>
#include <sys/fsuid.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>

namespace txp {
namespace {

sockaddr_in address(Ip4 ip, std::uint16_t port) {
  sockaddr_in a{};
  a.sin_family = AF_INET;
  a.sin_port = htons(port);
  a.sin_addr.s_addr = htonl(ip.host);
  return a;
}

const sockaddr* as_sockaddr(const sockaddr_in& a) {
  return static_cast<const sockaddr*>(static_cast<const void*>(&a));
}

class Socket {
 public:
  Socket() : fd_(::socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0)) {}
  ~Socket() {
    if (fd_ >= 0) ::close(fd_);
  }
  Socket(const Socket&) = delete;
  Socket& operator=(const Socket&) = delete;
  int fd() const { return fd_; }

 private:
  int fd_;
};

KernelSent failed(std::string call) { return {Errno{errno}, std::move(call)}; }

}  // namespace

KernelSent kernel_send(const FlowQuestion& q, std::span<const std::uint8_t> payload) {
  // A socket's owner is the file system uid of its maker; capabilities stay.
  if (q.uid) ::setfsuid(*q.uid);
  const Socket s;
  if (q.uid) ::setfsuid(::geteuid());
  if (s.fd() < 0) return failed("socket");

  if (!q.oif.empty() && ::setsockopt(s.fd(), SOL_SOCKET, SO_BINDTODEVICE, q.oif.c_str(),
                                     static_cast<socklen_t>(q.oif.size() + 1)) != 0)
    return failed("setsockopt(SO_BINDTODEVICE)");
  const struct {
    bool given;
    int level, option, value;
    const char* text;
  } options[] = {
      {q.mark.has_value(), SOL_SOCKET, SO_MARK, static_cast<int>(q.mark.value_or(0)), "SO_MARK"},
      {q.broadcast, SOL_SOCKET, SO_BROADCAST, 1, "SO_BROADCAST"},
      {q.tos.has_value(), IPPROTO_IP, IP_TOS, q.tos.value_or(0), "IP_TOS"},
      {q.ttl.has_value(), IPPROTO_IP, IP_TTL, q.ttl.value_or(0), "IP_TTL"},
      {q.ttl.has_value(), IPPROTO_IP, IP_MULTICAST_TTL, q.ttl.value_or(0), "IP_MULTICAST_TTL"},
      {q.df.has_value(), IPPROTO_IP, IP_MTU_DISCOVER, q.df.value_or(0), "IP_MTU_DISCOVER"},
      {q.gso.has_value(), IPPROTO_UDP, UDP_SEGMENT, q.gso.value_or(0), "UDP_SEGMENT"},
  };
  for (const auto& o : options)
    if (o.given && ::setsockopt(s.fd(), o.level, o.option, &o.value, sizeof o.value) != 0)
      return failed("setsockopt(" + std::string(o.text) + ")");
  if (q.from) {
    const sockaddr_in from = address(*q.from, q.from_port);
    if (::bind(s.fd(), as_sockaddr(from), sizeof from) != 0) return failed("bind");
  }
  const sockaddr_in to = address(q.to, q.to_port);
  if (::sendto(s.fd(), payload.data(), payload.size(), MSG_DONTWAIT, as_sockaddr(to), sizeof to) <
      0)
    return failed("");
  return {};
}

}  // namespace txp
