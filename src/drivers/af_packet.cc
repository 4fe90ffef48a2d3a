// SPDX-License-Identifier: Apache-2.0
// When the kernel has no room (EAGAIN: the socket's send buffer; ENOBUFS: the interface's ring)
// frames stay in the driver's ring, counted as queued, and poll() offers them again; a full ring is
// BUSY and stops the queue. Over a device without a discipline, where BUSY would lose the packet,
// the sender waits a little for room instead, as its send buffer would make it wait.
// A frame that the kernel keeps refusing, or refuses for another reason, is lost
// (TXPATH_DRIVER_ERROR). Software checksums; no PACKET_VNET_HDR.
#include "drivers/af_packet.h"

#include <linux/if_packet.h>
#include <net/if.h>
#include <poll.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <string>

#include "dev/netdevice.h"
#include "drivers/packet_socket.h"
#include "net.h"
#include "sched/registry.h"
#include "softirq/net_tx_action.h"
#include "wire/ethernet.h"

namespace txp {
namespace {

constexpr int kMaxRefusals = 64;  // of one frame with ENOBUFS, before it is given up
constexpr int kNaps = 100;        // of one millisecond, over a device without a discipline

class AfPacketDriver final : public Driver {
 public:
  struct Ring {
    int fd = -1;
    std::vector<Skb*> slots;
    std::size_t head = 0;
    std::size_t count = 0;
    std::size_t held = 0;  // of `count`: those counted as queued
    int refusals = 0;      // of the frame at the head
  };

  AfPacketDriver(const AfPacketOptions& options, std::vector<Ring> rings, int ifindex, bool bypass,
                 std::unique_ptr<IcmpErrorReceiver> receiver)
      : options_(options),
        rings_(std::move(rings)),
        bypass_(bypass),
        receiver_(std::move(receiver)) {
    address_.sll_family = AF_PACKET;
    address_.sll_protocol = __builtin_bswap16(kEthPIp);
    address_.sll_ifindex = ifindex;
    address_.sll_halen = 6;
  }

  ~AfPacketDriver() override {
    for (Ring& ring : rings_) {
      for (int nap = 0; nap < kNaps && ring.count > 0; ++nap) {
        if (nap > 0) ::poll(nullptr, 0, 1);
        flush(*net_, *dev_, ring);
      }
      while (ring.count > 0) lose_head(*net_, *dev_, ring);
      ::close(ring.fd);
    }
  }

  DriverFeatures features() const override { return {.batch = true}; }

  NetdevTx ndo_start_xmit(Net& net, NetDevice& dev, unsigned queue, SkbPtr& skb,
                          bool more) override {
    net_ = &net;
    dev_ = &dev;
    Ring& ring = rings_[queue];
    if (ring.count == ring.slots.size()) {
      make_room(net, dev, ring, dev.tx[queue]->qdisc->has_no_queue);
      if (ring.count == ring.slots.size()) {
        dev.tx[queue]->stopped.store(true, std::memory_order_release);
        busy_.fetch_add(1, std::memory_order_relaxed);
        return NetdevTx::busy;
      }
    }
    ring.slots[(ring.head + ring.count) % ring.slots.size()] = skb.release();
    ++ring.count;
    if (more && ring.count < ring.slots.size()) return NetdevTx::ok;
    flush(net, dev, ring);
    if (ring.count > 0) {
      // The frame just added is counted by the caller on return: held back all the same.
      hold_taken(net, dev, ring.count - ring.held);
      ring.held = ring.count;
    }
    return NetdevTx::ok;
  }

  int fd() const override { return receiver_->fd(); }

  std::size_t poll(Net& net, NetDevice& dev, std::size_t budget) override {
    std::size_t done = receiver_->poll(net, dev, budget);
    for (std::size_t i = 0; i < rings_.size(); ++i) {
      TxQueue& txq = *dev.tx[i];
      {
        const HardTxLock lock(net.this_cpu(), dev, txq);
        Ring& ring = rings_[i];
        const std::size_t before = ring.count;
        if (before > 0) flush(net, dev, ring);
        done += before - ring.count;
        if (ring.count > ring.slots.size() / 2) continue;
      }
      if (txq.stopped.load(std::memory_order_relaxed)) {
        netif_tx_wake_queue(net, txq);
        ++done;
      }
    }
    return done;
  }

  std::vector<std::pair<std::string, std::uint64_t>> stats() const override {
    const auto get = [](const std::atomic<std::uint64_t>& n) {
      return n.load(std::memory_order_relaxed);
    };
    return {{"af_packet_sent", get(sent_)},
            {"af_packet_doorbells", get(doorbells_)},
            {"af_packet_busy", get(busy_)},
            {"af_packet_errors", get(errors_)}};
  }

 private:
  // Takes the head off the ring's books.
  SkbPtr pop(Net& net, NetDevice& dev, Ring& ring) {
    SkbPtr skb(ring.slots[ring.head]);
    ring.head = (ring.head + 1) % ring.slots.size();
    --ring.count;
    ring.refusals = 0;
    if (ring.held > 0) {
      --ring.held;
      release_taken(net, dev, 1);
    }
    return skb;
  }

  void lose_head(Net& net, NetDevice& dev, Ring& ring) {
    errors_.fetch_add(1, std::memory_order_relaxed);
    drop_taken(net, dev, pop(net, dev, ring), DropReason::TXPATH_DRIVER_ERROR);
  }

  // Rings the doorbell: offers the ring to the kernel until it is empty or the kernel has no room.
  void flush(Net& net, NetDevice& dev, Ring& ring) {
    constexpr std::size_t kMost = 64;
    mmsghdr messages[kMost];
    iovec parts[kMost];
    while (ring.count > 0) {
      const std::size_t n = std::min({ring.count, options_.batch, kMost});
      for (std::size_t i = 0; i < n; ++i) {
        Skb* skb = ring.slots[(ring.head + i) % ring.slots.size()];
        parts[i] = {skb->data, skb->headlen()};
        messages[i] = {};
        messages[i].msg_hdr.msg_name = &address_;
        messages[i].msg_hdr.msg_namelen = sizeof address_;
        messages[i].msg_hdr.msg_iov = &parts[i];
        messages[i].msg_hdr.msg_iovlen = 1;
      }
      doorbells_.fetch_add(1, std::memory_order_relaxed);
      const int done = ::sendmmsg(ring.fd, messages, static_cast<unsigned>(n), MSG_DONTWAIT);
      if (done > 0) {
        sent_.fetch_add(static_cast<std::uint64_t>(done), std::memory_order_relaxed);
        for (int i = 0; i < done; ++i) consume(pop(net, dev, ring));
        continue;
      }
      if (errno == EINTR) continue;
      if (errno == EMSGSIZE) {
        // Whatever that answers, waiting would not help: the frame is sent or lost.
        if (send_long_frame(
                options_.netns_fd, address_.sll_ifindex, bypass_,
                {static_cast<const std::uint8_t*>(parts[0].iov_base), parts[0].iov_len})) {
          sent_.fetch_add(1, std::memory_order_relaxed);
          consume(pop(net, dev, ring));
        } else {
          lose_head(net, dev, ring);
        }
        continue;
      }
      if (errno == EAGAIN || (errno == ENOBUFS && ++ring.refusals < kMaxRefusals)) return;
      lose_head(net, dev, ring);
    }
  }

  void make_room(Net& net, NetDevice& dev, Ring& ring, bool wait) {
    flush(net, dev, ring);
    for (int nap = 0; wait && nap < kNaps && ring.count == ring.slots.size(); ++nap) {
      pollfd room{ring.fd, POLLOUT, 0};
      // Room in the send buffer is told; room in the interface's ring is not.
      if (::poll(&room, 1, 1) > 0 && ring.refusals > 0) ::poll(nullptr, 0, 1);
      flush(net, dev, ring);
    }
  }

  const AfPacketOptions options_;
  std::vector<Ring> rings_;  // by queue, each under its transmit lock
  const bool bypass_;        // PACKET_QDISC_BYPASS
  const std::unique_ptr<IcmpErrorReceiver> receiver_;
  sockaddr_ll address_{};
  Net* net_ = nullptr;  // of the last frame; rings hold none before
  NetDevice* dev_ = nullptr;
  std::atomic<std::uint64_t> sent_{0};
  std::atomic<std::uint64_t> doorbells_{0};
  std::atomic<std::uint64_t> busy_{0};
  std::atomic<std::uint64_t> errors_{0};
};

}  // namespace

Result<std::unique_ptr<Driver>> make_af_packet(const NetDevice& dev,
                                               const AfPacketOptions& options) {
  const std::string& name = dev.name();
  const bool bypass =
      std::ranges::all_of(dev.qdiscs, [](const auto& q) { return qdisc_is_known(q->spec.kind); });
  std::vector<AfPacketDriver::Ring> rings;
  const auto give_up = [&](const char* call) {
    const int code = errno;
    for (const auto& r : rings) ::close(r.fd);
    return packet_call_failed(name, call, code);
  };
  int ifindex = 0;
  for (std::size_t i = 0; i < dev.tx.size(); ++i) {
    AfPacketDriver::Ring ring;
    ring.fd = packet_socket(options.netns_fd, options.min_fd);
    if (ring.fd < 0) return give_up("socket()");
    ring.slots.resize(std::max<std::size_t>(options.ring, 1));
    const int fd = ring.fd;
    rings.push_back(std::move(ring));
    ifreq request{};
    if (name.size() >= sizeof request.ifr_name) {
      errno = ENODEV;
      return give_up("SIOCGIFINDEX");
    }
    std::memcpy(request.ifr_name, name.c_str(), name.size());
    if (::ioctl(fd, SIOCGIFINDEX, &request) != 0) return give_up("SIOCGIFINDEX");
    ifindex = request.ifr_ifindex;
    const int one = 1;
    if (bypass && ::setsockopt(fd, SOL_PACKET, PACKET_QDISC_BYPASS, &one, sizeof one) != 0)
      return give_up("PACKET_QDISC_BYPASS");
  }
  auto receiver = IcmpErrorReceiver::open(dev, ifindex, options.netns_fd, options.min_fd);
  if (!receiver) {
    for (const auto& r : rings) ::close(r.fd);
    return std::unexpected(receiver.error());
  }
  if (options.fds != nullptr) {
    for (const auto& r : rings) options.fds->push_back(r.fd);
    options.fds->push_back((*receiver)->fd());
  }
  return std::make_unique<AfPacketDriver>(options, std::move(rings), ifindex, bypass,
                                          std::move(*receiver));
}

}  // namespace txp
