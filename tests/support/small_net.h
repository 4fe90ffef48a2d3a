// SPDX-License-Identifier: Apache-2.0
// For unit tests: a Net on a manual clock with lo and one device "va" (ifindex 2, 10.77.0.1/24), a
// permanent neighbour 10.77.0.2, and a driver that keeps the frames it takes.
#pragma once

#include <cstdint>
#include <cstdlib>
#include <cstring>
#include <deque>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "dev/netdevice.h"
#include "neigh/neighbour.h"
#include "net.h"
#include "route/fib.h"
#include "route/fib_add_ifaddr.h"
#include "socket/sock.h"

namespace txp::test {

// Keeps whole frames; answers busy as often as `busy` says.
class RecordingDriver : public Driver {
 public:
  struct Seen {
    std::vector<std::vector<std::uint8_t>> frames;
    std::size_t busy = 0;
    std::optional<std::size_t> busy_from;  // takes so many frames, then is busy
    DriverFeatures features;
  };
  explicit RecordingDriver(Seen& seen) : seen_(seen) {}
  DriverFeatures features() const override { return seen_.features; }
  NetdevTx ndo_start_xmit(Net&, NetDevice&, unsigned, SkbPtr& skb, bool) override {
    if (seen_.busy > 0) {
      --seen_.busy;
      return NetdevTx::busy;
    }
    if (seen_.busy_from && (*seen_.busy_from)-- == 0) {
      *seen_.busy_from = 0;
      return NetdevTx::busy;
    }
    std::vector<std::uint8_t> frame(skb->data, skb->tail);
    for (const Skb* f = skb->frag_list; f != nullptr; f = f->next)
      frame.insert(frame.end(), f->data, f->tail);
    seen_.frames.push_back(std::move(frame));
    consume(std::move(skb));
    return NetdevTx::ok;
  }

 private:
  Seen& seen_;
};

struct SmallNet {
  Net net{{.clock = Clock::manual(), .seed = 7}};
  RecordingDriver::Seen va;

  SmallNet() {
    const std::lock_guard guard(net.rtnl);
    Link lo;
    lo.ifindex = 1;
    lo.name = "lo";
    lo.type = 772;
    lo.flags = kIffUp | kIffLoopback | kIffRunning | kIffLowerUp;
    lo.mtu = 65536;
    lo.qdisc = "noqueue";
    lo.broadcast = {};
    net.dev->set_link(lo);
    add_addr(1, "127.0.0.1", 8);
    Link link;
    link.ifindex = 2;
    link.name = "va";
    link.kind = "veth";
    link.flags = kIffUp | kIffBroadcast | kIffRunning | kIffMulticast | kIffLowerUp;
    link.qdisc = "noqueue";
    link.address = *MacAddr::parse("02:00:00:00:00:01");
    NetDevice& dev = net.dev->set_link(link);
    net.dev->attach(dev, std::make_unique<RecordingDriver>(va));
    add_addr(2, "10.77.0.1", 24);
    add_neigh(2, "10.77.0.2", "02:00:00:00:00:02");
  }

  // The callers hold nothing; rtnl is taken here, except in the constructor, which has it.
  void add_addr(int ifindex, std::string_view ip, std::uint8_t len) {
    InAddr addr;
    addr.ifindex = ifindex;
    addr.local = addr.peer = *Ip4::parse(ip);
    addr.prefixlen = len;
    if (addr.local.is_loopback())
      addr.scope = kScopeHost;
    else
      addr.broadcast = {addr.local.host | ~inet_make_mask(len)};
    net.dev->set_addr(addr);
    if (!fib_add_ifaddr(net, addr, ifindex == 1)) std::abort();
  }
  void add_neigh(int ifindex, std::string_view ip, std::string_view mac) {
    NeighSpec spec;
    spec.ifindex = ifindex;
    spec.dst = *Ip4::parse(ip);
    spec.lladdr = *MacAddr::parse(mac);
    spec.has_lladdr = true;
    spec.state = Nud::permanent;
    net.neigh->set(spec);
  }
  // With net.rtnl held by the caller.
  void add_route(Route route) {
    if (!net.fib->add(route)) std::abort();
  }
  void set_mtu(std::uint32_t mtu) {
    const std::lock_guard guard(net.rtnl);
    Link link = net.dev->by_index(2)->link();
    link.mtu = mtu;
    net.dev->set_link(link);
  }
};

// A socket that closes itself, and one-line calls.
class TestSocket {
 public:
  explicit TestSocket(Net& net) : sk_(inet_create(net, 0)) {}
  ~TestSocket() { inet_release(*sk_); }
  TestSocket(const TestSocket&) = delete;
  TestSocket& operator=(const TestSocket&) = delete;
  Sock& operator*() const { return *sk_; }
  Sock* operator->() const { return sk_; }

  SockResult<void> bind(std::string_view ip, std::uint16_t port) {
    return inet_bind(*sk_, {*Ip4::parse(ip), port, AF_INET});
  }
  SockResult<void> connect(std::string_view ip, std::uint16_t port) {
    return inet_dgram_connect(*sk_, {*Ip4::parse(ip), port, AF_INET});
  }
  SockResult<void> set(int level, int name, int value) {
    std::uint8_t bytes[sizeof value];
    std::memcpy(bytes, &value, sizeof value);
    return sock_setsockopt(*sk_, level, name, bytes);
  }
  SockResult<std::size_t> send_to(std::string_view ip, std::uint16_t port,
                                  std::span<const std::uint8_t> payload, int flags = 0,
                                  Trace* trace = nullptr) {
    return message(SockAddr4{*Ip4::parse(ip), port, AF_INET}, payload, flags, trace);
  }
  SockResult<std::size_t> send(std::span<const std::uint8_t> payload, int flags = 0,
                               Trace* trace = nullptr) {
    return message(std::nullopt, payload, flags, trace);
  }

 private:
  SockResult<std::size_t> message(std::optional<SockAddr4> to,
                                  std::span<const std::uint8_t> payload, int flags, Trace* trace) {
    const iovec v{const_cast<std::uint8_t*>(payload.data()), payload.size()};
    MsgHdr msg;
    msg.name = to;
    msg.iov = {&v, 1};
    msg.flags = flags;
    msg.trace = trace;
    return sock_sendmsg(sk_->net, *sk_, msg);
  }
  Sock* sk_;
};

// 0, 1, 2, ... 255, 0, ...
inline std::vector<std::uint8_t> pattern(std::size_t n) {
  std::vector<std::uint8_t> bytes(n);
  for (std::size_t i = 0; i < n; ++i) bytes[i] = static_cast<std::uint8_t>(i);
  return bytes;
}

}  // namespace txp::test
