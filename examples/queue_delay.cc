// SPDX-License-Identifier: Apache-2.0
// A simulated link of 10 Mbit under load: how long does a small packet wait behind a bulk transfer,
// with a pfifo and with fq_codel? Ten virtual seconds, by a manual clock, in a fraction of one.
//
//   queue_delay [SEED] [KIND...]
//
// From second 2 to second 8 two bulk senders together offer 1.2 times what the link carries, in
// random gaps; all the time a third socket sends a small packet every 20 ms, whose wait is drawn.
#include <fmt/format.h>

#include <algorithm>
#include <charconv>
#include <cstring>
#include <mutex>
#include <string>
#include <vector>

#include "base/rcu.h"
#include "dev/netdevice.h"
#include "drivers/link_rate.h"
#include "drivers/null.h"
#include "neigh/neighbour.h"
#include "net.h"
#include "route/fib_add_ifaddr.h"
#include "sched/qdisc.h"
#include "socket/sock.h"
#include "tap/taps.h"
#include "wire/ethernet.h"
#include "wire/ipv4.h"
#include "wire/udp.h"

namespace {

using namespace txp;

constexpr int kDev = 2;
constexpr double kLinkMbit = 10;
constexpr Nanos kEnd = 10 * kSecond;
constexpr std::uint16_t kProbePort = 7;
constexpr std::size_t kBulk = 1400;  // payload bytes

// A host with one interface, 10.9.0.1/24, and a neighbour 10.9.0.2 behind the link.
struct Host {
  Host(std::uint64_t seed, const std::string& kind)
      : net({.clock = Clock::manual(), .seed = seed}) {
    const std::lock_guard guard(net.rtnl);
    Link link;
    link.ifindex = kDev;
    link.name = "wire";
    link.flags = kIffUp | kIffRunning | kIffLowerUp | kIffBroadcast;
    link.address = {{2, 0, 0, 0, 0, 1}};
    NetDevice& dev = net.dev->set_link(link);
    net.dev->attach(dev, make_link_rate(make_null(), {kLinkMbit, 256}));
    QdiscSpec root;
    root.ifindex = kDev;
    root.kind = kind;
    root.handle = 0x10000;
    root.parent = 0xffffffff;
    root.text = "qdisc " + kind + " 1: dev wire root";
    net.dev->set_qdiscs(kDev, {root});
    InAddr addr;
    addr.ifindex = kDev;
    addr.local = addr.peer = Ip4{0x0a090001};
    addr.prefixlen = 24;
    net.dev->set_addr(addr);
    (void)fib_add_ifaddr(net, addr, false);
    NeighSpec neigh;
    neigh.ifindex = kDev;
    neigh.dst = Ip4{0x0a090002};
    neigh.lladdr = {{2, 0, 0, 0, 0, 2}};
    neigh.has_lladdr = true;
    neigh.state = Nud::permanent;
    net.neigh->set(neigh);
  }
  Sock* socket(std::uint16_t port) {
    Sock* sk = inet_create(net, 0);
    sk->sndbuf = 1 << 30;
    (void)inet_dgram_connect(*sk, SockAddr4{Ip4{0x0a090002}, port});
    return sk;
  }
  void send(Sock& sk, std::size_t len) {
    std::vector<std::uint8_t> payload(len);
    const Nanos now = net.clock.now();
    std::memcpy(payload.data(), &now, sizeof now);
    const iovec iov{payload.data(), payload.size()};
    MsgHdr msg;
    msg.iov = {&iov, 1};
    msg.flags = MSG_DONTWAIT;
    (void)sock_sendmsg(net, sk, msg);
  }
  void run_until(Nanos until) {
    while (net.clock.now() < until) {
      const Nanos next = net.timers.next();
      const Nanos to = next < 0 ? until : std::clamp(next, net.clock.now(), until);
      net.clock.advance(to - net.clock.now());
      net.poll();
    }
  }
  Net net;
};

// The wait of each probe, by when it was sent.
struct Probe {
  Nanos sent;
  Nanos wait;
};

std::vector<Probe> run(std::uint64_t seed, const std::string& kind, std::uint64_t& lost) {
  std::vector<Probe> probes;
  // A tap sees a frame when its discipline lets it go.
  CallbackTap tap([&probes](const TapFrame& f) {
    constexpr std::size_t kPayload = kEthHlen + kIpHlen + kUdpHlen;
    if (f.bytes.size() < kPayload + sizeof(Nanos) || f.bytes[37] != kProbePort) return;
    Nanos sent = 0;
    std::memcpy(&sent, &f.bytes[kPayload], sizeof sent);
    probes.push_back({sent, f.wall - sent});
  });
  Host host(seed, kind);
  {
    const std::lock_guard guard(host.net.rtnl);
    host.net.dev->add_tap(nullptr, &tap);
  }
  Sock* bulk[] = {host.socket(9), host.socket(10)};
  Sock* probe = host.socket(kProbePort);
  const double gap = kBulk * 8e9 / (1.2 * kLinkMbit * 1e6);  // ns between two bulk packets
  Nanos next_bulk = 2 * kSecond;
  Nanos next_probe = 0;
  while (host.net.clock.now() < kEnd) {
    const Nanos next = std::min(next_bulk, next_probe);
    host.run_until(std::min(next, kEnd));
    if (next >= kEnd) break;
    if (next == next_probe) {
      host.send(*probe, 16);
      next_probe += 20 * kMillisecond;
    } else {
      host.send(*bulk[host.net.random.below(2)], kBulk);
      next_bulk += static_cast<Nanos>(gap * (0.5 + host.net.random.below(1000) / 1000.0));
      if (next_bulk > 8 * kSecond) next_bulk = kEnd;
    }
  }
  host.run_until(kEnd + 5 * kSecond);
  for (Sock* sk : {bulk[0], bulk[1], probe}) inet_release(*sk);
  {
    const std::lock_guard guard(host.net.rtnl);
    host.net.dev->remove_tap(&tap);
  }
  lost = host.net.totals().dropped;
  return probes;
}

// A column every 200 ms, as high as the longest wait in it.
void draw(const std::string& kind, const std::vector<Probe>& probes, std::uint64_t lost) {
  constexpr int kColumns = 50;
  constexpr double kRowMs[] = {1000, 500, 200, 100, 50, 20, 10, 5, 2, 1};
  std::vector<double> worst(kColumns);
  std::vector<double> all;
  for (const Probe& p : probes) {
    const double ms = static_cast<double>(p.wait) / 1e6;
    double& w = worst[static_cast<std::size_t>(std::min<Nanos>(p.sent * kColumns / kEnd, 49))];
    w = std::max(w, ms);
    all.push_back(ms);
  }
  std::ranges::sort(all);
  const double median = all.empty() ? 0 : all[all.size() / 2];
  fmt::print("{}: median {:.1f} ms, worst {:.1f} ms; {} packets lost\n", kind, median,
             all.empty() ? 0.0 : all.back(), lost);
  for (const double row : kRowMs) {
    fmt::print("{:>6} ms |", row);
    for (const double w : worst) fmt::print("{}", w >= row ? '#' : ' ');
    fmt::print("\n");
  }
  fmt::print("          +{:-<50}\n           0 s{:>22}{:>24}\n\n", "", "5 s", "10 s");
}

}  // namespace

int main(int argc, char** argv) {
  std::uint64_t seed = 1;
  std::vector<std::string> kinds{"pfifo", "fq_codel"};
  if (argc > 1) {
    const std::string text = argv[1];
    const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), seed);
    if (error != std::errc() || end != text.data() + text.size()) {
      fmt::print(stderr, "usage: queue_delay [SEED] [KIND...]\n");
      return 2;
    }
  }
  if (argc > 2) kinds.assign(argv + 2, argv + argc);
  for (const std::string& kind : kinds) {
    std::uint64_t lost = 0;
    const std::vector<Probe> probes = run(seed, kind, lost);
    draw(kind, probes, lost);
  }
  return 0;
}
