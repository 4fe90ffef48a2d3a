// SPDX-License-Identifier: Apache-2.0
// Copy mode: sendto() makes an skb of each descriptor and hands it to the device, at most 32 a call
// (TX_BATCH_SIZE). EAGAIN: there are more, or the device was busy; EBUSY: the device dropped one.
// What the kernel does not take stays on the ring, counted as queued without a bell, and goes with
// the next doorbell. A full ring makes the sender wait for at most kXdpPatience, then the queue is
// stopped. A frame that is too long is lost (TXPATH_DRIVER_ERROR).
#include "drivers/af_xdp.h"

#include <fcntl.h>
#include <linux/if_xdp.h>
#include <net/if.h>
#include <poll.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <cerrno>
#include <cstring>
#include <string>
#include <utility>

#include "dev/netdevice.h"
#include "drivers/bell.h"
#include "drivers/packet_socket.h"
#include "net.h"
#include "observe/trace.h"
#include "softirq/net_tx_action.h"

#ifndef AF_XDP
#define AF_XDP 44
#endif
#ifndef SOL_XDP
#define SOL_XDP 283
#endif

namespace txp {
namespace {

constexpr std::size_t kMostChunk = 4096;      // bytes a frame: the most, a page
constexpr std::size_t kMostHeaders = 18;      // bytes before the IP packet
constexpr std::uint32_t kFillRing = 64;       // must be there, and stays empty
constexpr Nanos kXdpPatience = kSecond / 10;  // of a sender with a full ring

class Mapping {
 public:
  Mapping() = default;
  Mapping(void* p, std::size_t len) : p_(p), len_(len) {}
  Mapping(Mapping&& o) noexcept : p_(std::exchange(o.p_, nullptr)), len_(o.len_) {}
  Mapping& operator=(Mapping&& o) noexcept {
    std::swap(p_, o.p_);
    std::swap(len_, o.len_);
    return *this;
  }
  ~Mapping() {
    if (p_ != nullptr) ::munmap(p_, len_);
  }
  std::uint8_t* at(std::size_t offset) const { return static_cast<std::uint8_t*>(p_) + offset; }
  explicit operator bool() const { return p_ != nullptr; }

 private:
  void* p_ = nullptr;
  std::size_t len_ = 0;
};

// One of the two rings that are used, as the kernel lays it out.
template <typename T>
struct SharedRing {
  Mapping memory;
  std::uint32_t* producer = nullptr;
  std::uint32_t* consumer = nullptr;
  const std::uint32_t* flags = nullptr;
  T* slots = nullptr;
  std::uint32_t mask = 0;

  static std::uint32_t load(const std::uint32_t* p) {
    return std::atomic_ref(*const_cast<std::uint32_t*>(p)).load(std::memory_order_acquire);
  }
  static void store(std::uint32_t* p, std::uint32_t v) {
    std::atomic_ref(*p).store(v, std::memory_order_release);
  }
  bool map(int fd, const xdp_ring_offset& at, std::uint32_t size, off_t page) {
    const std::size_t len = at.desc + size * sizeof(T);
    void* p = ::mmap(nullptr, len, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_POPULATE, fd, page);
    if (p == MAP_FAILED) return false;
    memory = Mapping(p, len);
    const auto word = [&](std::uint64_t offset) {
      return static_cast<std::uint32_t*>(static_cast<void*>(memory.at(offset)));
    };
    producer = word(at.producer);
    consumer = word(at.consumer);
    flags = word(at.flags);
    slots = static_cast<T*>(static_cast<void*>(memory.at(at.desc)));
    mask = size - 1;
    return true;
  }
};

struct XdpQueue {
  int fd = -1;
  std::size_t chunk = 0;  // bytes a frame
  Mapping umem;
  SharedRing<xdp_desc> tx;
  SharedRing<std::uint64_t> completion;
  std::vector<std::uint64_t> free;     // addresses of frames; under the transmit lock
  std::uint32_t produced = 0;          // tx.producer, as we wrote it
  std::atomic<std::uint32_t> held{0};  // frames counted as queued

  XdpQueue() = default;
  XdpQueue(const XdpQueue&) = delete;
  ~XdpQueue() {
    if (fd >= 0) ::close(fd);
  }
  std::uint32_t waiting() const {
    return SharedRing<xdp_desc>::load(tx.producer) - SharedRing<xdp_desc>::load(tx.consumer);
  }
};

class AfXdpDriver final : public Driver {
 public:
  AfXdpDriver(const AfXdpOptions& options, std::vector<std::unique_ptr<XdpQueue>> queues,
              std::unique_ptr<IcmpErrorReceiver> receiver)
      : options_(options), queues_(std::move(queues)), receiver_(std::move(receiver)) {}

  ~AfXdpDriver() override {
    for (auto& q : queues_)
      for (int nap = 0; nap < 100 && q->waiting() > 0 && kick(*q); ++nap)
        if (q->waiting() > 0) ::poll(nullptr, 0, 1);
  }

  DriverFeatures features() const override { return {.batch = true}; }

  NetdevTx ndo_start_xmit(Net& net, NetDevice& dev, unsigned queue, SkbPtr& skb,
                          bool more) override {
    if (queue >= queues_.size() ||
        skb->len > queues_[queue]->chunk) {  // more queues, or a larger MTU, than then
      errors_.fetch_add(1, std::memory_order_relaxed);
      drop_taken(net, dev, std::move(skb), DropReason::TXPATH_DRIVER_ERROR);
      return NetdevTx::ok;
    }
    XdpQueue& q = *queues_[queue];
    if (q.free.empty()) reap(q);
    if (q.free.empty()) {
      make_room(net, dev, q);
      if (q.free.empty()) {
        dev.tx[queue]->stopped.store(true, std::memory_order_release);
        busy_.fetch_add(1, std::memory_order_relaxed);
        return NetdevTx::busy;
      }
    }
    const std::uint64_t at = q.free.back();
    q.free.pop_back();
    std::memcpy(q.umem.at(at), skb->data, skb->len);
    xdp_desc& d = q.tx.slots[q.produced & q.tx.mask];
    d.addr = at;
    d.len = skb->len;
    d.options = 0;
    SharedRing<xdp_desc>::store(q.tx.producer, ++q.produced);
    consume(std::move(skb));
    if (options_.bell != nullptr) {
      options_.bell->ring();
      return NetdevTx::ok;
    }
    if (more) return NetdevTx::ok;
    flush(q);
    settle(net, dev, q);
    return NetdevTx::ok;
  }

  int fd() const override { return receiver_ ? receiver_->fd() : -1; }

  // With a bell this is the doorbell: the caller's is the one thread that transmits. It takes no
  // lock, so that senders are not held up by it.
  std::size_t poll(Net& net, NetDevice& dev, std::size_t budget) override {
    std::size_t done = receiver_ ? receiver_->poll(net, dev, budget) : 0;
    for (std::size_t i = 0; i < queues_.size(); ++i) {
      XdpQueue& q = *queues_[i];
      const std::uint32_t before = q.waiting();
      if (before > 0) {
        flush(q);
        const std::uint32_t after = q.waiting();
        done += after < before ? before - after : 0;
      }
      if (options_.bell == nullptr) {
        const HardTxLock lock(net.this_cpu(), dev, *dev.tx[i]);
        settle(net, dev, q);
      } else {
        settle(net, dev, q);
      }
      if (dev.tx[i]->stopped.load(std::memory_order_relaxed) && q.waiting() <= q.tx.mask / 2) {
        netif_tx_wake_queue(net, *dev.tx[i]);
        ++done;
      }
    }
    return done;
  }

  std::vector<std::pair<std::string, std::uint64_t>> stats() const override {
    const auto get = [](const std::atomic<std::uint64_t>& n) {
      return n.load(std::memory_order_relaxed);
    };
    std::uint64_t waiting = 0;
    for (const auto& q : queues_) waiting += q->waiting();
    return {{"af_xdp_doorbells", get(doorbells_)},
            {"af_xdp_waiting", waiting},
            {"af_xdp_busy", get(busy_)},
            {"af_xdp_errors", get(errors_)}};
  }

 private:
  // Takes back the frames that the kernel is done with. Under the transmit lock.
  static void reap(XdpQueue& q) {
    const std::uint32_t ready = SharedRing<std::uint64_t>::load(q.completion.producer);
    std::uint32_t taken = SharedRing<std::uint64_t>::load(q.completion.consumer);
    for (; taken != ready; ++taken) q.free.push_back(q.completion.slots[taken & q.completion.mask]);
    SharedRing<std::uint64_t>::store(q.completion.consumer, taken);
  }

  // One doorbell. False: the device is gone, and rings no more.
  bool kick(XdpQueue& q) {
    doorbells_.fetch_add(1, std::memory_order_relaxed);
    if (::sendto(q.fd, nullptr, 0, MSG_DONTWAIT, nullptr, 0) >= 0) return true;
    return errno == EAGAIN || errno == EBUSY || errno == ENOBUFS || errno == EINTR;
  }

  // Rings until the kernel has everything, or takes nothing.
  void flush(XdpQueue& q) {
    for (std::uint32_t before = q.waiting(); before > 0;) {
      if (!kick(q)) return;
      const std::uint32_t after = q.waiting();
      if (after >= before) return;
      before = after;
    }
  }

  // Keeps the books: what still waits is queued, not delivered. Under the transmit lock, or with a
  // bell by the one thread that transmits.
  static void settle(Net& net, NetDevice& dev, XdpQueue& q) {
    const std::uint32_t now = q.waiting();
    const std::uint32_t held = q.held.load(std::memory_order_relaxed);
    if (now > held) hold_taken(net, dev, now - held);
    if (now < held) release_taken(net, dev, held - now);
    q.held.store(now, std::memory_order_relaxed);
  }

  void make_room(Net& net, NetDevice& dev, XdpQueue& q) {
    const Nanos until = net.clock.now() + kXdpPatience;
    do {
      if (options_.bell == nullptr) {
        flush(q);
        settle(net, dev, q);
      } else {
        options_.bell->ring();
        ::sched_yield();
      }
      reap(q);
    } while (q.free.empty() && net.clock.now() < until);
  }

  const AfXdpOptions options_;
  std::vector<std::unique_ptr<XdpQueue>> queues_;
  const std::unique_ptr<IcmpErrorReceiver> receiver_;  // may be null
  std::atomic<std::uint64_t> doorbells_{0};
  std::atomic<std::uint64_t> busy_{0};
  std::atomic<std::uint64_t> errors_{0};
};

std::unexpected<Error> xdp_failed(const std::string& dev, unsigned queue, const char* call) {
  const int code = errno;
  std::string what = "af_xdp on " + dev + " queue " + std::to_string(queue) + ": " + call + ": " +
                     std::strerror(code);
  if (code == EPERM || code == EACCES) what += " (needs CAP_NET_RAW)";
  if (code == EBUSY) what += " (another AF_XDP socket has it)";
  return fail(std::move(what));
}

Result<std::unique_ptr<XdpQueue>> open_queue(const NetDevice& dev, unsigned queue,
                                             const AfXdpOptions& options) {
  auto q = std::make_unique<XdpQueue>();
  const auto give_up = [&](const char* call) { return xdp_failed(dev.name(), queue, call); };
  q->fd = ::socket(AF_XDP, SOCK_RAW | SOCK_CLOEXEC, 0);
  if (q->fd < 0) return give_up("socket()");
  if (q->fd < options.min_fd)
    if (const int high = ::fcntl(q->fd, F_DUPFD_CLOEXEC, options.min_fd); high >= 0) {
      ::close(q->fd);
      q->fd = high;
    }
  const std::size_t chunk = dev.mtu() + kMostHeaders > kMostChunk / 2 ? kMostChunk : kMostChunk / 2;
  q->chunk = chunk;
  const std::size_t size = options.frames * chunk;
  void* memory = ::mmap(nullptr, size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  if (memory == MAP_FAILED) return give_up("mmap()");
  q->umem = Mapping(memory, size);
  (void)::madvise(memory, size, MADV_DONTFORK);  // a child's copy would be of pages that are pinned
  xdp_umem_reg umem{};
  umem.addr = reinterpret_cast<std::uint64_t>(memory);
  umem.len = size;
  umem.chunk_size = static_cast<std::uint32_t>(chunk);
  const auto set = [&](int name, const auto& value) {
    return ::setsockopt(q->fd, SOL_XDP, name, &value, sizeof value) == 0;
  };
  const auto ring = static_cast<std::uint32_t>(options.frames);
  if (!set(XDP_UMEM_REG, umem)) return give_up("XDP_UMEM_REG");
  if (!set(XDP_UMEM_FILL_RING, kFillRing) || !set(XDP_UMEM_COMPLETION_RING, ring) ||
      !set(XDP_TX_RING, ring))
    return give_up("XDP_TX_RING");
  xdp_mmap_offsets at{};
  socklen_t len = sizeof at;
  if (::getsockopt(q->fd, SOL_XDP, XDP_MMAP_OFFSETS, &at, &len) != 0)
    return give_up("XDP_MMAP_OFFSETS");
  if (!q->tx.map(q->fd, at.tx, ring, XDP_PGOFF_TX_RING) ||
      !q->completion.map(q->fd, at.cr, ring, static_cast<off_t>(XDP_UMEM_PGOFF_COMPLETION_RING)))
    return give_up("mmap()");
  sockaddr_xdp address{};
  address.sxdp_family = AF_XDP;
  address.sxdp_ifindex = ::if_nametoindex(dev.name().c_str());
  if (address.sxdp_ifindex == 0) return give_up("if_nametoindex()");
  address.sxdp_queue_id = queue;
  address.sxdp_flags = static_cast<std::uint16_t>(XDP_USE_NEED_WAKEUP |
                                                  (options.zero_copy ? XDP_ZEROCOPY : XDP_COPY));
  // A socket that was closed just now keeps its queue for a moment.
  for (int attempt = 0; ::bind(q->fd, reinterpret_cast<sockaddr*>(&address), sizeof address) != 0;
       ++attempt) {
    if (errno != EBUSY || attempt == 5) return give_up("bind()");
    ::poll(nullptr, 0, 10);
  }
  for (std::size_t i = 0; i < options.frames; ++i) q->free.push_back(i * chunk);
  if (options.fds != nullptr) options.fds->push_back(q->fd);
  return q;
}

}  // namespace

Result<std::unique_ptr<Driver>> make_af_xdp(const NetDevice& dev, const AfXdpOptions& options) {
  if (dev.mtu() + kMostHeaders > kMostChunk)
    return fail("af_xdp on " + dev.name() + ": an MTU above " +
                std::to_string(kMostChunk - kMostHeaders));
  std::vector<std::unique_ptr<XdpQueue>> queues;
  const std::size_t real = dev.link().real_num_tx_queues;  // others cannot be had
  const std::size_t n = real != 0 ? std::min(real, dev.tx.size()) : dev.tx.size();
  for (unsigned i = 0; i < n; ++i) {
    auto q = open_queue(dev, i, options);
    if (!q) return std::unexpected(q.error());
    queues.push_back(std::move(*q));
  }
  std::unique_ptr<IcmpErrorReceiver> receiver;
  if (options.hear_errors) {
    const auto ifindex = static_cast<int>(::if_nametoindex(dev.name().c_str()));
    auto opened = IcmpErrorReceiver::open(dev, ifindex, -1, options.min_fd);
    if (!opened) return std::unexpected(opened.error());
    receiver = std::move(*opened);
  }
  return std::make_unique<AfXdpDriver>(options, std::move(queues), std::move(receiver));
}

}  // namespace txp
