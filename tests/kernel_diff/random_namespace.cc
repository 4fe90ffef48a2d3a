// SPDX-License-Identifier: Apache-2.0
// The namespace of a random scenario. A line that the commands refuse is taken out by the runner,
// so the dice need not know what goes together.
#include <algorithm>
#include <string_view>
#include <utility>

#include "kernel_diff/random_draft.h"

namespace txp::kdiff {
namespace {

using std::string;
using std::string_view;

class NamespaceAuthor {
 public:
  explicit NamespaceAuthor(Draft& draft) : d_(draft), rnd_(draft.rnd) {}

  void write() {
    for (int n = rnd_.pick({0, 0, 0, 0, 0, 1, 1, 2}); n > 0; --n) sysctl();
    devices();
    addresses();
    neighbours();
    nexthops();
    for (int n = rnd_.between(0, 5); n > 0; --n) route();
    for (int n = rnd_.pick({0, 0, 0, 1, 1, 2, 3, 5}); n > 0; --n) rule();
    for (int n = rnd_.pick({0, 0, 0, 1, 1, 2}); n > 0; --n) sysctl();
    if (rnd_.percent(12)) taken_away();
    devices_down();
  }

 private:
  void setup(const string& words) { d_.setup(words); }
  static bool contains(const string& in, const char* what) { return in.find(what) != string::npos; }

  void addresses() {
    struct Choice {
      const char* words;
      const char* addr;
      int percent;
    };
    static constexpr Choice kChoices[] = {
        {"10.77.0.5/24 dev va", "10.77.0.5", 20},
        {"10.77.0.6/32 dev va", "10.77.0.6", 10},
        {"10.77.0.7/24 dev vc", "10.77.0.7", 4},
        {"10.77.1.1/24 brd + dev va", "10.77.1.1", 12},
        {"10.77.3.1/24 brd 10.77.3.7 dev va", "10.77.3.1", 6},
        {"10.77.0.129/25 brd + dev va", "10.77.0.129", 6},
        {"10.77.9.1/16 dev vc", "10.77.9.1", 5},
        {"10.0.0.1/8 dev va", "10.0.0.1", 3},
        {"192.168.5.1 peer 192.168.5.2/32 dev vc", "192.168.5.1", 10},
        {"192.168.6.1 peer 192.168.7.1/24 dev va", "192.168.6.1", 8},
        {"192.168.5.1 peer 192.168.5.3/32 dev va", "192.168.5.1", 4},
        {"10.79.0.1/24 dev lo", "10.79.0.1", 12},
        {"10.79.1.1/32 dev lo", "10.79.1.1", 8},
        {"172.16.0.1/30 dev vc", "172.16.0.1", 8},
        {"172.16.0.2/30 brd + dev vc", "172.16.0.2", 5},
        {"172.16.0.5/31 dev vc", "172.16.0.5", 8},
        {"172.16.0.8/31 brd + dev va", "172.16.0.8", 5},
        {"169.254.3.1/16 dev va scope link", "169.254.3.1", 8},
        {"10.81.0.1/24 dev va scope host", "10.81.0.1", 6},
        {"10.82.0.1/24 dev va noprefixroute", "10.82.0.1", 5},
        {"10.82.1.1/24 dev vc metric 300", "10.82.1.1", 5},
        {"10.82.2.1/24 dev va valid_lft 1000 preferred_lft 0", "10.82.2.1", 4},
        {"10.82.3.1/24 dev va scope 100", "10.82.3.1", 3},
        {"127.9.9.9/8 dev va", "127.9.9.9", 2},
        {"127.0.0.9/32 dev lo", "127.0.0.9", 3},
        {"10.77.0.1/32 dev vc", "10.77.0.1", 3},
        {"10.77.0.1/16 dev va", "10.77.0.1", 3},
        {"240.0.0.1/24 dev va", "240.0.0.1", 2},
        {"0.1.2.3/24 dev va", "0.1.2.3", 2},
        {"10.86.0.1/0 dev vc", "10.86.0.1", 1},
    };
    d_.locals = {"10.77.0.1", "10.78.0.1"};
    if (rnd_.percent(4)) {
      setup("ip addr del 10.78.0.1/24 dev vc");
      d_.vc_has_address = false;
      d_.locals.pop_back();
    }
    for (const Choice& c : kChoices) {
      if (!rnd_.percent(c.percent)) continue;
      setup(fmt::format("ip addr add {}", c.words));
      d_.locals.emplace_back(c.addr);
      d_.added.emplace_back(c.words);
    }
    if (d_.macvlan) {
      setup("ip addr add 10.87.0.1/24 brd + dev mv0");
      d_.locals.emplace_back("10.87.0.1");
    }
  }

  void devices() {
    for (const char* dev : {"va", "vc"}) {
      const bool va = string_view(dev) == "va";
      if (rnd_.percent(18)) {
        const int mtu = rnd_.pick({68, 69, 76, 100, 256, 552, 576, 1000, 1280, 1492, 1499});
        setup(fmt::format("ip link set {} mtu {}", dev, mtu));
        (va ? d_.mtu_va : d_.mtu_vc) = mtu;
      } else if (rnd_.percent(6)) {
        d_.line(fmt::format("peer ip link set {} mtu 9000", va ? "vb" : "vd"));
        const int mtu = rnd_.pick({1501, 4000, 9000});
        setup(fmt::format("ip link set {} mtu {}", dev, mtu));
        (va ? d_.mtu_va : d_.mtu_vc) = mtu;
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
    if (!rnd_.percent(6)) return;
    d_.macvlan = true;
    setup(fmt::format("ip link add mv0 link va address 02:00:00:77:00:33 type macvlan mode {}",
                      rnd_.pick({"bridge", "private", "vepa"})));
    if (rnd_.percent(85)) setup("ip link set mv0 up");
    if (rnd_.percent(20)) setup(fmt::format("ip link set mv0 mtu {}", rnd_.pick({576, 1200})));
  }

  // After everything that a device must be up for.
  void devices_down() {
    if (rnd_.percent(4)) setup("ip link set vc down");
    if (rnd_.percent(2)) {
      setup("ip link set va arp off");  // its ARP would be dropped where nobody sees it
      setup("ip link set va down");
    }
    if (rnd_.percent(4)) {
      // Without a carrier the device drops the kernel's ARP where nobody sees it, and counts it.
      setup("ip link set vc arp off");
      d_.line("peer ip link set vd down");
    }
    if (rnd_.percent(1)) setup("ip link set lo down");
    if (d_.macvlan && rnd_.percent(10)) setup("ip link del mv0");
  }

  void neighbours() {
    static constexpr std::pair<const char*, const char*> kOnLink[] = {
        {"10.77.0.2", "va"},   {"10.77.0.99", "va"},  {"10.77.0.150", "va"}, {"10.78.0.2", "vc"},
        {"10.78.0.9", "vc"},   {"192.168.5.2", "vc"}, {"172.16.0.2", "vc"},  {"10.99.9.9", "va"},
        {"10.1.2.3", "va"},    {"169.254.3.9", "va"}, {"10.1.2.4", "vc"},    {"10.87.0.2", "mv0"},
        {"192.168.7.9", "va"}, {"172.16.0.4", "vc"},  {"172.16.0.9", "va"},  {"10.82.0.2", "va"},
    };
    for (const auto& [addr, dev] : kOnLink) {
      // ARP that a device below mv0 drops is counted there and seen nowhere, so there is none.
      const bool mv0 = string_view(dev) == "mv0";
      if (mv0 && !d_.macvlan) continue;
      if (!mv0 && !rnd_.percent(string_view(addr) == "10.77.0.2" ? 50 : 30)) continue;
      const char* state = rnd_.pick(
          {"permanent", "permanent", "permanent", "noarp", "stale", "reachable", "delay", "probe"});
      setup(fmt::format("ip neigh add {} lladdr 02:00:00:00:00:{:02x} dev {} nud {}{}", addr,
                        rnd_.between(1, 9), dev, mv0 ? "permanent" : state,
                        rnd_.pick({"", "", "", "", " router", " extern_learn"})));
    }
  }

  string gateway() {
    if (d_.macvlan && rnd_.percent(15)) return "via 10.87.0.2";
    if (!d_.vc_has_address || rnd_.percent(60))
      return rnd_.pick({"via 10.77.0.2", "via 10.77.0.2", "via 10.77.0.2", "via 10.77.0.150",
                        "via 10.99.9.9 dev va onlink", "via 10.77.0.2 dev vc onlink",
                        "via 192.168.7.9"});
    return rnd_.pick({"via 10.78.0.2", "via 10.78.0.2", "via 10.78.0.9 dev vc", "via 172.16.0.4",
                      "via 10.78.0.2 dev vc onlink"});
  }

  void nexthops() {
    if (!rnd_.percent(15)) return;
    const auto add = [&](const char* id, const string& words) {
      setup(fmt::format("ip nexthop add id {} {}", id, words));
      d_.nexthops.emplace_back(id);
    };
    add("1", "via 10.77.0.2 dev va");
    if (d_.vc_has_address) add("2", "via 10.78.0.2 dev vc");
    if (rnd_.percent(30)) add("3", "dev va");
    if (rnd_.percent(25)) add("4", "blackhole");
    if (rnd_.percent(25)) add("5", "via 10.99.9.9 dev va onlink");
    if (rnd_.percent(15)) add("6", "dev lo");
    if (d_.vc_has_address && rnd_.percent(50)) {
      add("9", fmt::format("group 1,{}/2,{}{}", rnd_.between(1, 5), rnd_.between(1, 5),
                           rnd_.percent(30) ? "/5,2" : ""));
      d_.pin_multipath();
    }
    if (rnd_.percent(15)) add("10", "group 1");
    if (rnd_.percent(10)) add("11", "group 4");
  }

  void own_local_table() {
    if (rules_) return;
    rules_ = true;
    setup("ip rule add pref 32700 nop");
  }

  void route() {
    const string prefix = rnd_.pick({"default",        "default",
                                     "10.1.0.0/16",    "10.1.2.0/24",
                                     "10.1.2.3/32",    "10.2.0.0/16",
                                     "10.0.0.0/8",     "203.0.113.0/24",
                                     "224.0.0.0/4",    "239.1.1.1/32",
                                     "10.77.0.128/25", "10.77.0.99/32",
                                     "192.168.0.0/16", "10.1.2.2/31",
                                     "0.0.0.0/1",      "128.0.0.0/1",
                                     "10.77.0.0/24",   "10.77.0.2/32",
                                     "10.78.0.0/24",   "224.0.0.77/32",
                                     "240.0.0.0/4",    "255.255.255.255/32",
                                     "10.1.2.3/31",    "10.77.0.1/32",
                                     "127.0.0.0/16"});
    const string table =
        rnd_.pick({"", "", "", "", " table 100", " table 100", " table 200", " table 200",
                   " table default", " table local", " table 100000"});
    const char* metric = rnd_.pick({"", "", "", " metric 50", " metric 100"});
    const char* tos = rnd_.pick({"", "", "", "", "", "", "", " tos 0x10", " tos 0x08"});
    const char* verb = rnd_.pick({"add", "add", "add", "add", "append", "prepend", "replace"});
    const char* type = rnd_.pick({"",          "",       "",       "",           "",
                                  "",          "",       "",       "",           "",
                                  "",          "",       "",       "blackhole ", "unreachable ",
                                  "prohibit ", "throw ", "local ", "broadcast ", "multicast ",
                                  "anycast "});
    // Until a namespace had its first rule its local and main tables are looked up as one.
    if (table == " table local" || string_view(type) == "local " ||
        string_view(type) == "broadcast " || string_view(type) == "anycast ")
      own_local_table();
    string words = fmt::format("ip route {} {}{}{}{}{}", verb, type, prefix, table, metric, tos);
    d_.routes.push_back(prefix + table);
    const string_view kind = type;
    if (kind == "local " || kind == "broadcast " || kind == "multicast " || kind == "anycast ")
      return setup(words + rnd_.pick({" dev va", " dev va", " dev vc", " dev lo"}));
    if (!kind.empty()) return setup(words);
    if (!d_.nexthops.empty() && rnd_.percent(50))
      return setup(fmt::format("{} nhid {}{}", words, rnd_.pick(d_.nexthops),
                               rnd_.percent(15) ? " src " + rnd_.pick(d_.locals) : ""));
    if (d_.vc_has_address && rnd_.percent(12)) {
      d_.pin_multipath();
      words +=
          fmt::format(" nexthop via 10.77.0.2 weight {} nexthop via 10.78.0.2 dev vc weight {}",
                      rnd_.between(1, 4), rnd_.pick({1, 2, 3, 4, 100, 256}));
      if (rnd_.percent(30)) words += " nexthop via 10.77.0.150";
      if (rnd_.percent(15)) words += " nexthop dev va weight 2";
      if (rnd_.percent(15)) words += " nexthop via 10.99.9.9 dev va onlink";
      return setup(words);
    }
    words += ' ';
    words += rnd_.percent(75) ? gateway()
                              : string(rnd_.pick({"dev va", "dev va", "dev vc", "dev lo",
                                                  "dev va scope link", "dev va scope host",
                                                  "dev va scope global", "dev vc proto static"}));
    if (rnd_.percent(20)) words += " src " + rnd_.pick(d_.locals);
    if (rnd_.percent(15)) {
      // No more than the device's: known/fragment_longer_than_the_device.scn.
      const int most = std::max(d_.mtu_va, 1500);
      const int mtu = std::min(rnd_.pick({68, 100, 552, 600, 1000, 1400, 1500, 1501, 2000}), most);
      words += fmt::format(" mtu {}{}", rnd_.pick({"", "lock "}), mtu);
      d_.route_mtu = mtu;
    }
    if (rnd_.percent(6)) words += fmt::format(" hoplimit {}", rnd_.between(1, 255));
    if (rnd_.percent(6))
      words += rnd_.pick({" realm 5", " advmss 500", " initcwnd 3", " quickack 1", " rtt 50ms",
                          " features ecn", " window 4000", " realm 3/5"});
    setup(words);
  }

  string selector() {
    return rnd_.pick({"from 10.77.0.1",  "from 10.78.0.0/24",
                      "from 10.77.0.5",  "from 0.0.0.0/1",
                      "to 10.1.0.0/16",  "to 10.1.2.3",
                      "to 10.0.0.0/8",   "to 224.0.0.0/4",
                      "fwmark 0x10",     "fwmark 0x10/0xf0",
                      "fwmark 0x0/0xff", "tos 0x10",
                      "tos 0x08",        "oif vc",
                      "oif va",          "oif lo",
                      "oif nowhere",     "uidrange 1000-2000",
                      "uidrange 0-0",    "ipproto udp",
                      "ipproto tcp",     "dport 53",
                      "dport 50-60",     "dport 9",
                      "sport 4000",      "sport 4000-4001",
                      "iif lo",          "iif va"});
  }

  void rule() {
    const int pref = rnd_.percent(6) ? rnd_.pick({0, 32766, 32767, 40000}) : rnd_.between(1, 32000);
    string words;
    for (int n = rnd_.pick({0, 1, 1, 1, 1, 2, 2, 3}); n > 0; --n) {
      const string s = selector();
      if (contains(words, s.substr(0, s.find(' ')).c_str())) continue;
      words += " " + s;
    }
    if (!words.empty() && rnd_.percent(15)) words = " not" + words;
    const int below = rnd_.pick({32766, 32767, std::min(pref + rnd_.between(1, 500), 32767)});
    const string action = rnd_.pick({"lookup 100",
                                     "lookup 100",
                                     "lookup 200",
                                     "lookup 200",
                                     "lookup 100000",
                                     "lookup main",
                                     "lookup local",
                                     "lookup default",
                                     "lookup main suppress_prefixlength 0",
                                     "lookup main suppress_prefixlength 16",
                                     "lookup 100 suppress_prefixlength 0",
                                     "lookup 200 suppress_prefixlength 24",
                                     "lookup main suppress_ifgroup 7",
                                     "lookup 100 suppress_ifgroup 0",
                                     "lookup 4242",
                                     "prohibit",
                                     "blackhole",
                                     "unreachable",
                                     "nop",
                                     "goto"});
    setup(fmt::format("ip rule add pref {}{} {}{}", pref, words, action,
                      action == "goto" ? fmt::format(" {}", below) : ""));
  }

  void taken_away() {
    switch (rnd_.between(0, 5)) {
      case 0:
        if (!d_.added.empty()) {
          const string& words = rnd_.pick(d_.added);
          setup("ip addr del " + words.substr(0, words.find(" dev") + 7));
        }
        break;
      case 1:
        if (!d_.routes.empty()) setup("ip route del " + rnd_.pick(d_.routes));
        break;
      case 2: setup("ip rule del pref 32766"); break;
      case 3:
        setup("ip rule add pref 10 lookup local");
        setup("ip rule del pref 0");
        break;
      case 4: setup("ip addr del 10.77.0.1/24 dev va"); break;
      default: setup("ip route del 10.77.0.0/24 dev va"); break;
    }
  }

  void sysctl() {
    setup(string("sysctl -w net.ipv4.") + rnd_.pick({"ip_default_ttl=33",
                                                     "ip_no_pmtu_disc=1",
                                                     "ip_no_pmtu_disc=2",
                                                     "ip_no_pmtu_disc=3",
                                                     "ip_nonlocal_bind=1",
                                                     "ip_forward=1",
                                                     "ip_forward_use_pmtu=1",
                                                     "conf.all.ignore_routes_with_linkdown=1",
                                                     "fib_multipath_use_neigh=1",
                                                     "ip_local_reserved_ports=4000-4001",
                                                     "ip_unprivileged_port_start=0",
                                                     "conf.all.accept_local=1",
                                                     "conf.all.rp_filter=1",
                                                     "conf.lo.rp_filter=2",
                                                     "conf.all.src_valid_mark=1",
                                                     "conf.va.forwarding=1",
                                                     "conf.va.bc_forwarding=1",
                                                     "conf.va.promote_secondaries=1",
                                                     "conf.all.promote_secondaries=1",
                                                     "conf.va.accept_source_route=0",
                                                     "conf.all.accept_source_route=0",
                                                     "conf.all.disable_policy=1",
                                                     "conf.all.log_martians=1",
                                                     "conf.va.send_redirects=0",
                                                     "ip_dynaddr=1",
                                                     "ip_early_demux=0",
                                                     "ip_autobind_reuse=1",
                                                     "icmp_ratelimit=0",
                                                     "icmp_echo_ignore_broadcasts=0",
                                                     "icmp_errors_use_inbound_ifaddr=1",
                                                     "route.min_pmtu=600",
                                                     "fwmark_reflect=1",
                                                     "udp_early_demux=0",
                                                     "udp_wmem_min=9000",
                                                     "neigh.va.proxy_qlen=0",
                                                     "igmp_max_memberships=1",
                                                     "fib_sync_mem=65536"}));
  }

  Draft& d_;
  RandomSource& rnd_;
  bool rules_ = false;
};

}  // namespace

void random_namespace(Draft& draft) { NamespaceAuthor(draft).write(); }

void random_change(Draft& d) {
  // What is corked keeps a deleted route for a grace period, however long that is.
  if (d.mentions("MSG_MORE") || d.mentions("UDP_CORK")) return;
  RandomSource& rnd = d.rnd;
  switch (rnd.between(0, 15)) {
    case 0: return d.setup("ip route replace default via 10.77.0.150");
    case 1: return d.setup("ip route replace 10.1.2.0/24 via 10.77.0.2");
    case 2:
      return d.setup("ip neigh replace 10.77.0.2 lladdr 02:00:00:00:00:0a dev va nud permanent");
    case 3:
      return d.setup("ip neigh replace 10.77.0.99 lladdr 02:00:00:00:00:0b dev va nud permanent");
    case 4: return d.setup("ip addr add 10.77.0.44/24 dev va");
    case 5:
      if (d.routes.empty()) return;
      return d.setup("ip route del " + rnd.pick(d.routes));
    case 6: return d.setup("ip addr del 10.77.0.1/24 dev va");
    case 7:
      if (d.added.empty()) return;
      {
        const string& words = rnd.pick(d.added);
        return d.setup("ip addr del " + words.substr(0, words.find(" dev") + 7));
      }
    case 8: return d.setup(fmt::format("ip link set va mtu {}", rnd.pick({576, 1000, 1400})));
    case 9: return d.setup("ip link set vc down");
    case 10: return d.setup("ip rule del pref 32766");
    case 11:
      if (d.nexthops.empty()) return;
      return d.setup("ip nexthop del id " + rnd.pick(d.nexthops));
    case 12:
      if (d.nexthops.empty()) return;
      return d.setup("ip nexthop replace id 1 via 10.77.0.150 dev va");
    case 13:
      if (!d.macvlan) return;
      return d.setup(rnd.pick({"ip link del mv0", "ip link set mv0 down", "ip link set mv0 up"}));
    case 14: return d.setup("ip route flush cache");
    default:
      return d.setup(
          fmt::format("ip rule add pref {} to 10.1.0.0/16 unreachable", rnd.between(32001, 32700)));
  }
}

}  // namespace txp::kdiff
