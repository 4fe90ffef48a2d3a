// SPDX-License-Identifier: Apache-2.0
// A random scenario over IPv6: its namespace, its sockets and their calls.
#include <algorithm>
#include <string_view>

#include "kernel_diff/random_draft.h"

namespace txp::kdiff {
namespace {

using std::string;
using std::string_view;

class Ipv6Author {
 public:
  explicit Ipv6Author(Draft& draft) : d_(draft), rnd_(draft.rnd) {}

  void write() {
    devices();
    addresses();
    neighbours();
    nexthops();
    for (int n = rnd_.between(0, 5); n > 0; --n) route();
    for (int n = rnd_.pick({0, 0, 0, 1, 1, 2, 3, 5}); n > 0; --n) rule();
    for (int n = rnd_.pick({0, 0, 0, 1, 1, 2}); n > 0; --n) sysctl();
    if (rnd_.percent(25)) receiver();
    const int count = rnd_.pick({1, 1, 1, 2, 2});
    for (int i = 0; i < count; ++i) open(i == 0 ? "s" : "t", i);
    for (int n = rnd_.between(2, 8); n > 0; --n) call();
    if (receiver_)
      for (int n = rnd_.between(1, 3); n > 0; --n) line("recv r");
  }

 private:
  void line(const string& words) { d_.line(words); }
  void setup(const string& words) { d_.setup(words); }
  void ip6(const string& words) { setup("ip -6 " + words); }

  void devices() {
    for (const char* dev : {"va", "vc"}) {
      if (rnd_.percent(15)) {
        const int mtu = rnd_.pick({1280, 1281, 1288, 1400, 1492, 1499});
        setup(fmt::format("ip link set {} mtu {}", dev, mtu));
        (string_view(dev) == "va" ? d_.mtu_va : d_.mtu_vc) = mtu;
      }
      if (rnd_.percent(8))
        setup(fmt::format("ethtool -K {} {}", dev,
                          rnd_.pick({"tx off", "sg off", "gso off", "tx-udp-segmentation off"})));
      if (rnd_.percent(5)) setup(fmt::format("ip link set {} group 7", dev));
    }
  }

  void addresses() {
    struct Choice {
      const char* words;
      const char* addr;
      int percent;
    };
    static constexpr Choice kChoices[] = {
        {"2001:db8:77::5/64 dev va", "2001:db8:77::5", 20},
        {"2001:db8:77::6/128 dev va", "2001:db8:77::6", 10},
        {"2001:db8:78::7/64 dev vc valid_lft 1000 preferred_lft 0", "2001:db8:78::7", 10},
        {"2001:db8:79::1/64 dev lo", "2001:db8:79::1", 12},
        {"2001:db8:79::9/128 dev lo", "2001:db8:79::9", 6},
        {"fd00:77::1/64 dev va", "fd00:77::1", 15},
        {"fd00:78::1/64 dev vc", "fd00:78::1", 10},
        {"fec0::1/64 dev va", "fec0::1", 4},
        {"2002:a4d:1::1/64 dev vc", "2002:a4d:1::1", 8},
        {"2001::77/64 dev va", "2001::77", 5},
        {"2001:db8:1::77/64 dev va", "2001:db8:1::77", 6},
        {"2001:db8:82::1/64 dev va noprefixroute", "2001:db8:82::1", 5},
        {"2001:db8:83::1/64 dev vc metric 50", "2001:db8:83::1", 5},
        {"2001:db8:84::1 peer 2001:db8:84::2/128 dev va", "2001:db8:84::1", 5},
        {"2001:db8:77::1/64 dev vc", "2001:db8:77::1", 2},
        {"::5/128 dev lo", "::5", 2},
    };
    d_.locals = {"2001:db8:77::1", "2001:db8:78::1"};
    for (const Choice& c : kChoices) {
      if (!rnd_.percent(c.percent)) continue;
      ip6(fmt::format("addr add {} nodad", c.words));
      d_.locals.emplace_back(c.addr);
    }
    if (rnd_.percent(5)) ip6("addr del 2001:db8:77::1/64 dev va");
    if (rnd_.percent(6))
      setup(fmt::format("ip addrlabel add prefix {} label {}",
                        rnd_.pick({"2001:db8:77::/64", "2001:db8:1::/48", "fd00::/16"}),
                        rnd_.pick({1, 99})));
  }

  void neighbours() {
    static constexpr std::pair<const char*, const char*> kOnLink[] = {
        {"2001:db8:77::99", "va"}, {"2001:db8:77::150", "va"}, {"2001:db8:78::9", "vc"},
        {"fe80::9", "va"},         {"fe80::9", "vc"},          {"2001:db8:99::9", "va"},
        {"2001:db8:1::3", "va"},   {"fd00:77::2", "va"},       {"2001:db8:84::2", "va"}};
    for (const auto& [addr, dev] : kOnLink)
      if (rnd_.percent(35))
        ip6(fmt::format("neigh add {} lladdr 02:00:00:00:00:{:02x} dev {} nud {}{}", addr,
                        rnd_.between(1, 9), dev,
                        rnd_.pick({"permanent", "permanent", "noarp", "reachable"}),
                        rnd_.pick({"", "", "", " router"})));
  }

  string gateway() {
    return rnd_.pick({"via 2001:db8:77::2", "via 2001:db8:77::2", "via fe80::ff:fe77:2 dev va",
                      "via 2001:db8:78::2", "via fe80::ff:fe78:2 dev vc",
                      "via 2001:db8:78::9 dev vc", "via 2001:db8:99::9 dev va onlink"});
  }

  void nexthops() {
    if (!rnd_.percent(12)) return;
    const auto add = [&](const char* id, const string& words) {
      ip6(fmt::format("nexthop add id {} {}", id, words));
      d_.nexthops.emplace_back(id);
    };
    add("1", "via 2001:db8:77::2 dev va");
    add("2", "via fe80::ff:fe78:2 dev vc");
    if (rnd_.percent(25)) add("3", "dev va");
    if (rnd_.percent(25)) add("4", "blackhole");
    if (!rnd_.percent(50)) return;
    add("9", fmt::format("group 1,{}/2,{}", rnd_.between(1, 5), rnd_.between(1, 5)));
    pin();
  }

  void pin() {
    if (d_.multipath) return;
    d_.pin_multipath();
    setup(fmt::format("sysctl -w net.ipv6.fib_multipath_hash_policy={}", rnd_.pick({0, 0, 1, 2})));
  }

  void route() {
    const string prefix = rnd_.pick({"default", "default", "2001:db8:1::/48", "2001:db8:1:2::/64",
                                     "2001:db8:1::3/128", "2001:db8::/32", "2001:db8:2::/48",
                                     "fd00::/8", "2001:db8:77::99/128", "2001:db8:77::/112",
                                     "ff05::/16", "2000::/3", "2001:db8:78::/64", "::/1"});
    const string table = rnd_.pick({"", "", "", "", " table 100", " table 100", " table 200"});
    const char* metric = rnd_.pick({"", "", "", " metric 50", " metric 100", " metric 2000"});
    const char* verb = rnd_.pick({"add", "add", "add", "append", "replace"});
    const string_view type = rnd_.pick(
        {"", "", "", "", "", "", "", "", "blackhole ", "unreachable ", "prohibit ", "throw "});
    string words = fmt::format("route {} {}{}{}{}", verb, type, prefix, table, metric);
    if (!type.empty()) return ip6(words);
    if (!d_.nexthops.empty() && rnd_.percent(50))
      return ip6(fmt::format("{} nhid {}", words, rnd_.pick(d_.nexthops)));
    if (rnd_.percent(10)) {
      pin();
      return ip6(fmt::format(
          "{} nexthop via 2001:db8:77::2 weight {} nexthop via 2001:db8:78::2 weight {}", words,
          rnd_.between(1, 4), rnd_.between(1, 4)));
    }
    words += ' ';
    words += rnd_.percent(80) ? gateway() : string(rnd_.pick({"dev va", "dev vc", "dev lo"}));
    if (rnd_.percent(20)) words += " src " + rnd_.pick(d_.locals);
    if (rnd_.percent(12)) words += fmt::format(" mtu {}", rnd_.pick({1280, 1300, 1400, 1500}));
    if (rnd_.percent(8)) words += fmt::format(" hoplimit {}", rnd_.between(1, 255));
    if (rnd_.percent(8)) words += rnd_.pick({" pref low", " pref high", " pref medium"});
    ip6(words);
  }

  void rule() {
    string words;
    for (int n = rnd_.pick({0, 1, 1, 1, 2, 2}); n > 0; --n) {
      const string s = rnd_.pick({"from 2001:db8:77::1",
                                  "from 2001:db8:78::/64",
                                  "from 2001:db8:77::5",
                                  "to 2001:db8:1::/48",
                                  "to 2001:db8:1::3",
                                  "to ff00::/8",
                                  "fwmark 0x10",
                                  "fwmark 0x10/0xf0",
                                  "tos 0x10",
                                  "oif vc",
                                  "oif va",
                                  "uidrange 0-0",
                                  "uidrange 1000-2000",
                                  "ipproto udp",
                                  "ipproto tcp",
                                  "dport 53",
                                  "dport 50-60",
                                  "sport 4000",
                                  "iif lo",
                                  "iif va"});
      if (words.find(s.substr(0, s.find(' '))) == string::npos) words += " " + s;
    }
    if (!words.empty() && rnd_.percent(12)) words = " not" + words;
    const int pref = rnd_.between(1, 32000);
    const string action =
        rnd_.pick({"lookup 100", "lookup 100", "lookup 200", "lookup main", "lookup local",
                   "lookup main suppress_prefixlength 0", "lookup 100 suppress_prefixlength 48",
                   "lookup main suppress_ifgroup 7", "lookup 4242", "prohibit", "blackhole",
                   "unreachable", "nop", "goto"});
    ip6(fmt::format("rule add pref {}{} {}{}", pref, words, action,
                    action == "goto" ? fmt::format(" {}", rnd_.pick({32766, pref + 200})) : ""));
  }

  void sysctl() {
    setup(string("sysctl -w ") +
          rnd_.pick({"net.ipv6.conf.va.hop_limit=9", "net.ipv6.auto_flowlabels=1",
                     "net.ipv6.auto_flowlabels=3", "net.ipv6.ip_nonlocal_bind=1",
                     "net.ipv6.bindv6only=1", "net.ipv6.flowlabel_state_ranges=1",
                     "net.ipv6.conf.va.use_oif_addrs_only=1", "net.ipv4.ip_default_ttl=33"}));
  }

  string device() { return rnd_.pick({"va", "va", "vc", "lo"}); }
  string port() { return rnd_.pick({"53", "53", "5000", "9"}); }

  string destination() {
    if (rnd_.percent(12)) return fmt::format("[{}]", rnd_.pick(d_.locals));
    return rnd_.pick({"[2001:db8:1::3]",
                      "[2001:db8:1::3]",
                      "[2001:db8:1::4]",
                      "[2001:db8:1:2::9]",
                      "[2001:db8:2::1]",
                      "[2001:db8:77::2]",
                      "[2001:db8:77::2]",
                      "[2001:db8:77::2]",
                      "[2001:db8:78::2]",
                      "[2001:db8:77::99]",
                      "[fe80::ff:fe77:2%va]",
                      "[fe80::ff:fe78:2%vc]",
                      "[fe80::9%va]",
                      "[fe80::ff:fe77:2]",
                      "[ff02::1%va]",
                      "[ff02::77%vc]",
                      "[ff05::77]",
                      "[ff01::1%lo]",
                      "[::1]",
                      "[::]",
                      "[::ffff:10.77.0.2]",
                      "[::ffff:10.1.2.3]",
                      "[::ffff:127.0.0.1]",
                      "[fd00:77::2]",
                      "[fd00:5::5]",
                      "[2001:db8:84::2]",
                      "[2001:db8:79::77]",
                      "[2620::1]",
                      "[2001:db8:77::]"});
  }

  string source() {
    if (rnd_.percent(45)) return "[::]";
    if (rnd_.percent(70)) return fmt::format("[{}]", rnd_.pick(d_.locals));
    return rnd_.pick({"[::1]", "[fe80::ff:fe77:1%va]", "[fe80::ff:fe78:1%vc]", "[fe80::ff:fe77:1]",
                      "[ff02::1%va]", "[::ffff:10.77.0.1]", "[2001:db8:9::9]",
                      "[::ffff:127.0.0.1]"});
  }

  int length() {
    const int mtu = rnd_.pick({d_.mtu_va, d_.mtu_vc, 1280});
    switch (rnd_.between(0, 9)) {
      case 0: return rnd_.pick({0, 0, 1, 7, 8, 9});
      case 1:
      case 2: return mtu - 48 + rnd_.between(-2, 2);
      case 3: return 2 * (mtu - 48) - 8 + rnd_.between(-9, 9);
      case 4: return rnd_.between(1, 4000);
      case 5: return rnd_.percent(15) ? rnd_.pick({65527, 65528, 65535, 30000}) : 1453;
      case 6: return mtu - 48 - rnd_.pick({8, 16, 24}) + rnd_.between(-1, 1);
      default: return rnd_.between(1, 200);
    }
  }

  string headers() {
    return rnd_.pick({"0000010400000000", "0000010400000000", "0000050200000000",
                      "0001010c000000000000000000000000", "00000100", "0000c20400010000"});
  }

  void receiver() {
    receiver_ = true;
    line("socket r inet6");
    line(fmt::format("bind r {}:5000", rnd_.percent(70) ? string("[::]") : source()));
    if (rnd_.percent(30)) membership("r");
  }

  // Of this interface only, or of what sends no report.
  void membership(const string& s) {
    line(fmt::format(
        "setsockopt {} {} mreq6 {} {}", s,
        rnd_.pick({"IPV6_ADD_MEMBERSHIP", "IPV6_ADD_MEMBERSHIP", "IPV6_DROP_MEMBERSHIP"}),
        rnd_.pick({"ff02::77", "ff05::77", "ff01::77"}), device()));
  }

  void open(const string& s, int number) {
    socks_.push_back(s);
    line("socket " + s + " inet6");
    for (int n = rnd_.pick({0, 0, 1, 1, 2, 3}); n > 0; --n) option(s);
    if (d_.multipath || rnd_.percent(85))
      line(fmt::format("bind {} {}:{}", s, d_.multipath ? "[::]" : source(), 4000 + number));
    if (rnd_.percent(30)) connect(s);
    if (rnd_.percent(60))
      line(fmt::format("sendto {} {}:53 len {}", s,
                       rnd_.pick({"[2001:db8:77::2]", "[2001:db8:78::2]", "[2001:db8:1::3]"}),
                       rnd_.between(0, 200)));
  }

  void connect(const string& s) {
    if (rnd_.percent(12)) return line(fmt::format("connect {} unspec", s));
    line(fmt::format("connect {} {}:{}", s, destination(), port()));
  }

  void option(const string& s) {
    if (rnd_.percent(5)) return membership(s);
    const string dev = device();
    const std::vector<string> all = {
        fmt::format("IPV6_UNICAST_HOPS {}", rnd_.pick({1, 9, 255, -1, 0, 256})),
        fmt::format("IPV6_MULTICAST_HOPS {}", rnd_.pick({0, 1, 9, 255, -1})),
        fmt::format("IPV6_TCLASS {}", rnd_.pick({"0x10", "0xb8", "3", "255", "-1", "256"})),
        fmt::format("IPV6_MULTICAST_IF dev {}", dev),
        fmt::format("IPV6_MULTICAST_LOOP {}", rnd_.between(0, 1)),
        fmt::format("IPV6_UNICAST_IF be32 dev {}", dev),
        fmt::format("IPV6_MTU_DISCOVER {}", rnd_.between(0, 5)),
        fmt::format("IP_MTU_DISCOVER {}", rnd_.between(0, 5)),
        string("IPV6_DONTFRAG 1"),
        fmt::format("IPV6_MTU {}", rnd_.pick({1280, 1400, 1279, 0})),
        fmt::format("IPV6_V6ONLY {}", rnd_.between(0, 1)),
        fmt::format("IPV6_HOPOPTS hex {}", headers()),
        fmt::format("IPV6_DSTOPTS hex {}", headers()),
        fmt::format("IPV6_RTHDRDSTOPTS hex {}", headers()),
        string("IPV6_FREEBIND 1"),
        string("IPV6_TRANSPARENT 1"),
        string("IPV6_FLOWINFO_SEND 1"),
        fmt::format("IPV6_AUTOFLOWLABEL {}", rnd_.between(0, 1)),
        fmt::format("IPV6_ADDR_PREFERENCES {}", rnd_.pick({1, 2, 4, 8, 0x100})),
        "SO_BINDTODEVICE name " + dev,
        fmt::format("SO_MARK {}", rnd_.pick({"0x10", "0x11", "5"})),
        fmt::format("SO_PRIORITY {}", rnd_.between(0, 7)),
        fmt::format("SO_DONTROUTE {}", rnd_.between(0, 1)),
        string("SO_NO_CHECK 1"),
        string("UDP_NO_CHECK6_TX 1"),
        string("SO_BROADCAST 1"),
        string("SO_REUSEADDR 1"),
        fmt::format("IP_TOS {}", rnd_.pick({"0x10", "0xb8"})),
        fmt::format("IP_TTL {}", rnd_.pick({"7", "255"})),
        fmt::format("UDP_SEGMENT {}", rnd_.pick({0, 100, 500, 1400, d_.mtu_va - 48})),
        string("UDP_CORK 1"),
    };
    line(fmt::format("setsockopt {} {}", s, rnd_.pick(all)));
  }

  string control() {
    switch (rnd_.between(0, 9)) {
      case 0:
      case 1:
        return fmt::format(" cmsg IPV6_PKTINFO pktinfo6 {} {}", rnd_.percent(45) ? "-" : device(),
                           rnd_.percent(40) ? "::" : rnd_.pick(d_.locals));
      case 2: return fmt::format(" cmsg IPV6_HOPLIMIT {}", rnd_.pick({1, 9, 255, -1, 256}));
      case 3: return fmt::format(" cmsg IPV6_TCLASS {}", rnd_.pick({"0x10", "0xb8", "-1", "256"}));
      case 4: return fmt::format(" cmsg SO_MARK {}", rnd_.pick({"0x10", "7"}));
      case 5: return " cmsg IPV6_HOPOPTS hex " + headers();
      case 6: return " cmsg IPV6_DSTOPTS hex " + headers();
      case 7: return fmt::format(" cmsg IPV6_DONTFRAG {}", rnd_.between(0, 1));
      case 8: return " cmsg SO_PRIORITY 4";
      default: return fmt::format(" cmsg UDP_SEGMENT {}", rnd_.pick({0, 1, 50, 500, 1400, 1452}));
    }
  }

  string what() {
    const int n = length();
    string words;
    if (rnd_.percent(25)) words += control();
    if (rnd_.percent(5)) words += control();
    if (rnd_.percent(6)) words += " MSG_MORE";
    if (rnd_.percent(3)) words += " MSG_DONTROUTE";
    if (rnd_.percent(2)) words += " MSG_CONFIRM";
    if (rnd_.percent(1)) words += " MSG_OOB";
    return fmt::format("len {}{}", std::max(n, 0), words);
  }

  void call() {
    const string s = rnd_.pick(socks_);
    const int kind = rnd_.between(0, 99);
    if (kind < 25) return line(fmt::format("send {} {}", s, what()));
    if (kind < 72)
      return line(fmt::format("sendto {} {}:{}{} {}", s, destination(), port(),
                              rnd_.percent(5) ? " flowinfo 0x12345" : "", what()));
    if (kind < 82) return option(s);
    if (kind < 88) return connect(s);
    if (kind < 90) return line("getsockname " + s);
    if (kind < 94)
      return line(fmt::format("getsockopt {} {}", s,
                              rnd_.pick({"IPV6_MTU", "IPV6_TCLASS", "IPV6_UNICAST_HOPS",
                                         "IPV6_MULTICAST_HOPS", "IPV6_MTU_DISCOVER", "SO_ERROR"})));
    if (kind < 96) return line(fmt::format("setsockopt {} UDP_CORK {}", s, rnd_.between(0, 1)));
    if (kind < 97) return line(fmt::format("bind {} {}:4100", s, source()));
    route();
  }

  Draft& d_;
  RandomSource& rnd_;
  std::vector<string> socks_;
  bool receiver_ = false;
};

}  // namespace

void random_ipv6(Draft& draft) { Ipv6Author(draft).write(); }

}  // namespace txp::kdiff
