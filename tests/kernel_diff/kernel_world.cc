// SPDX-License-Identifier: Apache-2.0
// The kernel's world: real system calls.
#include <fmt/format.h>
#include <linux/capability.h>
#include <poll.h>
#include <sys/fsuid.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstring>
#include <fstream>
#include <nlohmann/json.hpp>
#include <set>
#include <sstream>

#include "kernel_diff/world.h"
#include "observe/stat.h"

namespace txp::kdiff {
namespace {

Answer answer(std::int64_t n) { return n < 0 ? -errno : n; }

// Mask "settings".
constexpr std::array<std::string_view, 6> kSettings = {"Ip.Forwarding",    "Ip.DefaultTTL",
                                                       "Tcp.RtoAlgorithm", "Tcp.RtoMin",
                                                       "Tcp.RtoMax",       "Tcp.MaxConn"};

// /proc/net/snmp and /proc/net/netstat: a line of names, then a line of values, by group.
void read_groups(const char* path, Counters& to) {
  std::ifstream file(path);
  std::string names;
  std::string values;
  while (std::getline(file, names) && std::getline(file, values)) {
    std::istringstream n(names);
    std::istringstream v(values);
    std::string group;
    std::string name;
    std::int64_t value = 0;
    n >> group;
    v >> group;
    group.pop_back();  // the colon
    while (n >> name && v >> value)
      if (std::ranges::find(kSettings, group + "." + name) == kSettings.end())
        to[group + "." + name] = value;
  }
}

// /proc/net/snmp6: a name and a value on each line. Counts by ICMPv6 type repeat others.
void read_snmp6(Counters& to) {
  std::ifstream file("/proc/net/snmp6");
  std::string name;
  std::int64_t value = 0;
  while (file >> name >> value)
    for (const std::string_view group : {"Ip6", "Icmp6", "Udp6"})
      // Mask "received over IPv6".
      if (name.starts_with(group) && name.find("Type") == std::string::npos &&
          (group == "Udp6" || !name.substr(group.size()).starts_with("In")))
        to[std::string(group) + "." + name.substr(group.size())] = value;
}

void read_devices(Counters& to) {
  std::ifstream file("/proc/net/dev");
  std::string line;
  while (std::getline(file, line)) {
    const std::size_t colon = line.find(':');
    if (colon == std::string::npos) continue;
    std::istringstream words(line.substr(0, colon));
    std::string dev;
    words >> dev;
    std::istringstream values(line.substr(colon + 1));
    std::array<std::int64_t, 16> v{};
    for (std::int64_t& x : v) values >> x;
    if (dev == "lo") {  // mask "received from the wire"
      to[dev + ".rx_bytes"] = v[0];
      to[dev + ".rx_packets"] = v[1];
      to[dev + ".rx_errors"] = v[2];
      to[dev + ".rx_dropped"] = v[3];
    }
    to[dev + ".tx_bytes"] = v[8];
    to[dev + ".tx_packets"] = v[9];
    to[dev + ".tx_errors"] = v[10];
    to[dev + ".tx_dropped"] = v[11];
  }
}

void read_qdiscs(Counters& to) {
  if (const Result<Json> report = kernel_stat_report()) count_disciplines(*report, to);
}

// Adds every "packets N bytes N" of a line.
void add_counters(const std::string& line, const std::string& name, Counters& to) {
  // "burst 3 packets counter packets 7 bytes 700": only a number makes it a counter.
  for (std::size_t at = line.find("packets "); at != std::string::npos;
       at = line.find("packets ", at + 1)) {
    std::istringstream words(line.substr(at));
    std::string word;
    std::int64_t packets = 0;
    std::int64_t bytes = 0;
    if (!(words >> word >> packets >> word >> bytes) || word != "bytes") continue;
    to[name + ".packets"] += packets;
    to[name + ".bytes"] += bytes;
  }
}

// `nft -a list ruleset` (the JSON of some versions lacks some statements): the counters of rules,
// of sets' elements (summed) and those with a name.
void read_nft(Counters& to) {
  const Result<std::string> text = test::output_of({"nft", "-a", "list", "ruleset"});
  if (!text) return;
  std::istringstream lines(*text);
  std::string line;
  std::string table;  // "inet filter"
  std::string kind;   // "chain", "set", "counter" ...
  std::string name;
  std::string rule;  // a rule with a long set goes over several lines
  while (std::getline(lines, line)) {
    const std::size_t tabs = line.find_first_not_of('\t');
    std::istringstream words(line);
    std::string family;
    if (tabs == 0 && words >> kind >> family >> name) {
      table = fmt::format("nft {} {}", family, name);
    } else if (tabs == 1 && words >> kind >> name) {
      rule.clear();
    } else if (kind == "chain") {
      rule += line;
      const std::size_t handle = line.rfind("# handle ");
      if (handle == std::string::npos) continue;
      add_counters(rule, fmt::format("{} {} rule {}", table, name, line.substr(handle + 9)), to);
      rule.clear();
    } else if (kind == "counter") {
      add_counters(line, fmt::format("{} counter {}", table, name), to);
    } else if (kind == "set" || kind == "map") {
      add_counters(line, fmt::format("{} set {}", table, name), to);
    }
  }
}

// The calling thread's effective capabilities, put aside for as long as it lives.
class WithoutCapabilities {
 public:
  explicit WithoutCapabilities(bool wanted) : wanted_(wanted) {
    if (!wanted_ || syscall(SYS_capget, &header_, before_) != 0) return;
    __user_cap_data_struct none[2] = {before_[0], before_[1]};
    none[0].effective = none[1].effective = 0;
    changed_ = syscall(SYS_capset, &header_, none) == 0;
  }
  ~WithoutCapabilities() {
    const int code = errno;
    if (changed_) (void)syscall(SYS_capset, &header_, before_);
    errno = code;
  }
  WithoutCapabilities(const WithoutCapabilities&) = delete;
  WithoutCapabilities& operator=(const WithoutCapabilities&) = delete;

 private:
  const bool wanted_;
  bool changed_ = false;
  __user_cap_header_struct header_{_LINUX_CAPABILITY_VERSION_3, 0};
  __user_cap_data_struct before_[2]{};
};

class KernelWorld final : public World {
 public:
  explicit KernelWorld(test::Lab& lab) : lab_(lab) {}
  ~KernelWorld() override {
    for (const int s : open_) ::close(s);
  }
  KernelWorld(const KernelWorld&) = delete;
  KernelWorld& operator=(const KernelWorld&) = delete;

  Result<void> begin() override {
    Result<test::WireCapture> lo =
        test::WireCapture::open("lo", "lo", test::WireCapture::Direction::leaving);
    if (!lo) return std::unexpected(lo.error());
    lo_ = std::make_unique<test::WireCapture>(std::move(*lo));
    return {};
  }
  Result<void> changed() override { return {}; }

  // A frame crosses a veth inside the send call, unless the machine is busy and ksoftirqd has it.
  void settle(int ms) override {
    std::vector<pollfd> fds;
    for (const int fd : lab_.capture_fds()) fds.push_back({fd, POLLIN, 0});
    if (lo_) fds.push_back({lo_->fd(), POLLIN, 0});
    if (ms == 0) {
      (void)poll(fds.data(), fds.size(), 3);
    } else {
      (void)poll(nullptr, 0, ms);
    }
  }

  // The socket belongs to the file system's user id of its maker.
  Answer socket(bool inet6, std::uint32_t uid, bool unprivileged) override {
    const int before = setfsuid(uid);
    const Answer a = answer(::socket(inet6 ? AF_INET6 : AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0));
    setfsuid(static_cast<uid_t>(before));
    if (a >= 0) open_.insert(static_cast<int>(a));
    if (unprivileged) unprivileged_.insert(static_cast<int>(a));
    return a;
  }
  Answer bind(int s, const Addr& a) override {
    const WithoutCapabilities guard(unprivileged_.contains(s));
    return answer(::bind(s, a.get(), a.size()));
  }
  Answer connect(int s, const Addr& a) override {
    const WithoutCapabilities guard(unprivileged_.contains(s));
    return answer(::connect(s, a.get(), a.size()));
  }

  Answer send(int s, const SendCall& call) override {
    const WithoutCapabilities guard(unprivileged_.contains(s));
    iovec part{const_cast<std::uint8_t*>(call.payload.data()), call.payload.size()};
    msghdr m{};
    if (call.addr != nullptr) {
      m.msg_name = const_cast<sockaddr*>(call.addr->get());
      m.msg_namelen = static_cast<socklen_t>(call.addrlen);
    }
    m.msg_iov = &part;
    m.msg_iovlen = 1;
    m.msg_control = const_cast<std::uint8_t*>(call.control.data());
    m.msg_controllen = call.control.size();
    return answer(sendmsg(s, &m, call.flags | MSG_NOSIGNAL));
  }

  Answer sendmmsg(int s, std::span<const SendCall> calls, int flags) override {
    const WithoutCapabilities guard(unprivileged_.contains(s));
    std::vector<mmsghdr> messages(calls.size());
    std::vector<iovec> parts(calls.size());
    for (std::size_t i = 0; i < calls.size(); ++i) {
      msghdr& m = messages[i].msg_hdr;
      if (calls[i].addr != nullptr) {
        m.msg_name = const_cast<sockaddr*>(calls[i].addr->get());
        m.msg_namelen = static_cast<socklen_t>(calls[i].addrlen);
      }
      parts[i] = {const_cast<std::uint8_t*>(calls[i].payload.data()), calls[i].payload.size()};
      m.msg_iov = &parts[i];
      m.msg_iovlen = 1;
      m.msg_control = const_cast<std::uint8_t*>(calls[i].control.data());
      m.msg_controllen = calls[i].control.size();
    }
    return answer(::sendmmsg(s, messages.data(), static_cast<unsigned>(messages.size()),
                             flags | MSG_NOSIGNAL));
  }

  Answer recvmsg(int s, const RecvCall& call, ReceivedMsg& to) override {
    pollfd fd{s, POLLIN, 0};
    (void)poll(&fd, 1, 5);
    to.payload.resize(call.size);
    to.control.resize(call.control_size);
    sockaddr_storage name{};
    iovec part{to.payload.data(), to.payload.size()};
    msghdr m{};
    m.msg_name = &name;
    m.msg_namelen = sizeof name;
    m.msg_iov = &part;
    m.msg_iovlen = 1;
    m.msg_control = to.control.data();
    m.msg_controllen = to.control.size();
    const Answer n = answer(::recvmsg(s, &m, call.flags | MSG_DONTWAIT));
    if (n < 0) return n;
    if (m.msg_namelen != 0) to.from = Addr::from(name);
    to.payload.resize(std::min<std::size_t>(static_cast<std::size_t>(n), call.size));
    to.control.resize(m.msg_controllen);
    to.flags = m.msg_flags;
    return n;
  }

  Answer recv(int s, Received& to) override {
    pollfd fd{s, POLLIN, 0};
    (void)poll(&fd, 1, 5);  // the datagram may still be in the softirq
    to.payload.resize(1 << 17);
    sockaddr_storage name{};
    socklen_t len = sizeof name;
    const Answer n = answer(recvfrom(s, to.payload.data(), to.payload.size(), MSG_DONTWAIT,
                                     reinterpret_cast<sockaddr*>(&name), &len));
    to.from = Addr::from(name);
    to.payload.resize(n < 0 ? 0 : static_cast<std::size_t>(n));
    return n;
  }

  Answer setsockopt(int s, int level, int option, std::span<const std::uint8_t> value) override {
    const WithoutCapabilities guard(unprivileged_.contains(s));
    return answer(
        ::setsockopt(s, level, option, value.data(), static_cast<socklen_t>(value.size())));
  }
  Answer getsockopt(int s, int level, int option, Bytes& value) override {
    const WithoutCapabilities guard(unprivileged_.contains(s));
    auto len = static_cast<socklen_t>(value.size());
    const Answer a = answer(::getsockopt(s, level, option, value.data(), &len));
    value.resize(a < 0 ? 0 : std::min<std::size_t>(len, value.size()));
    return a;
  }
  Answer getsockname(int s, Addr& to) override {
    sockaddr_storage name{};
    socklen_t len = sizeof name;
    const Answer a = answer(::getsockname(s, reinterpret_cast<sockaddr*>(&name), &len));
    if (a >= 0) to = Addr::from(name);
    return a;
  }
  Answer shutdown(int s, int how) override { return answer(::shutdown(s, how)); }
  Answer close(int s) override {
    open_.erase(s);
    unprivileged_.erase(s);
    return answer(::close(s));
  }

  std::vector<test::WireFrame> loopback_frames() override {
    std::vector<test::WireFrame> all;
    if (lo_) lo_->take(all);
    return all;
  }

  Counters counters() override {
    Counters c;
    read_groups("/proc/net/snmp", c);
    read_groups("/proc/net/netstat", c);
    read_snmp6(c);
    read_devices(c);
    read_qdiscs(c);
    read_nft(c);
    return c;
  }
  bool counts_kernel_arp() const override { return true; }

 private:
  test::Lab& lab_;
  std::set<int> unprivileged_;
  std::unique_ptr<test::WireCapture> lo_;
  std::set<int> open_;
};

}  // namespace

std::unique_ptr<World> make_kernel_world(test::Lab& lab) {
  return std::make_unique<KernelWorld>(lab);
}

}  // namespace txp::kdiff
