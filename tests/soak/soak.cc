// SPDX-License-Identifier: Apache-2.0
// A long run in a bad world: two threads send while routes, neighbours and MTUs change every
// millisecond and devices are busy, lose, double and reorder. It ends well when every datagram is
// accounted for and no memory was gained.
//
//     soak [DATAGRAMS [SEED]]     one million by default; 100000000 takes minutes
#include <fmt/format.h>
#include <malloc.h>
#include <netinet/in.h>
#include <netinet/udp.h>
#include <sys/socket.h>

#include <atomic>
#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <mutex>
#include <new>
#include <string>
#include <thread>
#include <vector>

#include "base/random.h"
#include "dev/netdevice.h"
#include "drivers/fault.h"
#include "drivers/null.h"
#include "neigh/neighbour.h"
#include "net.h"
#include "route/fib.h"
#include "route/fib_add_ifaddr.h"
#include "socket/sock.h"

namespace {

using namespace txp;
using Seconds = std::chrono::duration<double>;

constexpr int kEth0 = 2;  // pfifo_fast
constexpr int kEth1 = 3;  // no queue
constexpr unsigned kSenders = 2;
constexpr unsigned kCheckpoints = 8;

Ip4 ip(const char* text) { return *Ip4::parse(text); }

void add_device(Net& net, int ifindex, const char* name, const char* addr, const char* qdisc,
                const char* faults, std::uint64_t seed) {
  Link link;
  link.ifindex = ifindex;
  link.name = name;
  link.flags = kIffUp | kIffRunning | kIffLowerUp | kIffBroadcast | kIffMulticast;
  link.txqlen = 1000;
  link.qdisc = qdisc;
  link.address = *MacAddr::parse("02:00:00:00:00:01");
  NetDevice& dev = net.dev->set_link(link);
  auto driver = make_fault(net, make_null(), fmt::format("{},seed={}", faults, seed));
  if (!driver) std::abort();
  net.dev->attach(dev, std::move(*driver));
  InAddr a;
  a.ifindex = ifindex;
  a.local = a.peer = ip(addr);
  a.prefixlen = 24;
  a.broadcast = Ip4{a.local.host | 0xff};
  net.dev->set_addr(a);
  if (!fib_add_ifaddr(net, a, false)) std::abort();
}

void add_loopback(Net& net) {
  Link lo;
  lo.ifindex = 1;
  lo.name = "lo";
  lo.type = 772;
  lo.flags = kIffUp | kIffLoopback | kIffRunning | kIffLowerUp;
  lo.mtu = 65536;
  lo.qdisc = "noqueue";
  net.dev->set_link(lo);
  InAddr a;
  a.ifindex = 1;
  a.local = a.peer = ip("127.0.0.1");
  a.prefixlen = 8;
  a.scope = kScopeHost;
  net.dev->set_addr(a);
  if (!fib_add_ifaddr(net, a, true)) std::abort();
}

struct Soak {
  Net net{{.clock = Clock::monotonic(), .seed = 1}};
  std::uint64_t seed;
  std::atomic<std::int64_t> left;
  std::atomic<std::uint64_t> refused{0};
  std::atomic<std::uint64_t> changes{0};
  std::atomic<bool> over{false};
  // One for each thread: it holds its own while it works and lets go between two pieces of work.
  std::vector<std::mutex> turns{kSenders + 1};

  Soak(std::int64_t n, std::uint64_t s) : seed(s), left(n) {
    const std::lock_guard guard(net.rtnl);
    add_loopback(net);
    add_device(net, kEth0, "eth0", "10.0.0.1", "pfifo_fast",
               "busy=0.05,drop=0.01,dup=0.01,reorder=0.02", seed);
    add_device(net, kEth1, "eth1", "10.0.1.1", "noqueue", "busy=0.01,drop=0.01,corrupt=0.01",
               seed + 1);
    change_route(0);
  }

  // --- what sends

  void send_all(unsigned who) {
    Random random(seed * 1000 + who);
    std::vector<std::uint8_t> payload(20'000, 'x');
    std::vector<Sock*> socks;
    for (int i = 0; i < 4; ++i) {
      Sock* sk = inet_create(net, 0);
      sk->nonblocking = true;
      if (i % 2 == 0) (void)inet_dgram_connect(*sk, {ip("10.1.0.1"), 9, AF_INET});
      socks.push_back(sk);
    }
    Sock* receiver = inet_create(net, 0);
    receiver->nonblocking = true;
    (void)inet_bind(*receiver, {ip("127.0.0.1"), static_cast<std::uint16_t>(5000 + who), AF_INET});
    constexpr int kTurn = 64;
    while (left.fetch_sub(kTurn, std::memory_order_relaxed) > 0) {
      const std::lock_guard turn(turns[who]);
      for (int i = 0; i < kTurn; ++i) send_one(*socks[random.u32() % 4], who, random, payload);
      while (udp_recvmsg(*receiver)) {
      }
      net.poll();
    }
    for (Sock* sk : socks) inet_release(*sk);
    inet_release(*receiver);
  }

  void send_one(Sock& sk, unsigned who, Random& random, std::vector<std::uint8_t>& payload) {
    const std::uint32_t dice = random.u32();
    std::size_t len = dice % 1000;
    if (dice % 64 == 0) len = 1473 + dice % 9000;  // fragments
    const iovec part{payload.data(), len};
    MsgHdr m;
    m.iov = {&part, 1};
    alignas(cmsghdr) std::uint8_t control[CMSG_SPACE(sizeof(std::uint16_t))] = {};
    if (dice % 16 == 1) {  // segments
      auto* h = new (control) cmsghdr{};
      h->cmsg_level = SOL_UDP;
      h->cmsg_type = UDP_SEGMENT;
      h->cmsg_len = CMSG_LEN(sizeof(std::uint16_t));
      const std::uint16_t size = 300;
      std::memcpy(control + CMSG_LEN(0), &size, sizeof size);
      m.control = control;
    }
    if (!sk.connected || dice % 8 == 2) {
      static constexpr std::uint32_t kTo[] = {0x0a010001, 0x0a000002, 0x0a000103,
                                              0x0a010203, 0x0a0000ff, 0x7f000001};
      m.name = SockAddr4{Ip4{kTo[dice / 256 % 6]}, static_cast<std::uint16_t>(5000 + who), AF_INET};
    }
    if (dice % 32 == 3) m.flags |= MSG_MORE;
    if (!sock_sendmsg(net, sk, m)) refused.fetch_add(1, std::memory_order_relaxed);
  }

  // --- what changes

  void change_route(std::uint32_t dice) {
    Route r;
    r.dst = {ip("10.1.0.0"), 16};
    const bool first = dice % 2 == 0;
    r.nexthops = {
        NextHop{.oif = first ? kEth0 : kEth1, .gateway = ip(first ? "10.0.0.2" : "10.0.1.2")}};
    if (dice % 8 == 7) r.metrics.value[kRtaxMtu] = 600;
    if (!net.fib->replace(r) && !net.fib->add(r)) std::abort();
  }

  void change_neighbour(std::uint32_t dice) {
    NeighSpec n;
    n.ifindex = dice % 2 == 0 ? kEth0 : kEth1;
    n.dst = Ip4{(dice % 2 == 0 ? 0x0a000000U : 0x0a000100U) | (2 + dice / 2 % 3)};
    n.lladdr = *MacAddr::parse("02:00:00:00:00:02");
    n.has_lladdr = true;
    static constexpr Nud kStates[] = {Nud::permanent, Nud::reachable, Nud::stale, Nud::failed};
    n.state = kStates[dice / 16 % 4];
    n.has_lladdr = n.state != Nud::failed;
    if (dice / 64 % 4 == 0)
      net.neigh->remove(n.ifindex, n.dst);
    else
      net.neigh->set(n);
  }

  void change_mtu(std::uint32_t dice) {
    Link link = net.dev->by_index(kEth0)->link();
    link.mtu = dice % 2 == 0 ? 1500 : 1000;
    net.dev->set_link(link);
  }

  void change_all() {
    Random random(seed + 99);
    while (!over.load(std::memory_order_relaxed)) {
      {
        const std::lock_guard turn(turns[kSenders]);
        const std::lock_guard guard(net.rtnl);
        const std::uint32_t dice = random.u32();
        if (dice % 3 == 0) change_route(dice / 3);
        if (dice % 3 == 1) change_neighbour(dice / 3);
        if (dice % 3 == 2 && dice % 30 == 2) change_mtu(dice / 30);
        net.retired.flush();
        changes.fetch_add(1, std::memory_order_relaxed);
      }
      std::this_thread::sleep_for(std::chrono::milliseconds(1));
    }
  }

  // --- what is looked at

  // Everybody stands still, and nothing is under way. Answers the bytes in use.
  std::size_t settle(bool& conserved) {
    std::vector<std::unique_lock<std::mutex>> all;
    for (std::mutex& m : turns) all.emplace_back(m);
    {
      const std::lock_guard guard(net.rtnl);
      net.neigh->flush_waiting();
      net.retired.flush();
    }
    const bool drained = net.drain(5 * kSecond);
    const CounterTotals t = net.totals();
    conserved = drained && t.conserved() && t.queued == 0;
    if (!conserved)
      fmt::print("not conserved: sent {} delivered {} dropped {} queued {}\n", t.sent, t.delivered,
                 t.dropped, t.queued);
    return mallinfo2().uordblks;
  }
};

int run(std::int64_t datagrams, std::uint64_t seed) {
  Soak soak(datagrams, seed);
  const auto begin = std::chrono::steady_clock::now();
  std::vector<std::thread> threads;
  threads.emplace_back([&] { soak.change_all(); });
  for (unsigned w = 0; w < kSenders; ++w) threads.emplace_back([&, w] { soak.send_all(w); });

  bool good = true;
  std::size_t first = 0;
  std::size_t last = 0;
  for (unsigned c = 1; c <= kCheckpoints; ++c) {
    const std::int64_t until = datagrams - datagrams * c / kCheckpoints;
    while (soak.left.load() > until) std::this_thread::sleep_for(std::chrono::milliseconds(2));
    bool conserved = false;
    last = soak.settle(conserved);
    good &= conserved;
    if (c == 2) first = last;  // pools are warm
    const CounterTotals t = soak.net.totals();
    fmt::print("{:3.0f} s  sent {}  delivered {}  dropped {}  {} KiB in use\n",
               Seconds(std::chrono::steady_clock::now() - begin).count(), t.sent, t.delivered,
               t.dropped, last / 1024);
    std::fflush(stdout);
  }
  soak.over = true;
  for (std::thread& t : threads) t.join();
  bool conserved = false;
  (void)soak.settle(conserved);
  good &= conserved;

  // Pools still find their high-water mark; what leaks is more with every datagram.
  constexpr std::size_t kSlack = 8 << 20;
  const bool flat = last <= first + kSlack;
  fmt::print("{} calls, {} refused, {} changes; conservation {}; memory {} ({} to {} KiB)\n",
             datagrams, soak.refused.load(), soak.changes.load(), good ? "exact" : "BROKEN",
             flat ? "flat" : "GREW", first / 1024, last / 1024);
  return good && flat ? 0 : 1;
}

}  // namespace

int main(int argc, char** argv) {
  const std::int64_t datagrams = argc > 1 ? std::atoll(argv[1]) : 1'000'000;
  const std::uint64_t seed = argc > 2 ? std::strtoull(argv[2], nullptr, 10) : 1;
  if (datagrams < 1000) {
    fmt::print(stderr, "soak: at least 1000 datagrams\n");
    return 2;
  }
  return run(datagrams, seed);
}
