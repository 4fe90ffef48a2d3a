// SPDX-License-Identifier: Apache-2.0
// The engine's world: a Net that mirrors the sending namespace, AF_PACKET drivers behind its
// devices, and the engine's own sockets.
#include <arpa/inet.h>
#include <fmt/format.h>
#include <poll.h>
#include <time.h>

#include <algorithm>
#include <fstream>
#include <map>
#include <mutex>
#include <nlohmann/json.hpp>
#include <set>
#include <sstream>

#include "base/rcu.h"
#include "dev/netdevice.h"
#include "drivers/registry.h"
#include "kernel_diff/world.h"
#include "mirror/live.h"
#include "net.h"
#include "netfilter/nf_hook.h"
#include "netfilter/nft_counter.h"
#include "netfilter/nft_program.h"
#include "netfilter/nft_set.h"
#include "observe/counters.h"
#include "observe/stat.h"
#include "sched/registry.h"
#include "socket/inet6_sock.h"
#include "socket/sock.h"
#include "udp/udp_table.h"

namespace txp::kdiff {
namespace {

// The family that the caller wrote, also when it is not the address's.
sa_family_t said_family(const Addr& a) { return a.is6() ? a.six.sin6_family : a.four.sin_family; }

SockAddr4 from_sockaddr(const Addr& a) {
  return {Ip4{ntohl(a.four.sin_addr.s_addr)}, ntohs(a.four.sin_port), said_family(a)};
}
SockAddr6 from_sockaddr6(const Addr& a) {
  return {Ip6::load(a.six.sin6_addr.s6_addr), ntohs(a.six.sin6_port), ntohl(a.six.sin6_flowinfo),
          a.six.sin6_scope_id};
}
Addr to_sockaddr(Ip4 addr, std::uint16_t port) {
  Addr a;
  a.family = a.four.sin_family = AF_INET;
  a.four.sin_port = htons(port);
  a.four.sin_addr.s_addr = htonl(addr.host);
  return a;
}
Addr to_sockaddr(const Ip6& addr, std::uint16_t port, int scope) {
  Addr a;
  a.family = a.six.sin6_family = AF_INET6;
  a.six.sin6_port = htons(port);
  addr.store(a.six.sin6_addr.s6_addr);
  a.six.sin6_scope_id = addr.type().needs_scope_id() ? static_cast<std::uint32_t>(scope) : 0;
  return a;
}
// A name as an AF_INET6 socket tells one of IPv4.
Addr name_for(const Sock& sk, Ip4 addr, std::uint16_t port) {
  return sk.inet6 ? to_sockaddr(Ip6::mapped(addr), port, 0) : to_sockaddr(addr, port);
}

template <typename T>
Answer answer(const SockResult<T>& r) {
  if (!r) return -r.error().code;
  if constexpr (std::is_void_v<T>)
    return 0;
  else
    return static_cast<Answer>(*r);
}

// What the engine's loopback carries: the kernel's capture of `lo` sees the same moment.
class LoopbackTap final : public Tap {
 public:
  void packet(const Net&, const NetDevice& dev, const Skb& skb, bool outgoing) override {
    if (!outgoing || (dev.flags() & kIffLoopback) == 0) return;
    Bytes frame(skb.bytes().begin(), skb.bytes().end());
    for (const Skb* part = skb.frag_list; part != nullptr; part = part->next)
      frame.insert(frame.end(), part->bytes().begin(), part->bytes().end());
    test::Offloads o;
    o.needs_csum = skb.ip_summed == IpSummed::partial;
    o.csum_start = static_cast<std::uint16_t>(skb.head + skb.csum_start - skb.data);
    o.csum_offset = skb.csum_offset;
    o.gso_size = skb.gso_size;
    const std::size_t len = frame.size();
    const std::lock_guard guard(mutex_);
    bool first = true;
    for (Bytes& f : test::complete(std::move(frame), o)) {
      frames_.push_back({dev.name(), std::move(f), o.gso_size != 0 ? len : 0, first});
      first = false;
    }
  }
  std::vector<test::WireFrame> take() {
    const std::lock_guard guard(mutex_);
    return std::exchange(frames_, {});
  }

 private:
  std::mutex mutex_;
  std::vector<test::WireFrame> frames_;
};

// The names that the running kernel has; ours beyond them cannot be compared.
std::set<std::string> kernel_counter_names() {
  std::set<std::string> all;
  std::ifstream six("/proc/net/snmp6");
  std::string counter;
  std::string count;
  while (six >> counter >> count)
    for (const std::string_view group : {"Ip6", "Icmp6", "Udp6"})
      if (counter.starts_with(group) &&
          (group == "Udp6" || !counter.substr(group.size()).starts_with("In")))
        all.insert(std::string(group) + "." + counter.substr(group.size()));
  for (const char* path : {"/proc/net/snmp", "/proc/net/netstat"}) {
    std::ifstream file(path);
    std::string names;
    std::string values;
    while (std::getline(file, names) && std::getline(file, values)) {
      std::istringstream words(names);
      std::string group;
      std::string name;
      words >> group;
      group.pop_back();  // the colon
      while (words >> name) all.insert(group + "." + name);
    }
  }
  return all;
}

class EngineWorld final : public World {
 public:
  EngineWorld(test::Lab& lab, int patience_ms, const char* driver)
      : lab_(lab),
        driver_(driver),
        patience_(patience_ms * kMillisecond),
        net_(std::make_unique<Net>(Net::Options{})) {}
  ~EngineWorld() override {
    for (const auto& [handle, sk] : socks_) inet_release(*sk);
    (void)net_->drain(patience_);
    {
      const std::lock_guard guard(net_->rtnl);
      net_->dev->remove_tap(&lo_);
    }
    live_.reset();
  }
  EngineWorld(const EngineWorld&) = delete;
  EngineWorld& operator=(const EngineWorld&) = delete;

  Result<void> begin() override {
    Result<std::unique_ptr<Live>> live = Live::open(*net_, {});
    if (!live) return std::unexpected(live.error());
    live_ = std::move(*live);
    net_->nf->conntrack.mode = CtMode::track;  // here nobody else sends
    for (const std::string& w : live_->report().warnings) notes_.push_back(w);
    const std::lock_guard guard(net_->rtnl);
    for (NetDevice* dev : net_->dev->all()) {
      if ((dev->flags() & kIffLoopback) != 0 || dev->features.stacked) continue;
      Result<std::unique_ptr<Driver>> driver = make_driver(*net_, *dev, driver_);
      if (!driver) return std::unexpected(driver.error());
      net_->dev->attach(*dev, std::move(*driver));
    }
    net_->dev->add_tap(nullptr, &lo_);
    return {};
  }

  Result<void> changed() override {
    // A sysctl announces nothing; the mirror reads those again every second.
    return pump(20 * kMillisecond);
  }

  void settle(int ms) override {
    const Nanos start = now();
    const Nanos least = start + ms * kMillisecond;
    // What a shaper holds back is not waited for, as it is not in the kernel's world.
    const Nanos patience = shaped() ? 3 * kMillisecond : patience_;
    for (;;) {
      if (Result<void> done = pump(0); !done) {
        notes_.push_back(done.error().what);
        return;
      }
      (void)net_->poll();
      const Nanos t = now();
      if (t >= least && (net_->totals().queued == 0 || t >= std::max(least, start + patience)))
        break;
      wait_for_live(ms == 0 ? 1 : 2);
    }
    // The frame crosses the veth in the peer's softirq, as in the kernel's world.
    std::vector<pollfd> fds;
    for (const int fd : lab_.capture_fds()) fds.push_back({fd, POLLIN, 0});
    if (ms == 0) (void)::poll(fds.data(), fds.size(), 3);
  }

  Answer socket(bool inet6, std::uint32_t uid, bool unprivileged) override {
    const int handle = next_++;
    Sock* sk = inet6 ? inet6_create(*net_, uid) : inet_create(*net_, uid);
    sk->nonblocking = false;
    sk->privileged = !unprivileged;
    socks_[handle] = sk;
    return handle;
  }
  Answer bind(int s, const Addr& a) override {
    Sock& sk = *socks_.at(s);
    if (!sk.inet6) return answer(inet_bind(sk, from_sockaddr(a)));
    if (said_family(a) != AF_INET6)
      return a.size() < sizeof(sockaddr_in6) ? -EINVAL : -EAFNOSUPPORT;
    return answer(inet6_bind(sk, from_sockaddr6(a)));
  }
  Answer connect(int s, const Addr& a) override {
    Sock& sk = *socks_.at(s);
    if (sk.inet6 && said_family(a) == AF_INET6)
      return answer(ip6_datagram_connect(sk, from_sockaddr6(a)));
    return answer(inet_dgram_connect(sk, from_sockaddr(a)));
  }

  Answer send(int s, const SendCall& call) override {
    const iovec part = piece(call);
    SockAddr6 name6;
    return answer(sock_sendmsg(*net_, *socks_.at(s), message(*socks_.at(s), call, part, name6)));
  }
  Answer sendmmsg(int s, std::span<const SendCall> calls, int flags) override {
    std::vector<iovec> parts;
    std::vector<MsgHdr> messages;
    std::vector<SockAddr6> names(calls.size());
    parts.reserve(calls.size());
    for (const SendCall& c : calls) {
      parts.push_back(piece(c));
      messages.push_back(message(*socks_.at(s), c, parts.back(), names[messages.size()]));
      messages.back().flags = flags;
    }
    return answer(sock_sendmmsg(*net_, *socks_.at(s), messages));
  }

  Answer recvmsg(int s, const RecvCall& call, ReceivedMsg& to) override {
    to.payload.resize(call.size);
    to.control.resize(call.control_size);
    const iovec part{to.payload.data(), to.payload.size()};
    RecvMsg m;
    m.iov = {&part, 1};
    m.control = to.control;
    m.flags = call.flags | MSG_DONTWAIT;
    const SockResult<std::size_t> n = udp_recvmsg(*socks_.at(s), m);
    if (!n) return -n.error().code;
    if (m.name6)
      to.from = to_sockaddr(m.name6->addr, m.name6->port, static_cast<int>(m.name6->scope_id));
    if (m.name) to.from = name_for(*socks_.at(s), m.name->addr, m.name->port);
    to.payload.resize(std::min(*n, call.size));
    to.control.resize(m.controllen);
    to.flags = m.msg_flags;
    return static_cast<Answer>(*n);
  }

  Answer recv(int s, Received& to) override {
    SockResult<Datagram> d = udp_recvmsg(*socks_.at(s));
    if (!d) return -d.error().code;
    to.from =
        d->from6 ? to_sockaddr(d->from6->addr, d->from6->port, static_cast<int>(d->from6->scope_id))
                 : name_for(*socks_.at(s), d->from.addr, d->from.port);
    to.payload = std::move(d->payload);
    return static_cast<Answer>(to.payload.size());
  }

  Answer setsockopt(int s, int level, int option, std::span<const std::uint8_t> value) override {
    return answer(sock_setsockopt(*socks_.at(s), level, option, value));
  }
  Answer getsockopt(int s, int level, int option, Bytes& value) override {
    const SockResult<std::size_t> n = sock_getsockopt(*socks_.at(s), level, option, value);
    value.resize(n ? *n : 0);
    return n ? 0 : -n.error().code;
  }
  // inet_getname().
  Answer getsockname(int s, Addr& to) override {
    const Sock& sk = *socks_.at(s);
    if (sk.inet6) {
      const Ipv6Pinfo& np = *sk.inet6;
      to = to_sockaddr(np.rcv_saddr.is_any() ? np.saddr : np.rcv_saddr, sk.inet_num,
                       sk.bound_dev_if);
      return 0;
    }
    to = to_sockaddr(sk.inet_rcv_saddr.is_zero() ? sk.inet_saddr : sk.inet_rcv_saddr, sk.inet_num);
    return 0;
  }
  Answer shutdown(int s, int how) override { return answer(inet_shutdown(*socks_.at(s), how)); }
  Answer close(int s) override {
    inet_release(*socks_.at(s));
    socks_.erase(s);
    return 0;
  }

  std::vector<test::WireFrame> loopback_frames() override { return lo_.take(); }

  Counters counters() override {
    static const std::set<std::string> known = kernel_counter_names();
    Counters c;
    const CounterTotals totals = net_->totals();
    for (std::size_t i = 0; i < kSnmpCount; ++i) {
      const std::string name = fmt::format("{}.{}", kSnmp[i].group, kSnmp[i].name);
      if (known.contains(name)) c[name] = static_cast<std::int64_t>(totals.snmp[i]);
    }
    // IcmpMsg repeats Icmp by the number of the type.
    const auto icmp_type = [&](const char* column, Snmp in_icmp) {
      c[fmt::format("IcmpMsg.{}", column)] =
          static_cast<std::int64_t>(totals.snmp[static_cast<std::size_t>(in_icmp)]);
    };
    icmp_type("InType3", Snmp::IcmpInDestUnreachs);
    icmp_type("InType4", Snmp::IcmpInSrcQuenchs);
    icmp_type("InType5", Snmp::IcmpInRedirects);
    icmp_type("InType11", Snmp::IcmpInTimeExcds);
    icmp_type("InType12", Snmp::IcmpInParmProbs);
    icmp_type("OutType3", Snmp::IcmpOutDestUnreachs);
    icmp_type("OutType11", Snmp::IcmpOutTimeExcds);
    icmp_type("OutType12", Snmp::IcmpOutParmProbs);
    count_disciplines(stat_report(*net_), c);
    const RcuReader reader;
    for (NetDevice* dev : net_->dev->all()) count_device(*dev, c);
    count_rules(c);
    if (!totals.conserved()) {
      notes_.push_back(
          fmt::format("conservation is broken: sent {} delivered {} dropped {} "
                      "queued {}",
                      totals.sent, totals.delivered, totals.dropped, totals.queued));
    }
    return c;
  }
  bool counts_kernel_arp() const override { return false; }

  std::vector<std::string> notes() override {
    const CounterTotals totals = net_->totals();
    for (std::size_t s = 0; s < kStageCount; ++s) {
      for (std::size_t r = 0; r < kDropReasonCount; ++r) {
        if (const std::uint64_t n = totals.stages[s].drops[r]; n != 0)
          notes_.push_back(fmt::format("{} dropped at {} for {}", n, kPath[s].name,
                                       name(static_cast<DropReason>(r))));
      }
    }
    return notes_;
  }

 private:
  static Nanos now() {
    timespec t{};
    clock_gettime(CLOCK_MONOTONIC, &t);
    return t.tv_sec * kSecond + t.tv_nsec;
  }

  bool shaped() const {
    const std::lock_guard guard(net_->rtnl);
    return std::ranges::any_of(net_->dev->all(),
                               [](const NetDevice* d) { return qdisc_state_is_shared(*d); });
  }

  void wait_for_live(int ms) {
    pollfd fd{live_->fd(), POLLIN, 0};
    (void)::poll(&fd, 1, ms);
  }

  // Applies notifications until none came for a moment, at most `patience` long.
  Result<void> pump(Nanos patience) {
    const Nanos until = now() + patience;
    for (;;) {
      const Result<std::size_t> n = live_->pump();
      if (!n) return std::unexpected(n.error());
      if (*n == 0 && now() >= until) return {};
      if (*n == 0) wait_for_live(2);
    }
  }

  // As `nft -a list ruleset`: a rule's counters, and those of a set's elements, are summed.
  void count_rules(Counters& c) {
    const std::lock_guard guard(net_->rtnl);
    const auto& program = net_->nf->program();
    if (program == nullptr) return;
    for (const NftCounterPlace& p : program->counters) {
      c["nft " + p.name + ".packets"] += static_cast<std::int64_t>(p.counter->packets());
      c["nft " + p.name + ".bytes"] += static_cast<std::int64_t>(p.counter->bytes());
    }
    for (const auto& [name, set] : program->sets) {
      if (set->dynamic() == nullptr) continue;
      const NftSetSpec& spec = set->spec();
      const std::string place =
          fmt::format("nft {} {} set {}", nft_family_name(spec.family), spec.table, spec.name);
      const std::lock_guard elems_guard(set->dynamic()->mutex);
      for (const auto& [key, elem] : set->dynamic()->elems) {
        if (elem.code == nullptr) continue;
        for (const NftCounterPlace& p : elem.code->counters) {
          c[place + ".packets"] += static_cast<std::int64_t>(p.counter->packets());
          c[place + ".bytes"] += static_cast<std::int64_t>(p.counter->bytes());
        }
      }
    }
  }

  static iovec piece(const SendCall& call) {
    return {const_cast<std::uint8_t*>(call.payload.data()), call.payload.size()};
  }
  static MsgHdr message(const Sock& sk, const SendCall& call, const iovec& part, SockAddr6& name6) {
    MsgHdr m;
    if (call.addr != nullptr && call.addrlen != 0) {
      if (sk.inet6 && said_family(*call.addr) == AF_INET6) {
        name6 = from_sockaddr6(*call.addr);
        m.name6 = &name6;
      } else {
        m.name = from_sockaddr(*call.addr);
      }
    }
    m.namelen = call.addrlen;
    m.iov = {&part, 1};
    m.control = call.control;
    m.flags = call.flags;
    return m;
  }

  static void count_device(const NetDevice& dev, Counters& c) {
    std::int64_t packets = 0;
    std::int64_t bytes = 0;
    std::int64_t dropped = static_cast<std::int64_t>(dev.tx_dropped.load());
    std::int64_t errors = 0;
    for (const std::unique_ptr<TxQueue>& q : dev.tx) {
      packets += static_cast<std::int64_t>(q->tx_packets());
      bytes += static_cast<std::int64_t>(q->tx_bytes());
      dropped += static_cast<std::int64_t>(q->tx_dropped.load());
      errors += static_cast<std::int64_t>(q->tx_errors.load());
    }
    if ((dev.flags() & kIffLoopback) != 0) {
      c[dev.name() + ".rx_packets"] = static_cast<std::int64_t>(dev.rx_packets.load());
      c[dev.name() + ".rx_bytes"] = static_cast<std::int64_t>(dev.rx_bytes.load());
    }
    c[dev.name() + ".tx_packets"] = packets;
    c[dev.name() + ".tx_bytes"] = bytes;
    c[dev.name() + ".tx_dropped"] = dropped;
    c[dev.name() + ".tx_errors"] = errors;
  }

  test::Lab& lab_;
  const char* const driver_;
  const Nanos patience_;  // for what should come to its end by itself
  LoopbackTap lo_;
  std::unique_ptr<Net> net_;
  std::unique_ptr<Live> live_;
  std::map<int, Sock*> socks_;
  int next_ = 1;
  std::vector<std::string> notes_;
};

}  // namespace

std::unique_ptr<World> make_engine_world(test::Lab& lab, int patience_ms, const char* driver) {
  return std::make_unique<EngineWorld>(lab, patience_ms, driver);
}

}  // namespace txp::kdiff
