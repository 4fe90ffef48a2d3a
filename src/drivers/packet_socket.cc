// SPDX-License-Identifier: Apache-2.0
#include "drivers/packet_socket.h"

#include <fcntl.h>
#include <linux/filter.h>
#include <linux/if_ether.h>
#include <linux/if_packet.h>
#include <pcap/pcap.h>
#include <sched.h>
#include <sys/socket.h>
#include <unistd.h>

#include <array>
#include <bit>
#include <cerrno>
#include <cstring>
#include <thread>

#include "dev/netdevice.h"
#include "ip6/ip6.h"
#include "neigh/neighbour.h"
#include "net.h"
#include "udp/udp_table.h"
#include "wire/ethernet.h"
#include "wire/icmp.h"
#include "wire/ipv4.h"
#include "wire/ipv6.h"
#include "wire/udp.h"

namespace txp {
namespace {

constexpr int kReceiveBuffer = 256 * 1024;  // bytes: what may wait between two polls
constexpr std::size_t kMostFrame = 4096;    // bytes; RFC 1812 errors have 576 at most

// Destination unreachable, source quench, redirect, time exceeded, parameter problem; about UDP.
// Over IPv6 (where what is quoted may have headers of its own before UDP's) destination
// unreachable, packet too big, time exceeded, parameter problem.
constexpr char kFilter[] =
    "(icmp and (icmp[0] == 3 or icmp[0] == 4 or icmp[0] == 5 or icmp[0] == 11 or icmp[0] == 12) "
    "and icmp[17] == 17) or (ip6[6] == 58 and ip6[40] >= 1 and ip6[40] <= 4)";

// struct virtio_net_hdr, whose header (linux/virtio_net.h) is no C++.
struct VirtioNetHdr {
  std::uint8_t flags = 0;
  std::uint8_t gso_type = 0;
  std::uint16_t hdr_len = 0;
  std::uint16_t gso_size = 0;
  std::uint16_t csum_start = 0;
  std::uint16_t csum_offset = 0;
};
static_assert(sizeof(VirtioNetHdr) == 10);
constexpr std::uint8_t kVirtioNetHdrGsoUdp = 3;

class Program {
 public:
  explicit Program(int datalink) {
    pcap_t* dead = pcap_open_dead(datalink, static_cast<int>(kMostFrame));
    if (dead == nullptr) return;
    good_ = pcap_compile(dead, &program_, kFilter, 1, PCAP_NETMASK_UNKNOWN) == 0;
    pcap_close(dead);
  }
  ~Program() {
    if (good_) pcap_freecode(&program_);
  }
  Program(const Program&) = delete;
  Program& operator=(const Program&) = delete;
  bool attach(int fd) const {
    if (!good_) {
      errno = EINVAL;
      return false;
    }
    // struct bpf_program and struct sock_fprog name the same instructions.
    sock_fprog f{};
    f.len = static_cast<unsigned short>(program_.bf_len);
    f.filter = static_cast<sock_filter*>(static_cast<void*>(program_.bf_insns));
    return ::setsockopt(fd, SOL_SOCKET, SO_ATTACH_FILTER, &f, sizeof f) == 0;
  }

 private:
  bpf_program program_{};
  bool good_ = false;
};

// The same socket at `min_fd` or above. Where there is no room it stays where it is.
int moved_up(int fd, int min_fd) {
  if (fd < 0 || fd >= min_fd) return fd;
  const int high = ::fcntl(fd, F_DUPFD_CLOEXEC, min_fd);
  if (high < 0) return fd;
  ::close(fd);
  return high;
}

// The port from which the quoted datagram came; empty: it is none.
std::optional<std::uint16_t> quoted_port(std::span<const std::uint8_t> packet) {
  const auto ip = Ipv4Header::parse(packet);
  if (!ip || packet.size() < ip->hlen() + kIcmpHlen) return std::nullopt;
  const auto quoted = packet.subspan(ip->hlen() + kIcmpHlen);
  const auto inner = Ipv4Header::parse(quoted);
  const auto udp = inner ? UdpHeader::parse(quoted.subspan(inner->hlen())) : std::nullopt;
  return udp ? std::optional(udp->source) : std::nullopt;
}
std::optional<std::uint16_t> quoted_port6(std::span<const std::uint8_t> packet) {
  if (packet.size() < kIpv6Hlen + kIcmpHlen) return std::nullopt;
  const auto quoted = packet.subspan(kIpv6Hlen + kIcmpHlen);
  const auto ip = Ipv6Header::parse(quoted);
  if (!ip) return std::nullopt;
  std::uint8_t nexthdr = ip->nexthdr;
  const auto inner = ipv6_skip_exthdr(quoted, kIpv6Hlen, nexthdr);
  if (!inner || nexthdr != kIpProtoUdp || inner->offset > quoted.size()) return std::nullopt;
  const auto udp = UdpHeader::parse(quoted.subspan(inner->offset));
  return udp ? std::optional(udp->source) : std::nullopt;
}

// Whether the frame quotes a datagram from a port of ours.
bool concerns_us(Net& net, const NetDevice& dev, std::span<const std::uint8_t> frame) {
  const std::size_t link = dev_has_header(dev) ? kEthHlen : 0;
  if (frame.size() <= link) return false;
  const auto packet = frame.subspan(link);
  const auto port = packet[0] >> 4 == 6 ? quoted_port6(packet) : quoted_port(packet);
  return port && net.udp->has_port(*port);
}

// Whose frame it is: of `dev`, or of a macvlan on it, which has an address of its own.
NetDevice& receiving_device(Net& net, NetDevice& dev, std::span<const std::uint8_t> frame) {
  const auto header = dev_has_header(dev) ? EthernetHeader::parse(frame) : std::nullopt;
  if (!header || header->dest == dev.link().address) return dev;
  for (NetDevice* upper : net.dev->all()) {
    const Link& link = upper->link();
    if (link.kind == "macvlan" && link.peer_ifindex == dev.ifindex && link.address == header->dest)
      return *upper;
  }
  return dev;
}

}  // namespace

std::unexpected<Error> packet_call_failed(const std::string& dev, const char* call, int code) {
  std::string what = "af_packet on " + dev + ": " + call + ": " + std::strerror(code);
  if (code == EPERM || code == EACCES) what += " (needs CAP_NET_RAW)";
  return fail(std::move(what));
}

int packet_socket(int netns_fd, int min_fd) {
  constexpr int kType = SOCK_RAW | SOCK_CLOEXEC | SOCK_NONBLOCK;
  if (netns_fd < 0)  // protocol 0: receives nothing
    return moved_up(::socket(AF_PACKET, kType, 0), min_fd);
  int fd = -1;
  int code = 0;
  // setns() moves a thread; a short-lived one is moved, not the caller.
  std::thread([&] {
    if (::setns(netns_fd, CLONE_NEWNET) == 0) fd = ::socket(AF_PACKET, kType, 0);
    code = errno;
  }).join();
  if (fd < 0) errno = code;
  return moved_up(fd, min_fd);
}

Result<std::unique_ptr<IcmpErrorReceiver>> IcmpErrorReceiver::open(const NetDevice& dev,
                                                                   int ifindex, int netns_fd,
                                                                   int min_fd) {
  const int fd = packet_socket(netns_fd, min_fd);
  if (fd < 0) return packet_call_failed(dev.name(), "socket()", errno);
  std::unique_ptr<IcmpErrorReceiver> receiver(new IcmpErrorReceiver(fd));
  // The filter first, so that nothing comes before it.
  if (!Program(dev_has_header(dev) ? DLT_EN10MB : DLT_RAW).attach(fd))
    return packet_call_failed(dev.name(), "SO_ATTACH_FILTER", errno);
  const int one = 1;
  (void)::setsockopt(fd, SOL_PACKET, PACKET_IGNORE_OUTGOING, &one, sizeof one);
  (void)::setsockopt(fd, SOL_SOCKET, SO_RCVBUF, &kReceiveBuffer, sizeof kReceiveBuffer);
  sockaddr_ll address{};
  address.sll_family = AF_PACKET;
  address.sll_protocol = std::byteswap(std::uint16_t{ETH_P_ALL});
  address.sll_ifindex = ifindex;
  const auto* generic = static_cast<const sockaddr*>(static_cast<const void*>(&address));
  if (::bind(fd, generic, sizeof address) != 0)
    return packet_call_failed(dev.name(), "bind()", errno);
  return receiver;
}

IcmpErrorReceiver::~IcmpErrorReceiver() { ::close(fd_); }

std::size_t IcmpErrorReceiver::poll(Net& net, NetDevice& dev, std::size_t budget) {
  // A sender polls all the time, and a look costs a system call.
  constexpr Nanos kInterval = 50'000;
  if (const Nanos now = net.clock.now(); !net.clock.is_manual()) {
    if (now < next_look_.load(std::memory_order_relaxed)) return 0;
    next_look_.store(now + kInterval, std::memory_order_relaxed);
  }
  std::array<std::uint8_t, kMostFrame> buffer;
  std::size_t done = 0;
  for (; done < budget; ++done) {
    sockaddr_ll from{};
    socklen_t from_len = sizeof from;
    auto* generic = static_cast<sockaddr*>(static_cast<void*>(&from));
    const ssize_t n =
        ::recvfrom(fd_, buffer.data(), buffer.size(), MSG_DONTWAIT | MSG_TRUNC, generic, &from_len);
    if (n < 0) break;
    const auto len = static_cast<std::size_t>(n);
    if (len > buffer.size() || from.sll_pkttype == PACKET_OUTGOING) continue;
    const std::span<const std::uint8_t> frame(buffer.data(), len);
    if (!concerns_us(net, dev, frame)) continue;
    const RcuReader reader;
    netif_receive_frame(net, receiving_device(net, dev, frame), frame);
  }
  return done;
}

bool send_long_frame(int netns_fd, int ifindex, bool qdisc_bypass,
                     std::span<const std::uint8_t> frame) {
  const int fd = packet_socket(netns_fd);  // long frames are rare
  if (fd < 0) return false;
  const int one = 1;
  bool good = ::setsockopt(fd, SOL_PACKET, PACKET_VNET_HDR, &one, sizeof one) == 0;
  if (qdisc_bypass)
    good &= ::setsockopt(fd, SOL_PACKET, PACKET_QDISC_BYPASS, &one, sizeof one) == 0;
  VirtioNetHdr segmentation{.gso_type = kVirtioNetHdrGsoUdp, .gso_size = 0xfffe};
  iovec parts[] = {{&segmentation, sizeof segmentation},
                   {const_cast<std::uint8_t*>(frame.data()), frame.size()}};
  sockaddr_ll to{};
  to.sll_family = AF_PACKET;
  to.sll_protocol = __builtin_bswap16(kEthPIp);
  to.sll_ifindex = ifindex;
  to.sll_halen = 6;
  msghdr message{};
  message.msg_name = &to;
  message.msg_namelen = sizeof to;
  message.msg_iov = parts;
  message.msg_iovlen = 2;
  good = good && ::sendmsg(fd, &message, MSG_DONTWAIT) >= 0;
  ::close(fd);
  return good;
}

}  // namespace txp
