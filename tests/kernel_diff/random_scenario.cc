// SPDX-License-Identifier: Apache-2.0
#include "kernel_diff/random_scenario.h"

#include <fmt/format.h>

#include <algorithm>
#include <set>
#include <string_view>
#include <utility>
#include <vector>

#include "kernel_diff/random_ruleset.h"
#include "kernel_diff/random_source.h"

namespace txp::kdiff {
namespace {

using std::string;

// Writes one scenario: first a namespace, then calls. It remembers what it set up where a later
// line depends on it.
class Author {
 public:
  Author(std::uint64_t seed, bool with_ruleset)
      : seed_(seed), with_ruleset_(with_ruleset), rnd_(seed) {}

  string write() {
    addresses();
    devices();
    neighbours();
    nexthops();
    for (int n = rnd_.between(0, 5); n > 0; --n) route();
    for (int n = rnd_.pick({0, 0, 0, 1, 1, 2, 3}); n > 0; --n) rule();
    for (int n = rnd_.pick({0, 0, 0, 1, 1, 2}); n > 0; --n) sysctl();
    if (with_ruleset_) text_ += random_ruleset(rnd_);
    devices_down();
    sockets();
    for (int n = rnd_.between(2, 8); n > 0; --n) call();
    if (receiver_)
      for (int n = rnd_.between(1, 3); n > 0; --n) line("recv r");
    string needs = "need vc";
    if (needs_root_) needs += " root";
    if (multipath_) needs += " net.ipv4.fib_multipath_hash_seed";
    return fmt::format("# Random, seed {}\n{}\n{}", seed_, needs, text_);
  }

 private:
  void line(const string& words) { text_ += words + "\n"; }
  void setup(const string& words) { line("setup " + words); }

  // --- the namespace

  void addresses() {
    struct Choice {
      const char* words;
      const char* addr;
      int percent;
    };
    static constexpr Choice kChoices[] = {
        {"10.77.0.5/24 dev va", "10.77.0.5", 25},
        {"10.77.0.6/32 dev va", "10.77.0.6", 10},
        {"10.77.1.1/24 brd + dev va", "10.77.1.1", 15},
        {"10.77.9.1/16 dev vc", "10.77.9.1", 6},
        {"192.168.5.1 peer 192.168.5.2/32 dev vc", "192.168.5.1", 15},
        {"10.79.0.1/24 dev lo", "10.79.0.1", 15},
        {"10.79.1.1/32 dev lo", "10.79.1.1", 8},
        {"172.16.0.1/30 dev vc", "172.16.0.1", 10},
        {"172.16.0.5/31 dev vc", "172.16.0.5", 8},
        {"169.254.3.1/16 dev va scope link", "169.254.3.1", 10},
        {"10.81.0.1/24 dev va scope host", "10.81.0.1", 8},
        {"10.77.0.1/32 dev vc", "10.77.0.1", 4},
    };
    locals_ = {"10.77.0.1", "10.78.0.1"};
    if (rnd_.percent(4)) {
      setup("ip addr del 10.78.0.1/24 dev vc");
      vc_has_address_ = false;
      locals_.pop_back();
    }
    for (const Choice& c : kChoices) {
      if (!rnd_.percent(c.percent)) continue;
      setup(fmt::format("ip addr add {}", c.words));
      locals_.emplace_back(c.addr);
    }
  }

  void devices() {
    for (const char* dev : {"va", "vc"}) {
      const bool va = string_view(dev) == "va";
      if (rnd_.percent(20)) {
        const int mtu = rnd_.pick({68, 69, 100, 256, 552, 576, 1000, 1280, 1492, 1499});
        setup(fmt::format("ip link set {} mtu {}", dev, mtu));
        (va ? mtu_va_ : mtu_vc_) = mtu;
      } else if (rnd_.percent(6)) {
        line(fmt::format("peer ip link set {} mtu 9000", va ? "vb" : "vd"));
        setup(fmt::format("ip link set {} mtu {}", dev, rnd_.pick({1501, 4000, 9000})));
      }
      if (rnd_.percent(10))
        setup(fmt::format("ethtool -K {} {}", dev,
                          rnd_.pick({"tx off", "sg off", "gso off", "tx off sg off",
                                     "tx-udp-segmentation off", "tx-checksum-ip-generic off"})));
      if (rnd_.percent(8))
        setup(fmt::format("tc qdisc add dev {} root {}", dev,
                          rnd_.pick({"pfifo", "pfifo limit 5", "bfifo", "bfifo limit 4000",
                                     "pfifo_fast", "pfifo_fast"})));
      if (rnd_.percent(5)) setup(fmt::format("ip link set {} group 7", dev));
      if (rnd_.percent(4)) setup(fmt::format("ip link set {} txqueuelen 3", dev));
    }
  }

  // After everything that a device must be up for.
  void devices_down() {
    if (rnd_.percent(4)) setup("ip link set vc down");
    if (rnd_.percent(2)) setup("ip link set va down");
    if (rnd_.percent(4)) {
      // Without a carrier the device drops the kernel's ARP where nobody sees it, and counts it.
      setup("ip link set vc arp off");
      line("peer ip link set vd down");
    }
    if (rnd_.percent(1)) setup("ip link set lo down");
  }

  void neighbours() {
    static constexpr std::pair<const char*, const char*> kOnLink[] = {
        {"10.77.0.2", "va"}, {"10.77.0.99", "va"},  {"10.77.0.150", "va"}, {"10.78.0.2", "vc"},
        {"10.78.0.9", "vc"}, {"192.168.5.2", "vc"}, {"172.16.0.2", "vc"},  {"10.99.9.9", "va"},
        {"10.1.2.3", "va"},  {"169.254.3.9", "va"}, {"10.1.2.4", "vc"},
    };
    for (const auto& [addr, dev] : kOnLink) {
      if (!rnd_.percent(std::string_view(addr) == "10.77.0.2" ? 50 : 35)) continue;
      const char* state = rnd_.pick(
          {"permanent", "permanent", "permanent", "noarp", "stale", "reachable", "delay", "probe"});
      setup(fmt::format("ip neigh add {} lladdr 02:00:00:00:00:{:02x} dev {} nud {}", addr,
                        rnd_.between(1, 9), dev, state));
    }
  }

  string gateway() {
    if (!vc_has_address_ || rnd_.percent(60))
      return rnd_.pick({"via 10.77.0.2", "via 10.77.0.2", "via 10.77.0.2", "via 10.77.0.150",
                        "via 10.99.9.9 dev va onlink"});
    return rnd_.pick({"via 10.78.0.2", "via 10.78.0.2", "via 10.78.0.9 dev vc"});
  }

  void nexthops() {
    if (!rnd_.percent(15)) return;
    setup("ip nexthop add id 1 via 10.77.0.2 dev va");
    nexthops_ = {"1"};
    if (vc_has_address_) {
      setup("ip nexthop add id 2 via 10.78.0.2 dev vc");
      nexthops_.emplace_back("2");
    }
    if (rnd_.percent(30)) {
      setup("ip nexthop add id 3 dev va");
      nexthops_.emplace_back("3");
    }
    if (rnd_.percent(25)) {
      setup("ip nexthop add id 4 blackhole");
      nexthops_.emplace_back("4");
    }
    if (vc_has_address_ && rnd_.percent(50)) {
      setup(fmt::format("ip nexthop add id 9 group 1,{}/2,{}", rnd_.between(1, 5),
                        rnd_.between(1, 5)));
      nexthops_.emplace_back("9");
      pin_multipath();
    }
  }

  // The hash's seed is drawn for each namespace.
  void pin_multipath() {
    if (std::exchange(multipath_, true)) return;
    setup(fmt::format("sysctl -w net.ipv4.fib_multipath_hash_seed={}", rnd_.between(1, 9999)));
    setup(fmt::format("sysctl -w net.ipv4.fib_multipath_hash_policy={}", rnd_.pick({0, 0, 1})));
  }

  void route() {
    const string prefix =
        rnd_.pick({"default", "default", "10.1.0.0/16", "10.1.2.0/24", "10.1.2.3/32", "10.2.0.0/16",
                   "10.0.0.0/8", "203.0.113.0/24", "224.0.0.0/4", "239.1.1.1/32", "10.77.0.128/25",
                   "10.77.0.99/32", "192.168.0.0/16", "10.1.2.2/31"});
    const char* table = rnd_.pick({"", "", "", " table 100", " table 200"});
    const char* metric = rnd_.pick({"", "", "", " metric 50", " metric 100"});
    const char* tos = rnd_.pick({"", "", "", "", "", " tos 0x10", " tos 0x08"});
    if (!routes_.insert(prefix + table + metric + tos).second) return;
    const char* type = rnd_.pick({"", "", "", "", "", "", "", "", "", "", "", "blackhole ",
                                  "unreachable ", "prohibit ", "throw "});
    string words = fmt::format("ip route add {}{}{}{}{}", type, prefix, table, metric, tos);
    if (*type != '\0') return setup(words);
    if (!nexthops_.empty() && rnd_.percent(50))
      return setup(fmt::format("{} nhid {}", words, rnd_.pick(nexthops_)));
    if (vc_has_address_ && rnd_.percent(12)) {
      pin_multipath();
      words +=
          fmt::format(" nexthop via 10.77.0.2 weight {} nexthop via 10.78.0.2 dev vc weight {}",
                      rnd_.between(1, 4), rnd_.between(1, 4));
      if (rnd_.percent(30)) words += " nexthop via 10.77.0.150";
      return setup(words);
    }
    words += ' ';
    words += rnd_.percent(75) ? gateway() : string(rnd_.pick({"dev va", "dev va", "dev vc"}));
    if (rnd_.percent(20)) words += " src " + rnd_.pick(locals_);
    if (rnd_.percent(15)) {
      // A route's MTU beyond the device's is one of the known differences.
      const int mtu =
          std::min({rnd_.pick({68, 100, 552, 600, 1000, 1400, 1500}), mtu_va_, mtu_vc_});
      words += fmt::format(" mtu {}{}", rnd_.pick({"", "lock "}), mtu);
      route_mtu_ = mtu;
    }
    if (rnd_.percent(6)) words += fmt::format(" hoplimit {}", rnd_.between(1, 255));
    setup(words);
  }

  void rule() {
    const int pref = rnd_.between(1, 32000);
    if (!rules_.insert(pref).second) return;
    string selector = rnd_.pick({"",
                                 "from 10.77.0.1",
                                 "from 10.78.0.0/24",
                                 "to 10.1.0.0/16",
                                 "to 10.1.2.3",
                                 "fwmark 0x10",
                                 "fwmark 0x10/0xf0",
                                 "tos 0x10",
                                 "oif vc",
                                 "oif va",
                                 "uidrange 1000-2000",
                                 "ipproto udp",
                                 "ipproto tcp",
                                 "dport 53",
                                 "dport 50-60",
                                 "sport 4000",
                                 "sport 4000-4001",
                                 "iif lo",
                                 "iif va",
                                 "not from 10.77.0.1",
                                 "not to 10.1.0.0/16",
                                 "not fwmark 0x10"});
    if (rnd_.percent(20) && selector.find("to ") == string::npos) selector += " to 10.0.0.0/8";
    string action =
        rnd_.pick({"lookup 100", "lookup 100", "lookup 200", "lookup main",
                   "lookup main suppress_prefixlength 0", "lookup main suppress_prefixlength 16",
                   "lookup main suppress_ifgroup 7", "lookup 100 suppress_ifgroup 0", "prohibit",
                   "blackhole", "unreachable", "nop", "goto 32766"});
    setup(fmt::format("ip rule add pref {} {} {}", pref, selector, action));
  }

  void sysctl() {
    setup(string("sysctl -w net.ipv4.") +
          rnd_.pick({"ip_default_ttl=33", "ip_no_pmtu_disc=1", "ip_no_pmtu_disc=2",
                     "ip_nonlocal_bind=1", "conf.va.route_localnet=1", "ip_forward=1",
                     "conf.all.ignore_routes_with_linkdown=1", "fib_multipath_use_neigh=1",
                     "ip_local_reserved_ports=4000-4001", "ip_unprivileged_port_start=0",
                     "conf.all.accept_local=1", "conf.all.rp_filter=1", "conf.lo.rp_filter=2",
                     "conf.all.src_valid_mark=1", "conf.va.forwarding=1", "ip_dynaddr=1",
                     "ip_early_demux=0", "icmp_ratelimit=0", "fib_sync_mem=65536"}));
  }

  // --- the calls

  string port() { return rnd_.pick({"53", "53", "53", "5000", "9", "5001"}); }

  string destination() {
    if (rnd_.percent(12)) return rnd_.pick(locals_);
    return rnd_.pick({"10.1.2.3",   "10.1.2.3",    "10.1.2.3",    "10.1.2.4",        "10.1.9.9",
                      "10.2.0.1",   "10.2.0.2",    "203.0.113.7", "10.77.0.2",       "10.77.0.2",
                      "10.77.0.2",  "10.77.0.2",   "10.78.0.2",   "10.78.0.2",       "10.77.0.150",
                      "10.77.0.99", "10.77.0.255", "10.77.0.0",   "255.255.255.255", "239.1.1.1",
                      "224.0.0.77", "127.0.0.1",   "127.0.0.5",   "0.0.0.0",         "192.168.5.2",
                      "172.16.0.2", "10.78.0.255", "240.1.1.1",   "169.254.3.9",     "10.79.0.77"});
  }

  string source() {
    if (rnd_.percent(45)) return "0.0.0.0";
    if (rnd_.percent(70)) return rnd_.pick(locals_);
    return rnd_.pick({"127.0.0.1", "127.0.0.3", "10.77.0.255", "239.1.1.1", "10.9.9.9",
                      "255.255.255.255", "224.0.0.77"});
  }

  // Around the edges of what fits.
  int length() {
    const int mtu = rnd_.pick({mtu_va_, mtu_vc_, route_mtu_});
    switch (rnd_.between(0, 9)) {
      case 0: return rnd_.pick({0, 0, 1, 2, 7, 8, 9});
      case 1:
      case 2: return mtu - 28 + rnd_.between(-2, 2);
      case 3: return 2 * (mtu - 20) - 8 + rnd_.between(-9, 9);
      case 4: return rnd_.between(1, 4000);
      case 5: return rnd_.percent(15) ? rnd_.pick({65507, 65508, 65535, 30000}) : 1473;
      default: return rnd_.between(1, 200);
    }
  }

  void sockets() {
    if (rnd_.percent(25)) {
      receiver_ = true;
      line("socket r");
      line(fmt::format("bind r {}:{}", rnd_.percent(70) ? string("0.0.0.0") : rnd_.pick(locals_),
                       5000));
      if (rnd_.percent(40))
        line(fmt::format("setsockopt r IP_ADD_MEMBERSHIP mreqn 224.0.0.77 0.0.0.0 {}",
                         rnd_.pick({"va", "vc", "lo"})));
    }
    const int count = rnd_.percent(75) ? 1 : 2;
    for (int i = 0; i < count; ++i) {
      const string s = i == 0 ? "s" : "t";
      socks_.push_back(s);
      if (rnd_.percent(8)) {
        line(fmt::format("socket {} uid {}", s, rnd_.pick({1000, 1500, 3000})));
        needs_root_ = true;
      } else {
        line("socket " + s);
      }
      for (int n = rnd_.pick({0, 0, 1, 1, 2, 3}); n > 0; --n) option(s);
      // A port that is drawn would draw the path too.
      if (multipath_ || rnd_.percent(85))
        line(fmt::format("bind {} {}:{}", s, multipath_ ? "0.0.0.0" : source(),
                         rnd_.pick({4000, 4000, 4001}) + i * 100));
      if (rnd_.percent(30)) connect(s);
      // Most scenarios should send something, whatever else goes wrong in them.
      if (rnd_.percent(60))
        line(fmt::format("sendto {} {}:53 len {}", s,
                         rnd_.pick({"10.77.0.2", "10.77.0.2", "10.78.0.2", "10.1.2.3"}),
                         rnd_.between(0, 200)));
    }
  }

  void connect(const string& s) {
    if (rnd_.percent(8)) return line(fmt::format("connect {} unspec", s));
    line(fmt::format("connect {} {}:{}", s, destination(), port()));
  }

  void option(const string& s) {
    const string dev = rnd_.pick({"va", "va", "vc", "lo"});
    const int segment = rnd_.pick({0, 1, 100, 500, 1000, 1400, mtu_va_ - 28, 1472});
    const std::vector<string> all = {
        fmt::format("IP_TOS {}", rnd_.pick({"0x10", "0x08", "0x1c", "0xb8", "3", "0xff", "0"})),
        fmt::format("IP_TTL {}", rnd_.pick({1, 7, 64, 255, -1, 0, 256})),
        fmt::format("IP_MULTICAST_TTL {}", rnd_.pick({0, 1, 5, 255, -1})),
        fmt::format("IP_MULTICAST_LOOP {}", rnd_.between(0, 1)),
        fmt::format("IP_MULTICAST_ALL {}", rnd_.between(0, 1)),
        fmt::format("IP_MULTICAST_IF mreqn 0.0.0.0 {} {}",
                    rnd_.percent(70) ? "0.0.0.0" : "10.77.0.1", dev),
        fmt::format("IP_UNICAST_IF be32 dev {}", dev),
        fmt::format("IP_MTU_DISCOVER {}",
                    rnd_.pick({"IP_PMTUDISC_DONT", "IP_PMTUDISC_WANT", "IP_PMTUDISC_DO",
                               "IP_PMTUDISC_PROBE", "IP_PMTUDISC_INTERFACE", "IP_PMTUDISC_OMIT"})),
        fmt::format("IP_MTU_DISCOVER {}",
                    rnd_.pick({"IP_PMTUDISC_DO", "IP_PMTUDISC_DONT", "IP_PMTUDISC_PROBE"})),
        "IP_FREEBIND 1",
        "IP_TRANSPARENT 1",
        "IP_BIND_ADDRESS_NO_PORT 1",
        fmt::format("IP_RECVERR {}", rnd_.between(0, 1)),
        "SO_BROADCAST 1",
        "SO_BROADCAST 1",
        "SO_BROADCAST 1",
        "SO_BINDTODEVICE name " + dev,
        "SO_BINDTOIFINDEX dev " + dev,
        fmt::format("SO_MARK {}", rnd_.pick({"0x10", "0x11", "0xf0", "5"})),
        fmt::format("SO_PRIORITY {}", rnd_.between(0, 7)),
        fmt::format("SO_DONTROUTE {}", rnd_.between(0, 1)),
        "SO_NO_CHECK 1",
        "SO_REUSEADDR 1",
        "SO_REUSEPORT 1",
        fmt::format("UDP_SEGMENT {}", segment),
        fmt::format("UDP_SEGMENT {}", segment),
        "UDP_CORK 1",
    };
    line(fmt::format("setsockopt {} {}", s, rnd_.pick(all)));
  }

  string control() {
    const string dev = rnd_.pick({"va", "vc", "lo", "-", "-"});
    switch (rnd_.between(0, 6)) {
      case 0:
        return fmt::format(" cmsg IP_PKTINFO pktinfo {} {}", dev,
                           rnd_.percent(40)   ? "0.0.0.0"
                           : rnd_.percent(80) ? rnd_.pick(locals_)
                                              : string("203.0.113.9"));
      case 1: return fmt::format(" cmsg IP_TTL {}", rnd_.pick({1, 9, 255, 0, 256}));
      case 2: return fmt::format(" cmsg IP_TOS {}", rnd_.pick({"0x10", "u8 0x08", "0xb8", "256"}));
      case 3: return fmt::format(" cmsg SO_MARK {}", rnd_.pick({"0x10", "0x12", "7"}));
      case 4: return fmt::format(" cmsg SO_PRIORITY {}", rnd_.between(0, 7));
      default:
        return fmt::format(" cmsg UDP_SEGMENT {}", rnd_.pick({0, 50, 500, 1400, 1472, 1473}));
    }
  }

  string what() {
    int n = length();
    string words;
    if (rnd_.percent(25)) words += control();
    if (rnd_.percent(4)) words += control();
    if (rnd_.percent(6)) words += " MSG_MORE";
    if (rnd_.percent(3)) words += " MSG_DONTROUTE";
    if (rnd_.percent(3)) words += " MSG_CONFIRM";
    if (rnd_.percent(1)) words += " MSG_OOB";
    if (rnd_.percent(2)) words += " MSG_DONTWAIT";
    return fmt::format("len {}{}", std::max(n, 0), words);
  }

  void send(const string& s) {
    const string repeat = rnd_.percent(5) ? fmt::format("repeat {} ", rnd_.between(2, 4)) : "";
    if (rnd_.percent(25)) return line(fmt::format("{}send {} {}", repeat, s, what()));
    const string port = rnd_.percent(2) ? "0" : this->port();
    line(fmt::format("{}sendto {} {}:{} {}", repeat, s, destination(), port, what()));
  }

  // A namespace that changes while sockets send.
  void change() {
    // What is corked keeps a deleted route for a grace period, however long that is.
    if (text_.find("MSG_MORE") != string::npos || text_.find("UDP_CORK") != string::npos) return;
    switch (rnd_.between(0, 5)) {
      case 0: setup("ip route replace default via 10.77.0.150"); break;
      case 1: setup("ip route replace 10.1.2.0/24 via 10.77.0.2"); break;
      case 2:
        setup("ip neigh replace 10.77.0.2 lladdr 02:00:00:00:00:0a dev va nud permanent");
        break;
      case 3:
        setup("ip neigh replace 10.77.0.99 lladdr 02:00:00:00:00:0b dev va nud permanent");
        break;
      case 4: setup("ip addr add 10.77.0.44/24 dev va"); break;
      default:
        setup(fmt::format("ip rule add pref {} to 10.1.0.0/16 unreachable",
                          rnd_.between(32001, 32700)));
        break;
    }
  }

  void call() {
    const string s = rnd_.pick(socks_);
    const int kind = rnd_.between(0, 99);
    if (kind < 72) return send(s);
    if (kind < 79) return option(s);
    if (kind < 85) return connect(s);
    if (kind < 87) return line("getsockname " + s);
    if (kind < 90)
      return line(fmt::format("getsockopt {} {}", s,
                              rnd_.pick({"IP_MTU", "IP_TOS", "IP_TTL", "SO_PRIORITY", "SO_ERROR",
                                         "IP_MTU_DISCOVER", "UDP_SEGMENT", "IP_MULTICAST_TTL"})));
    if (kind < 92) return line(fmt::format("setsockopt {} UDP_CORK {}", s, rnd_.between(0, 1)));
    if (kind < 94) return line(fmt::format("bind {} {}:{}", s, source(), rnd_.pick({4002, 4000})));
    if (kind < 95) return line(fmt::format("shutdown {} {}", s, rnd_.pick({"SHUT_RD", "SHUT_WR"})));
    if (kind < 96) return line("recv " + s);
    if (kind < 98) return change();
    send(s);
    send(s);
  }

  using string_view = std::string_view;

  const std::uint64_t seed_;
  const bool with_ruleset_;
  RandomSource rnd_;
  string text_;
  std::vector<string> locals_;
  std::vector<string> nexthops_;
  std::vector<string> socks_;
  std::set<string> routes_;
  std::set<int> rules_;
  int mtu_va_ = 1500;
  int mtu_vc_ = 1500;
  int route_mtu_ = 1500;
  bool vc_has_address_ = true;
  bool multipath_ = false;
  bool receiver_ = false;
  bool needs_root_ = false;
};

}  // namespace

std::string random_scenario(std::uint64_t seed, bool with_ruleset) {
  return Author(seed, with_ruleset).write();
}

}  // namespace txp::kdiff
