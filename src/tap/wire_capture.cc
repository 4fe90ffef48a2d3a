// SPDX-License-Identifier: Apache-2.0
#include "tap/wire_capture.h"

#include <arpa/inet.h>
#include <fmt/format.h>
#include <linux/if_ether.h>
#include <linux/if_packet.h>
#include <net/if.h>
#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstring>

namespace txp::wirecap {
namespace {

// struct virtio_net_hdr (virtio 1.2, 5.1.6), in the host's byte order as PACKET_VNET_HDR gives it.
// <linux/virtio_net.h> of Debian 12 is not C++.
struct VirtioNetHdr {
  std::uint8_t flags;
  std::uint8_t gso_type;
  std::uint16_t hdr_len;
  std::uint16_t gso_size;
  std::uint16_t csum_start;
  std::uint16_t csum_offset;
};
constexpr std::uint8_t kNeedsCsum = 1;  // VIRTIO_NET_HDR_F_NEEDS_CSUM
constexpr std::uint8_t kGsoUdpL4 = 5;   // VIRTIO_NET_HDR_GSO_UDP_L4

constexpr std::size_t kMaxFrame = 70 * 1024;  // a 64 KiB datagram as one superframe, with headers

std::uint16_t get16(const std::uint8_t* p) { return static_cast<std::uint16_t>(p[0] << 8 | p[1]); }
void put16(std::uint8_t* p, std::size_t v) {
  p[0] = static_cast<std::uint8_t>(v >> 8);
  p[1] = static_cast<std::uint8_t>(v);
}

// RFC 1071, plainly: the truth machine shares no arithmetic with the engine.
std::uint16_t internet_checksum(const std::uint8_t* p, std::size_t n, std::uint64_t sum = 0) {
  for (std::size_t i = 0; i + 1 < n; i += 2) sum += get16(p + i);
  if (n % 2 != 0) sum += static_cast<std::uint64_t>(p[n - 1]) << 8;
  while (sum >> 16) sum = (sum & 0xffff) + (sum >> 16);
  return static_cast<std::uint16_t>(~sum);
}

// CHECKSUM_PARTIAL: the field holds the pseudo-header's sum already.
void fill_checksum(std::vector<std::uint8_t>& f, const Offloads& o) {
  const std::size_t at = std::size_t{o.csum_start} + o.csum_offset;
  if (o.csum_start >= f.size() || at + 2 > f.size()) return;
  const std::uint16_t sum = internet_checksum(&f[o.csum_start], f.size() - o.csum_start);
  put16(&f[at], sum == 0 ? 0xffff : sum);  // CSUM_MANGLED_0
}

void fill_udp_checksum(std::vector<std::uint8_t>& f, std::size_t ip, std::size_t udp) {
  put16(&f[udp + 6], 0);
  std::uint64_t sum = 17 + (f.size() - udp);
  for (std::size_t i = 12; i < 20; i += 2) sum += get16(&f[ip + i]);
  const std::uint16_t check = internet_checksum(&f[udp], f.size() - udp, sum);
  put16(&f[udp + 6], check == 0 ? 0xffff : check);
}

// Segments of an IPv6 superframe without extension headers, or with: the checksum starts at UDP.
std::vector<std::vector<std::uint8_t>> complete6(const std::vector<std::uint8_t>& frame,
                                                 const Offloads& o) {
  std::vector<std::vector<std::uint8_t>> done;
  constexpr std::size_t ip = ETH_HLEN;
  const std::size_t udp = o.csum_start;
  const std::size_t payload = udp + 8;
  for (std::size_t at = payload; at < frame.size(); at += o.gso_size) {
    const std::size_t n = std::min<std::size_t>(o.gso_size, frame.size() - at);
    std::vector<std::uint8_t> f(frame.begin(),
                                frame.begin() + static_cast<std::ptrdiff_t>(payload));
    f.insert(f.end(), frame.begin() + static_cast<std::ptrdiff_t>(at),
             frame.begin() + static_cast<std::ptrdiff_t>(at + n));
    put16(&f[ip + 4], f.size() - ip - 40);
    put16(&f[udp + 4], n + 8);
    put16(&f[udp + 6], 0);
    std::uint64_t sum = 17 + n + 8;
    for (std::size_t i = 8; i < 40; i += 2) sum += get16(&f[ip + i]);
    const std::uint16_t check = internet_checksum(&f[udp], f.size() - udp, sum);
    put16(&f[udp + 6], check == 0 ? 0xffff : check);
    done.push_back(std::move(f));
  }
  return done;
}

}  // namespace

std::vector<std::vector<std::uint8_t>> complete(std::vector<std::uint8_t> frame,
                                                const Offloads& o) {
  std::vector<std::vector<std::uint8_t>> done;
  constexpr std::size_t ip = ETH_HLEN;
  const bool ipv4 = frame.size() >= ip + 28 && get16(&frame[12]) == ETH_P_IP;
  const bool ipv6 = frame.size() >= ip + 48 && get16(&frame[12]) == ETH_P_IPV6;
  if (o.gso_size != 0 && ipv6) return complete6(frame, o);
  if (o.gso_size == 0 || !ipv4) {
    if (o.needs_csum) fill_checksum(frame, o);
    done.push_back(std::move(frame));
    return done;
  }
  const std::size_t hlen = (frame[ip] & 0xfU) * 4U;
  const std::size_t udp = ip + hlen;
  const std::size_t payload = udp + 8;
  std::size_t id = get16(&frame[ip + 4]);
  for (std::size_t at = payload; at < frame.size(); at += o.gso_size) {
    const std::size_t n = std::min<std::size_t>(o.gso_size, frame.size() - at);
    std::vector<std::uint8_t> f(frame.begin(),
                                frame.begin() + static_cast<std::ptrdiff_t>(payload));
    f.insert(f.end(), frame.begin() + static_cast<std::ptrdiff_t>(at),
             frame.begin() + static_cast<std::ptrdiff_t>(at + n));
    put16(&f[ip + 2], f.size() - ip);
    put16(&f[ip + 4], id++);
    put16(&f[ip + 10], 0);
    put16(&f[ip + 10], internet_checksum(&f[ip], hlen));
    put16(&f[udp + 4], n + 8);
    if (o.needs_csum) fill_udp_checksum(f, ip, udp);
    done.push_back(std::move(f));
  }
  return done;
}

Result<WireCapture> WireCapture::open(std::string dev, const std::string& interface,
                                      Direction direction) {
  const int fd = socket(AF_PACKET, SOCK_RAW | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
  if (fd < 0) return fail(fmt::format("cannot capture: {}", std::strerror(errno)));
  WireCapture capture(fd, std::move(dev), direction);
  const int one = 1;
  const int room = 16 << 20;  // bytes
  (void)setsockopt(fd, SOL_SOCKET, SO_RCVBUFFORCE, &room, sizeof room);
  (void)setsockopt(fd, SOL_SOCKET, SO_RCVBUF, &room, sizeof room);
  sockaddr_ll address{};
  address.sll_family = AF_PACKET;
  address.sll_protocol = htons(ETH_P_ALL);
  address.sll_ifindex = static_cast<int>(if_nametoindex(interface.c_str()));
  if (setsockopt(fd, SOL_PACKET, PACKET_VNET_HDR, &one, sizeof one) != 0 ||
      bind(fd, reinterpret_cast<const sockaddr*>(&address), sizeof address) != 0)
    return fail(fmt::format("cannot capture on {}: {}", interface, std::strerror(errno)));
  return capture;
}

WireCapture::~WireCapture() {
  if (fd_ >= 0) close(fd_);
}

void WireCapture::take(std::vector<WireFrame>& to) {
  std::vector<std::uint8_t> buffer(kMaxFrame);
  for (;;) {
    VirtioNetHdr header{};
    sockaddr_ll from{};
    iovec parts[2] = {{&header, sizeof header}, {buffer.data(), buffer.size()}};
    msghdr message{};
    message.msg_name = &from;
    message.msg_namelen = sizeof from;
    message.msg_iov = parts;
    message.msg_iovlen = 2;
    const ssize_t n = recvmsg(fd_, &message, 0);
    if (n < 0 && errno == EINTR) continue;
    if (n < static_cast<ssize_t>(sizeof header)) return;
    if ((from.sll_pkttype == PACKET_OUTGOING) != (direction_ == Direction::leaving)) continue;
    Offloads o;
    o.needs_csum = (header.flags & kNeedsCsum) != 0;
    o.csum_start = header.csum_start;
    o.csum_offset = header.csum_offset;
    if (header.gso_type == kGsoUdpL4) o.gso_size = header.gso_size;
    const std::size_t len = static_cast<std::size_t>(n) - sizeof header;
    bool first = true;
    for (std::vector<std::uint8_t>& f :
         complete({buffer.begin(), buffer.begin() + static_cast<std::ptrdiff_t>(len)}, o)) {
      to.push_back({dev_, std::move(f), o.gso_size != 0 ? len : 0, first});
      first = false;
    }
  }
}

}  // namespace txp::wirecap
