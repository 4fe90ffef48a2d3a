// SPDX-License-Identifier: Apache-2.0
// A ring a queue: senders put packets in under the queue's transmit lock, the transmitting thread
// takes them out without one, and the next sender frees what was sent, so that blocks stay in the
// pool of the thread that fills them. A packet in the ring is charged to its socket no more
// (skb_orphan()): the ring is the bound. A full ring makes the sender wait for at most kRoom, then
// the queue is stopped.
//
// The kernel's discipline is not passed by: with PACKET_QDISC_BYPASS the kernel drops what it would
// have to cut apart in software (__dev_direct_xmit()).
//
// The kernel has no room (EAGAIN, ENOBUFS): the frame is offered again for kRoom, then it is lost
// (TXPATH_DRIVER_ERROR), as is one that it refuses otherwise.
#include "drivers/af_packet_bulk.h"

#include <fcntl.h>
#include <linux/if_packet.h>
#include <net/if.h>
#include <poll.h>
#include <sched.h>
#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <atomic>
#include <cerrno>
#include <cstring>
#include <string>
#include <vector>

#include "base/checksum.h"
#include "dev/netdevice.h"
#include "drivers/bell.h"
#include "net.h"
#include "softirq/net_tx_action.h"
#include "wire/ethernet.h"
#include "wire/ipv4.h"
#include "wire/udp.h"

namespace txp {
namespace {

constexpr std::size_t kHeaders = kEthHlen + kIpHlen + kUdpHlen;
constexpr std::size_t kMostSegments = 64;   // UDP_MAX_SEGMENTS of older kernels
constexpr std::size_t kMostTotal = 0xffff;  // an IPv4 packet
constexpr std::size_t kMessages = 32;       // a sendmmsg() call
constexpr Nanos kRoom = kSecond / 10;
constexpr unsigned kSampleEvery = 64;  // frames, of which one's delay is measured

// struct virtio_net_hdr (linux/virtio_net.h, which C++ does not take), in this machine's byte
// order.
struct VirtioNetHeader {
  std::uint8_t flags = 0;
  std::uint8_t gso_type = 0;
  std::uint16_t hdr_len = 0;  // bytes
  std::uint16_t gso_size = 0;
  std::uint16_t csum_start = 0;
  std::uint16_t csum_offset = 0;
};
static_assert(sizeof(VirtioNetHeader) == 10);
constexpr std::uint8_t kNeedsCsum = 1;  // VIRTIO_NET_HDR_F_NEEDS_CSUM
constexpr std::uint8_t kGsoUdpL4 = 5;   // VIRTIO_NET_HDR_GSO_UDP_L4, since 6.2

// A message for the kernel: the virtio-net header, the frame's headers, payloads.
struct BulkMessage {
  VirtioNetHeader vnet;
  std::array<std::uint8_t, kHeaders> headers;
  std::array<iovec, 2 + kMostSegments> parts;
  std::size_t part_count = 0;
  std::size_t packets = 0;
};

struct BulkQueue {
  int fd = -1;
  std::vector<Skb*> slots;
  std::vector<Nanos> queued_at;        // of every kSampleEvery'th
  std::atomic<std::uint32_t> tail{0};  // written by senders
  std::atomic<std::uint32_t> sent{0};  // written by the transmitting thread
  std::uint32_t freed = 0;             // under the transmit lock
  std::vector<BulkMessage> messages{kMessages};
  Nanos refused_since = 0;
  std::uint32_t held = 0;  // counted as queued; the transmitting thread's

  BulkQueue() = default;
  BulkQueue(const BulkQueue&) = delete;
  ~BulkQueue() {
    if (fd >= 0) ::close(fd);
  }
  Skb*& slot(std::uint32_t i) { return slots[i & (slots.size() - 1)]; }
  void free_sent() {
    for (const std::uint32_t to = sent.load(std::memory_order_acquire); freed != to; ++freed)
      consume(SkbPtr(slot(freed)));
  }
};

// A datagram that may share a frame: whole, with a checksum that the device is to complete.
bool may_merge(const Skb& skb) {
  if (skb.ip_summed != IpSummed::partial || skb.is_gso() || skb.frag_list != nullptr ||
      skb.len <= kHeaders || skb.transport_header != skb.mac_header + kEthHlen + kIpHlen)
    return false;
  return skb.protocol == kEthPIp;
}

// The same but for length, id and checksums.
bool same_flow(const Skb& a, const Skb& b) {
  constexpr std::size_t kIp = kEthHlen;
  const auto same = [&](std::size_t from, std::size_t to) {
    return std::memcmp(a.data + from, b.data + from, to - from) == 0;
  };
  return same(0, kIp + 2) && same(kIp + 6, kIp + 10) && same(kIp + 12, kIp + kIpHlen + 4);
}

class AfPacketBulkDriver final : public Driver {
 public:
  AfPacketBulkDriver(Bell& bell, const AfPacketBulkOptions& options, int ifindex,
                     std::vector<std::unique_ptr<BulkQueue>> queues)
      : bell_(bell), merge_(options.merge), queues_(std::move(queues)) {
    address_.sll_family = AF_PACKET;
    address_.sll_protocol = __builtin_bswap16(kEthPIp);
    address_.sll_ifindex = ifindex;
    address_.sll_halen = 6;
  }

  ~AfPacketBulkDriver() override {
    for (auto& q : queues_) {
      while (transmit(*q) > 0) continue;
      q->sent.store(q->tail.load());  // what is left is lost with the device
      q->free_sent();
    }
  }

  DriverFeatures features() const override {
    return {.csum = true, .gso_udp_l4 = true, .batch = true};
  }

  NetdevTx ndo_start_xmit(Net& net, NetDevice& dev, unsigned queue, SkbPtr& skb, bool) override {
    BulkQueue& q = *queues_[queue];
    q.free_sent();
    const std::uint32_t tail = q.tail.load(std::memory_order_relaxed);
    if (tail - q.freed == q.slots.size()) {
      const Nanos until = net.clock.now() + kRoom;
      do {
        bell_.ring();
        ::sched_yield();
        q.free_sent();
      } while (tail - q.freed == q.slots.size() && net.clock.now() < until);
      if (tail - q.freed == q.slots.size()) {
        dev.tx[queue]->stopped.store(true, std::memory_order_release);
        busy_.fetch_add(1, std::memory_order_relaxed);
        return NetdevTx::busy;
      }
    }
    skb_orphan(*skb);
    if (tail % kSampleEvery == 0)
      q.queued_at[(tail / kSampleEvery) % q.queued_at.size()] = net.clock.now();
    q.slot(tail) = skb.release();
    q.tail.store(tail + 1, std::memory_order_release);
    bell_.ring();
    return NetdevTx::ok;
  }

  std::size_t poll(Net& net, NetDevice& dev, std::size_t) override {
    std::size_t done = 0;
    for (std::size_t i = 0; i < queues_.size(); ++i) {
      BulkQueue& q = *queues_[i];
      net_ = &net;
      // Once more after a refusal that transmit() has an answer to.
      for (int idle = 0; idle < 2;) {
        const std::size_t n = transmit(q);
        done += n;
        idle = n > 0 ? 0 : idle + 1;
      }
      // What the kernel did not take is queued, not delivered.
      const std::uint32_t left = q.tail.load(std::memory_order_acquire) - q.sent.load();
      if (left > q.held) hold_taken(net, dev, left - q.held);
      if (left < q.held) release_taken(net, dev, q.held - left);
      q.held = left;
      if (dev.tx[i]->stopped.load(std::memory_order_relaxed) &&
          q.tail.load() - q.sent.load() <= q.slots.size() / 2) {
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
    const std::uint64_t samples = get(samples_);
    std::uint64_t waiting = 0;
    for (const auto& q : queues_) waiting += q->tail.load() - q->sent.load();
    return {{"af_packet_sent", get(packets_)},
            {"af_packet_frames", get(frames_)},
            {"af_packet_doorbells", get(doorbells_)},
            {"af_packet_waiting", waiting},
            {"af_packet_busy", get(busy_)},
            {"af_packet_errors", get(errors_)},
            {"delay_mean_ns", samples > 0 ? get(delay_sum_) / samples : 0},
            {"delay_max_ns", get(delay_max_)}};
  }

 private:
  // Describes the packets from `at` on that go as one frame.
  void describe(BulkQueue& q, std::uint32_t at, std::uint32_t end, BulkMessage& m) const {
    Skb& first = *q.slot(at);
    m.vnet = {};
    m.parts[0] = {&m.vnet, sizeof m.vnet};
    m.part_count = 2;
    m.packets = 1;
    if (first.ip_summed == IpSummed::partial) {
      m.vnet.flags = kNeedsCsum;
      m.vnet.csum_start = static_cast<std::uint16_t>(first.head + first.csum_start - first.data);
      m.vnet.csum_offset = first.csum_offset;
    }
    if (first.is_gso()) {
      m.vnet.gso_type = kGsoUdpL4;
      m.vnet.gso_size = first.gso_size;
      m.vnet.hdr_len = kHeaders;
    }
    m.parts[1] = {first.data, first.headlen()};
    if (!merge_ || !may_merge(first)) return;
    const std::size_t size = first.len - kHeaders;
    std::size_t total = first.len - kEthHlen;
    while (at + m.packets != end && m.packets < kMostSegments) {
      Skb& next = *q.slot(at + static_cast<std::uint32_t>(m.packets));
      if (!may_merge(next) || next.len > first.len || !same_flow(first, next)) break;
      const std::size_t payload = next.len - kHeaders;
      if (total + payload > kMostTotal) break;
      if (m.packets == 1) m.parts[m.part_count++] = {first.data + kHeaders, size};
      m.parts[m.part_count++] = {next.data + kHeaders, payload};
      total += payload;
      ++m.packets;
      if (payload < size) break;  // a shorter one ends it, as with UDP_SEGMENT
    }
    if (m.packets == 1) return;
    std::copy_n(first.data, kHeaders, m.headers.begin());
    m.parts[1] = {m.headers.data(), kHeaders};
    Ipv4View ip(m.headers.data() + kEthHlen);
    ip.set_tot_len(static_cast<std::uint16_t>(total));
    ip.send_check();
    UdpHeader udp = *UdpHeader::parse({m.headers.data() + kEthHlen + kIpHlen, kUdpHlen});
    udp.len = static_cast<std::uint16_t>(total - kIpHlen);
    udp.check = static_cast<std::uint16_t>(
        ~csum_fold(csum_tcpudp_nofold(ip.saddr().host, ip.daddr().host, udp.len, kIpProtoUdp, 0)));
    udp.emit(m.headers.data() + kEthHlen + kIpHlen);
    m.vnet.gso_type = kGsoUdpL4;
    m.vnet.gso_size = static_cast<std::uint16_t>(size);
    m.vnet.hdr_len = kHeaders;
  }

  // Answers how many packets went.
  std::size_t transmit(BulkQueue& q) {
    std::uint32_t at = q.sent.load(std::memory_order_relaxed);
    const std::uint32_t end = q.tail.load(std::memory_order_acquire);
    if (at == end) return 0;
    std::array<mmsghdr, kMessages> calls{};
    std::size_t n = 0;
    for (std::uint32_t next = at; n < kMessages && next != end; ++n) {
      BulkMessage& m = q.messages[n];
      describe(q, next, end, m);
      next += static_cast<std::uint32_t>(m.packets);
      msghdr& h = calls[n].msg_hdr;
      h.msg_name = &address_;
      h.msg_namelen = sizeof address_;
      h.msg_iov = m.parts.data();
      h.msg_iovlen = m.part_count;
    }
    doorbells_.fetch_add(1, std::memory_order_relaxed);
    const int went = ::sendmmsg(q.fd, calls.data(), static_cast<unsigned>(n), MSG_DONTWAIT);
    if (went > 0) {
      q.refused_since = 0;
      return account(q, at, static_cast<std::size_t>(went), false);
    }
    if (errno == EINTR) return 0;
    const Nanos now = net_ != nullptr ? net_->clock.now() : 0;
    if (errno == EAGAIN || errno == ENOBUFS) {
      if (q.refused_since == 0) q.refused_since = now;
      if (now - q.refused_since < kRoom) {
        pollfd room{q.fd, POLLOUT, 0};
        (void)::poll(&room, 1, 1);
        return 0;
      }
    }
    if (errno == EINVAL && q.messages[0].packets > 1) {
      merge_ = false;  // a device or kernel that has no UDP segmentation
      return 0;
    }
    errors_.fetch_add(q.messages[0].packets, std::memory_order_relaxed);
    q.refused_since = 0;
    return account(q, at, 1, true);
  }

  std::size_t account(BulkQueue& q, std::uint32_t at, std::size_t messages, bool lost) {
    std::size_t packets = 0;
    for (std::size_t i = 0; i < messages; ++i) packets += q.messages[i].packets;
    const auto end = at + static_cast<std::uint32_t>(packets);
    const Nanos now = net_ != nullptr ? net_->clock.now() : 0;
    for (std::uint32_t i = (at + kSampleEvery - 1) / kSampleEvery * kSampleEvery;
         now != 0 && i < end; i += kSampleEvery) {
      const auto delay =
          static_cast<std::uint64_t>(now - q.queued_at[(i / kSampleEvery) % q.queued_at.size()]);
      samples_.fetch_add(1, std::memory_order_relaxed);
      delay_sum_.fetch_add(delay, std::memory_order_relaxed);
      if (delay > delay_max_.load(std::memory_order_relaxed))
        delay_max_.store(delay, std::memory_order_relaxed);
    }
    if (!lost) {
      packets_.fetch_add(packets, std::memory_order_relaxed);
      frames_.fetch_add(messages, std::memory_order_relaxed);
    }
    q.sent.store(end, std::memory_order_release);
    return packets;
  }

  Bell& bell_;
  bool merge_;
  std::vector<std::unique_ptr<BulkQueue>> queues_;
  sockaddr_ll address_{};
  Net* net_ = nullptr;  // of the last poll()
  std::atomic<std::uint64_t> packets_{0};
  std::atomic<std::uint64_t> frames_{0};
  std::atomic<std::uint64_t> doorbells_{0};
  std::atomic<std::uint64_t> busy_{0};
  std::atomic<std::uint64_t> errors_{0};
  std::atomic<std::uint64_t> samples_{0};
  std::atomic<std::uint64_t> delay_sum_{0};
  std::atomic<std::uint64_t> delay_max_{0};
};

}  // namespace

Result<std::unique_ptr<Driver>> make_af_packet_bulk(const NetDevice& dev, Bell& bell,
                                                    const AfPacketBulkOptions& options) {
  const std::string& name = dev.name();
  const auto give_up = [&](const char* call) {
    const int code = errno;
    std::string what = "af_packet on " + name + ": " + call + ": " + std::strerror(code);
    if (code == EPERM || code == EACCES) what += " (needs CAP_NET_RAW)";
    return fail(std::move(what));
  };
  const auto ifindex = static_cast<int>(::if_nametoindex(name.c_str()));
  if (ifindex == 0) return give_up("if_nametoindex()");
  std::vector<std::unique_ptr<BulkQueue>> queues;
  for (std::size_t i = 0; i < dev.tx.size(); ++i) {
    auto q = std::make_unique<BulkQueue>();
    q->fd = ::socket(AF_PACKET, SOCK_RAW | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    if (q->fd < 0) return give_up("socket()");
    const int one = 1;
    if (::setsockopt(q->fd, SOL_PACKET, PACKET_VNET_HDR, &one, sizeof one) != 0)
      return give_up("PACKET_VNET_HDR");
    const int room = 4 << 20;  // bytes; some 60 of the largest frames
    (void)::setsockopt(q->fd, SOL_SOCKET, SO_SNDBUFFORCE, &room, sizeof room);
    q->slots.resize(options.ring);
    q->queued_at.resize(options.ring / kSampleEvery + 2);
    queues.push_back(std::move(q));
  }
  return std::make_unique<AfPacketBulkDriver>(bell, options, ifindex, std::move(queues));
}

}  // namespace txp
