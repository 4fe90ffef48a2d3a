// SPDX-License-Identifier: Apache-2.0
#include "run/engine.h"

#include <fcntl.h>
#include <linux/close_range.h>
#include <netinet/in.h>
#include <poll.h>
#include <sched.h>
#include <signal.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#include <linux/netfilter.h>  // after netinet/in.h

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <iterator>

#include "dev/netdevice.h"
#include "mirror/live.h"
#include "neigh/neighbour.h"
#include "netfilter/nf_hook.h"
#include "netfilter/nft_program.h"
#include "socket/sock.h"
#include "wire/ipv4.h"

#ifndef SO_NETNS_COOKIE
#define SO_NETNS_COOKIE 71
#endif

namespace txp {
namespace {

constinit thread_local Fallback refusal = Fallback::none;

std::uint64_t own_netns() {
  const int fd = ::socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
  if (fd < 0) return 0;
  std::uint64_t cookie = 0;
  socklen_t len = sizeof cookie;
  if (::getsockopt(fd, SOL_SOCKET, SO_NETNS_COOKIE, &cookie, &len) != 0) cookie = 0;
  ::close(fd);
  return cookie;
}

// Whether a chain stands where this host's datagrams go out.
bool has_chains_out(const std::shared_ptr<const NftProgram>& program) {
  if (!program) return false;
  return std::ranges::any_of(program->base_chains, [](const auto& base) {
    const NftChain& c = base->spec;
    return c.family == NFPROTO_NETDEV || c.hooknum == NF_INET_LOCAL_OUT ||
           c.hooknum == NF_INET_POST_ROUTING;
  });
}

// From here on the calling thread's descriptor table is its own, and empty but for three that
// nobody mistakes for a terminal.
bool own_descriptor_table() {
  if (::syscall(SYS_close_range, 0U, ~0U, CLOSE_RANGE_UNSHARE) != 0) return false;
  for (int i = 0; i < 3; ++i) (void)::open("/dev/null", O_RDWR | O_CLOEXEC);
  return true;
}

}  // namespace

Nanos RunEngine::coarse_now() {
  timespec t;
  ::clock_gettime(CLOCK_MONOTONIC_COARSE, &t);
  return Nanos{t.tv_sec} * kSecond + t.tv_nsec;
}

Fallback RunEngine::last_refusal() { return std::exchange(refusal, Fallback::none); }

RunEngine::RunEngine(const RunOptions& options, Descriptors& descriptors,
                     std::function<void()> report)
    : net({.clock = Clock::monotonic(),
           .seed = static_cast<std::uint64_t>(Clock::monotonic().now()) ^
                   (static_cast<std::uint64_t>(::getpid()) << 40)}),
      devices(net, options, descriptors, bell),
      options_(options),
      report_(std::move(report)) {}

RunEngine::~RunEngine() = default;

Result<std::unique_ptr<RunEngine>> RunEngine::start(const RunOptions& options,
                                                    Descriptors& descriptors,
                                                    std::function<void()> report) {
  std::unique_ptr<RunEngine> e(new RunEngine(options, descriptors, std::move(report)));
  e->netns_ = own_netns();
  e->net.egress_gate = [raw = e.get()](Net& net, const Skb& skb) { return raw->gate(net, skb); };
  sigset_t all;
  sigset_t before;
  ::sigfillset(&all);
  ::pthread_sigmask(SIG_SETMASK, &all, &before);
  const int failed = ::pthread_create(&e->thread_, nullptr, thread_main, e.get());
  ::pthread_sigmask(SIG_SETMASK, &before, nullptr);
  if (failed != 0) return fail(std::string("no thread: ") + std::strerror(failed));
  {
    std::unique_lock lock(e->start_mutex_);
    e->started_.wait(lock, [&] { return e->done_; });
  }
  if (!e->failure_.empty()) {
    ::pthread_join(e->thread_, nullptr);
    return fail(e->failure_);
  }
  ::pthread_detach(e->thread_);
  e->attach_wanted();
  return e;
}

void* RunEngine::thread_main(void* self) {
  set_in_engine_thread();
  ::prctl(PR_SET_NAME, "txpath");
  auto& e = *static_cast<RunEngine*>(self);
  e.open();
  if (!e.failure_.empty()) return nullptr;
  e.follow();
  return nullptr;
}

void RunEngine::open() {
  std::string failure;
  try {
    if (!own_descriptor_table()) {
      failure = std::string("close_range: ") + std::strerror(errno);
    } else if (auto live = Live::open(net, {}); !live) {
      failure = live.error().what;
    } else {
      live_ = std::move(*live);
      warnings_ = live_->report().warnings;
      // Live's own asks through a descriptor that only this thread has.
      ask_ = std::move(net.neigh->ask_kernel);
      net.neigh->ask_kernel = [this](int ifindex, Ip4 hop) { ask_kernel_soon(ifindex, hop); };
      net.neigh->confirm_kernel = nullptr;  // the same
      review_policy(true);
      icmp_ = std::make_unique<IcmpWatch>();
      if (!options_.pcap.empty()) {
        auto opened = RunCapture::open(net, options_.pcap + "." + std::to_string(::getpid()));
        if (opened)
          capture_ = std::move(*opened);
        else
          warnings_.push_back("--pcap " + opened.error().what);
      }
    }
  } catch (const std::exception& e) {
    failure = e.what();
  }
  alive_.store(coarse_now());
  if (failure.empty() && options_.doorbell == Doorbell::async) {
    // In this thread's descriptor table, and with its blocked signals.
    devices.attach();
    pthread_t transmitter{};
    if (const int code = ::pthread_create(&transmitter, nullptr, transmit_main, this); code != 0)
      failure = std::string("no thread: ") + std::strerror(code);
    else
      ::pthread_detach(transmitter);
  }
  const std::lock_guard lock(start_mutex_);
  failure_ = std::move(failure);
  done_ = true;
  started_.notify_all();
}

void RunEngine::review_policy(bool changed) {
  devices.review();
  const bool conntrack = conntrack_watch_.is_on(changed);
  const std::lock_guard rtnl(net.rtnl);
  const bool rule_state = conntrack_watch_.keeps_accounts() && has_chains_out(net.nf->program());
  const bool moved = conntrack_.exchange(conntrack) != conntrack;
  if (rule_state_.exchange(rule_state) != rule_state || moved || changed)
    net.generations.changed(Basis::netfilter);  // flow plans remember what the gate said
}

void RunEngine::follow() {
  constexpr int kBeat = 50;  // ms between two looks when nothing comes
  constexpr Nanos kReview = kSecond;
  constexpr Nanos kReport = kSecond / 4;
  const bool saw_policy = may_see_policy();
  Nanos reviewed = net.clock.now();
  Nanos reported = 0;
  for (;;) {
    pollfd wait[] = {{live_->fd(), POLLIN, 0}, {icmp_->fd(), POLLIN, 0}};
    (void)::poll(wait, std::size(wait), kBeat);
    if (icmp_->heard()) live_->doubt_exceptions();
    const bool sees = may_see_policy();
    const auto applied = sees == saw_policy ? live_->pump() : Result<std::size_t>(fail(""));
    if (!applied) {
      // From here on the kernel sends everything: the mirror grows old.
      privileges_gone_ = sees != saw_policy;
      alive_.store(0);
      return;
    }
    const Nanos now = net.clock.now();
    if (*applied > 0 || now - reviewed > kReview) {
      reviewed = now;
      review_policy(*applied > 0);
    }
    alive_.store(coarse_now(), std::memory_order_relaxed);
    if (capture_) capture_->write();
    ask_kernel_now();
    (void)net.poll();
    {
      const std::lock_guard rtnl(net.rtnl);
      take_retired();
      net.retired.flush();
    }
    if (now - reported >= kReport) {
      reported = now;
      report_();
    }
    if (options_.doorbell == Doorbell::async && devices.wanted()) devices.attach();
  }
}

void* RunEngine::transmit_main(void* self) {
  set_in_engine_thread();
  ::prctl(PR_SET_NAME, "txpath-tx");
  static_cast<RunEngine*>(self)->transmit();
  return nullptr;
}

// Rings the devices' doorbells. After kIdle without work it sleeps; the next sender wakes it.
void RunEngine::transmit() {
  constexpr Nanos kIdle = 20'000;
  constexpr Nanos kNap = kSecond / 20;
  Nanos idle_since = 0;
  for (;;) {
    const std::size_t done = devices.transmit();
    rounds_.fetch_add(1, std::memory_order_release);
    if (done > 0) {
      idle_since = 0;
      continue;
    }
    const Nanos now = net.clock.now();
    if (idle_since == 0) idle_since = now;
    if (now - idle_since < kIdle) {
      ::sched_yield();
      continue;
    }
    bell.announce_sleep();
    if (devices.transmit() == 0)
      bell.wait(kNap);
    else
      bell.cancel_sleep();
    idle_since = 0;
  }
}

void RunEngine::attach_wanted() {
  if (!devices.wanted() || options_.doorbell == Doorbell::async) return;
  // A thread that has moved elsewhere would open another namespace's devices.
  if (own_netns() != netns_) return;
  devices.attach();
}

// Where the engine may send, it must be for good: the packet goes to a driver that takes it now, or
// into a queue of ours in front of one. Anything that would have to wait outside (for an address),
// or that this host's own sockets should hear, is the kernel's.
std::optional<NamedObject> RunEngine::gate(Net& n, const Skb& skb) const {
  const auto refuse = [](Fallback why, NamedObject object) {
    refusal = why;
    return std::optional(std::move(object));
  };
  const Rtable& rt = skb.rt;
  if (rt.is_multicast) return refuse(Fallback::MULTICAST, {"address", skb.fl4.daddr.str()});
  if (rt.is_broadcast) return refuse(Fallback::BROADCAST, {"address", skb.fl4.daddr.str()});
  const bool loopback = (rt.dev->flags() & kIffLoopback) != 0;
  if ((rt.is_local || loopback) && devices.refuse(*rt.dev))
    return refuse(Fallback::LOCAL, {"address", skb.fl4.daddr.str()});
  if (auto no = devices.refuse(*rt.dev)) return refuse(no->reason, std::move(no->object));
  if (conntrack_.load(std::memory_order_relaxed))
    return refuse(Fallback::CONNTRACK, {"conntrack", "its hooks are registered"});
  if (rule_state_.load(std::memory_order_relaxed))
    return refuse(Fallback::RULE_STATE, {"nft", "the ruleset"});
  if (rt.hoplimit != 0 && skb.sk != nullptr && skb.sk->uc_ttl == -1)
    return refuse(Fallback::ROUTE_TTL, {"route", "hoplimit " + std::to_string(rt.hoplimit)});
  if (rt.gateway_is_v6) return std::nullopt;  // the walk says unknown
  if ((rt.dev->flags() & (kIffLoopback | kIffNoarp)) != 0) return std::nullopt;  // nobody to ask
  const Ip4 next_hop =
      rt.gateway.is_zero() ? Ipv4View(skb.head + skb.network_header).daddr() : rt.gateway;
  const Neighbour* neigh = n.neigh->lookup(*rt.dev, next_hop);
  if (neigh == nullptr || !nud_valid(neigh->nud_state.load(std::memory_order_relaxed)))
    return refuse(Fallback::NEIGHBOUR, {"neigh", next_hop.str() + " dev " + rt.dev->name()});
  return std::nullopt;
}

void RunEngine::ask_kernel_soon(int ifindex, Ip4 next_hop) {
  const std::lock_guard guard(ask_mutex_);
  to_ask_.emplace_back(ifindex, next_hop);
}

void RunEngine::ask_kernel_now() {
  std::vector<std::pair<int, Ip4>> all;
  {
    const std::lock_guard guard(ask_mutex_);
    all.swap(to_ask_);
  }
  for (const auto& [ifindex, hop] : all) ask_(ifindex, hop);
}

bool RunEngine::settle(Nanos nanos) {
  if (options_.doorbell == Doorbell::sync) return devices.settle(nanos);
  // The round that is under way may have passed our device already.
  const std::uint64_t wanted = rounds_.load(std::memory_order_acquire) + 2;
  const Nanos until = net.clock.now() + nanos;
  while (rounds_.load(std::memory_order_acquire) < wanted) {
    bell.ring();
    if (net.clock.now() >= until) return false;
    ::sched_yield();
  }
  return devices.settle(until - net.clock.now());
}

void RunEngine::retire(Retirable* p) {
  p->next_retired = retired_.load(std::memory_order_relaxed);
  while (!retired_.compare_exchange_weak(p->next_retired, p, std::memory_order_release)) continue;
}

// net.rtnl held.
void RunEngine::take_retired() {
  Retirable* p = retired_.exchange(nullptr, std::memory_order_acquire);
  while (p != nullptr) net.retired.retire(std::exchange(p, p->next_retired));
}

}  // namespace txp
