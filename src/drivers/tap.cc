// SPDX-License-Identifier: Apache-2.0
// A frame is one writev(): the virtio-net header, the packet's bytes and those of its frag_list.
// Whole segmentation superframes need a kernel that knows them from a TAP (6.2); on an older one
// the path segments.
//
// A full queue on the kernel's side (EAGAIN) is BUSY; the interface is tried again by poll(). A
// frame that the kernel refuses otherwise (the interface is down: EIO) is lost
// (TXPATH_DRIVER_ERROR).
#include "drivers/tap.h"

#include <fcntl.h>
#include <linux/if_tun.h>
#include <net/if.h>
#include <sys/ioctl.h>
#include <sys/uio.h>
#include <unistd.h>

#include <array>
#include <atomic>
#include <cerrno>
#include <cstring>
#include <vector>

#include "dev/netdevice.h"
#include "net.h"
#include "softirq/net_tx_action.h"
#include "wire/udp.h"

namespace txp {
namespace {

// Newer than the headers of Debian 12.
constexpr unsigned kTunUso4 = 0x20, kTunUso6 = 0x40;

// struct virtio_net_hdr (whose header C++ cannot read).
struct TapVnetHeader {
  std::uint8_t flags = 0;     // 1: VIRTIO_NET_HDR_F_NEEDS_CSUM
  std::uint8_t gso_type = 0;  // 5: VIRTIO_NET_HDR_GSO_UDP_L4
  std::uint16_t hdr_len = 0;
  std::uint16_t gso_size = 0;
  std::uint16_t csum_start = 0;
  std::uint16_t csum_offset = 0;
};
static_assert(sizeof(TapVnetHeader) == 10);
constexpr std::uint8_t kTapNeedsCsum = 1, kTapGsoUdpL4 = 5;

constexpr std::size_t kMaxFrame = 65536 + 64;
constexpr int kMaxParts = 128;

class TapDriver final : public Driver {
 public:
  TapDriver(int fd, bool whole) : fd_(fd), whole_(whole), buffer_(kMaxFrame) {}
  ~TapDriver() override { ::close(fd_); }

  DriverFeatures features() const override {
    return {.csum = true, .gso_udp_l4 = whole_, .frag_list = true};
  }

  NetdevTx ndo_start_xmit(Net& net, NetDevice& dev, unsigned queue, SkbPtr& skb, bool) override {
    TapVnetHeader header = describe(*skb);
    std::array<iovec, kMaxParts> parts{};
    int n = 0;
    const auto add = [&](void* at, std::size_t len) {
      if (n < kMaxParts) parts[static_cast<std::size_t>(n)] = {at, len};
      ++n;
    };
    add(&header, sizeof header);
    add(skb->data, static_cast<std::size_t>(skb->tail - skb->data));
    for (Skb* f = skb->frag_list; f != nullptr; f = f->next)
      add(f->data, static_cast<std::size_t>(f->tail - f->data));
    const ssize_t sent = n <= kMaxParts ? ::writev(fd_, parts.data(), n) : (errno = EMSGSIZE, -1);
    if (sent < 0 && (errno == EAGAIN || errno == ENOBUFS)) {
      dev.tx[queue]->stopped.store(true, std::memory_order_release);
      busy_.fetch_add(1, std::memory_order_relaxed);
      return NetdevTx::busy;
    }
    if (sent < 0) {
      errors_.fetch_add(1, std::memory_order_relaxed);
      drop_taken(net, dev, std::move(skb), DropReason::TXPATH_DRIVER_ERROR);
      return NetdevTx::ok;
    }
    sent_.fetch_add(1, std::memory_order_relaxed);
    if (header.gso_type != 0) superframes_.fetch_add(1, std::memory_order_relaxed);
    consume(std::move(skb));
    return NetdevTx::ok;
  }

  std::size_t poll(Net& net, NetDevice& dev, std::size_t budget) override {
    std::size_t done = 0;
    for (const auto& txq : dev.tx) {
      if (!txq->stopped.load(std::memory_order_relaxed)) continue;
      netif_tx_wake_queue(net, *txq);
      ++done;
    }
    for (; done < budget; ++done) {
      const ssize_t n = ::read(fd_, buffer_.data(), buffer_.size());
      if (n < static_cast<ssize_t>(sizeof(TapVnetHeader))) break;
      received_.fetch_add(1, std::memory_order_relaxed);
      // No offload was promised to the kernel's senders: a frame from there is complete.
      netif_receive_frame(net, dev,
                          {buffer_.data() + sizeof(TapVnetHeader),
                           static_cast<std::size_t>(n) - sizeof(TapVnetHeader)});
    }
    return done;
  }
  int fd() const override { return fd_; }

  std::vector<std::pair<std::string, std::uint64_t>> stats() const override {
    const auto get = [](const std::atomic<std::uint64_t>& n) {
      return n.load(std::memory_order_relaxed);
    };
    return {{"tap_sent", get(sent_)},
            {"tap_superframes", get(superframes_)},
            {"tap_received", get(received_)},
            {"tap_busy", get(busy_)},
            {"tap_errors", get(errors_)}};
  }

 private:
  // virtio_net_hdr_from_skb().
  static TapVnetHeader describe(const Skb& skb) {
    TapVnetHeader h;
    const auto from_data = [&](std::uint16_t offset) {
      return static_cast<std::uint16_t>(skb.head + offset - skb.data);
    };
    if (skb.ip_summed == IpSummed::partial) {
      h.flags = kTapNeedsCsum;
      h.csum_start = from_data(skb.csum_start);
      h.csum_offset = skb.csum_offset;
    }
    if (skb.is_gso()) {
      h.gso_type = kTapGsoUdpL4;
      h.gso_size = skb.gso_size;
      h.hdr_len = static_cast<std::uint16_t>(from_data(skb.transport_header) + kUdpHlen);
    }
    return h;
  }

  const int fd_;
  const bool whole_;
  std::vector<std::uint8_t> buffer_;
  std::atomic<std::uint64_t> sent_{0};
  std::atomic<std::uint64_t> superframes_{0};
  std::atomic<std::uint64_t> received_{0};
  std::atomic<std::uint64_t> busy_{0};
  std::atomic<std::uint64_t> errors_{0};
};

}  // namespace

Result<std::unique_ptr<Driver>> make_tap(const std::string& name) {
  const auto failed = [&](const char* call, int fd) {
    const int code = errno;
    if (fd >= 0) ::close(fd);
    std::string what = "tap " + name + ": " + call + ": " + std::strerror(code);
    if (code == EPERM) what += " (needs CAP_NET_ADMIN)";
    return fail(std::move(what));
  };
  ifreq request{};
  if (name.empty() || name.size() >= sizeof request.ifr_name)
    return fail("tap: an interface's name has 1 to 15 characters");
  std::memcpy(request.ifr_name, name.c_str(), name.size());
  request.ifr_flags = IFF_TAP | IFF_NO_PI | IFF_VNET_HDR;
  const int fd = ::open("/dev/net/tun", O_RDWR | O_CLOEXEC | O_NONBLOCK);
  if (fd < 0) return failed("/dev/net/tun", fd);
  if (::ioctl(fd, TUNSETIFF, &request) != 0) return failed("TUNSETIFF", fd);
  // A kernel that can hand out such superframes takes them in too. Then: none to us.
  const bool whole = ::ioctl(fd, TUNSETOFFLOAD, TUN_F_CSUM | kTunUso4 | kTunUso6) == 0;
  if (::ioctl(fd, TUNSETOFFLOAD, 0) != 0) return failed("TUNSETOFFLOAD", fd);
  return std::make_unique<TapDriver>(fd, whole);
}

}  // namespace txp
