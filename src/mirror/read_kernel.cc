// SPDX-License-Identifier: Apache-2.0
// How the running kernel was built, as far as a send shows it and no file tells it: asked of
// sockets that send nothing.
#include <netinet/in.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <unistd.h>

#include <array>

#include <linux/sockios.h>

#include "mirror/namespace_reader.h"

namespace txp {
namespace {

class UdpSocket {
 public:
  UdpSocket() : fd_(::socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0)) {}
  ~UdpSocket() {
    if (fd_ >= 0) ::close(fd_);
  }
  UdpSocket(const UdpSocket&) = delete;
  UdpSocket& operator=(const UdpSocket&) = delete;
  int fd() const { return fd_; }

 private:
  int fd_;
};

// A socket counts its timeouts in ticks: one microsecond is read back as one tick.
std::uint32_t hz() {
  const UdpSocket s;
  timeval t{0, 1};
  socklen_t len = sizeof t;
  if (::setsockopt(s.fd(), SOL_SOCKET, SO_RCVTIMEO, &t, sizeof t) != 0 ||
      ::getsockopt(s.fd(), SOL_SOCKET, SO_RCVTIMEO, &t, &len) != 0 || t.tv_usec <= 0)
    return 0;
  return static_cast<std::uint32_t>(1'000'000 / t.tv_usec);
}

// What the kernel charges for an skb of a corked datagram of `n` bytes, which closing throws away.
int truesize_of(std::size_t n) {
  const UdpSocket s;
  sockaddr_in to{};
  to.sin_family = AF_INET;
  to.sin_port = htons(9);
  to.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  const std::array<char, 512> bytes{};
  int charged = 0;
  const auto* name = static_cast<const sockaddr*>(static_cast<const void*>(&to));
  if (::sendto(s.fd(), bytes.data(), n, MSG_MORE | MSG_DONTWAIT, name, sizeof to) < 0 ||
      ::ioctl(s.fd(), SIOCOUTQ, &charged) != 0)
    return 0;
  return charged;
}

// CONFIG_IPV6_MIP6: whether a socket may have a routing header of type 2.
bool mip6() {
  const int fd = ::socket(AF_INET6, SOCK_DGRAM | SOCK_CLOEXEC, 0);
  if (fd < 0) return false;
  std::array<std::uint8_t, 24> header{};
  header[1] = 2;  // length, in eight bytes beyond the first
  header[2] = 2;  // type
  header[3] = 1;  // segments left
  header[8] = 0x20;
  const bool may = ::setsockopt(fd, IPPROTO_IPV6, IPV6_RTHDR, header.data(), header.size()) == 0;
  ::close(fd);
  return may;
}

}  // namespace

std::vector<std::pair<std::string, std::string>> read_kernel() {
  std::vector<std::pair<std::string, std::string>> all;
  if (const std::uint32_t ticks = hz(); ticks != 0) all.emplace_back("hz", std::to_string(ticks));
  // Of 512 bytes the packet's block is one of 1024, which leaves the sk_buff; of one byte it is the
  // small head.
  constexpr int kBlock = 1024;
  const int small = truesize_of(1);
  const int large = truesize_of(512);
  if (small > 0 && large > kBlock && large - kBlock < small) {
    all.emplace_back("sk_buff", std::to_string(large - kBlock));
    all.emplace_back("small_head", std::to_string(small - (large - kBlock)));
  }
  all.emplace_back("mip6", mip6() ? "1" : "0");
  return all;
}

}  // namespace txp
