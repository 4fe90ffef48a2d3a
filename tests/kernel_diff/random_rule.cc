// SPDX-License-Identifier: Apache-2.0
#include "kernel_diff/random_rule.h"

#include <fmt/format.h>

namespace txp::kdiff {
namespace {

using std::string;

const char* some_port(RandomSource& rnd) {
  return rnd.pick({"53", "53", "5000", "9", "5001", "4000", "4001", "4100", "80"});
}
const char* some_address(RandomSource& rnd) {
  return rnd.pick({"10.1.2.3", "10.1.2.4", "10.77.0.2", "10.78.0.2", "10.77.0.1", "127.0.0.1",
                   "239.1.1.1", "10.77.0.255", "10.2.0.1"});
}
const char* some_prefix(RandomSource& rnd) {
  return rnd.pick({"10.0.0.0/8", "10.1.0.0/16", "10.77.0.0/24", "10.77.0.0/30", "127.0.0.0/8",
                   "224.0.0.0/4", "10.1.2.0/25", "0.0.0.0/1"});
}
const char* some_mark(RandomSource& rnd) {
  return rnd.pick({"0x0", "0x5", "0x7", "0x10", "0x11", "0x12", "0xf0"});
}

class RuleAuthor {
 public:
  RuleAuthor(RandomSource& rnd, const RuleWhere& where) : rnd_(rnd), where_(where) {}

  string write(std::size_t next) {
    string words;
    for (int n = rnd_.pick({0, 1, 1, 1, 2, 3}); n > 0; --n) words += " " + match();
    words += " " + (where_.counters.empty() || rnd_.percent(70) ? string("counter")
                                                                : rnd_.pick(where_.counters));
    if (nat()) return words + " " + (rnd_.percent(80) ? translation() : verdict(next));
    if (rnd_.percent(55)) words += " " + change();
    if (rnd_.percent(65)) words += " " + verdict(next);
    return words;
  }

 private:
  bool nat() const {
    return where_.place == Place::nat_output || where_.place == Place::nat_postrouting;
  }
  bool may_reject() const {
    return where_.place == Place::output || where_.place == Place::route ||
           (where_.place == Place::any && !egress() && rnd_.percent(30));
  }
  bool egress() const { return where_.family == "netdev"; }
  string port() { return some_port(rnd_); }
  string address() { return some_address(rnd_); }
  string prefix() { return some_prefix(rnd_); }
  string mark() { return some_mark(rnd_); }

  string match() {
    if (!where_.sets.empty() && rnd_.percent(25)) return rnd_.pick(where_.sets);
    switch (rnd_.between(0, 4)) {
      case 0: return of_packet();
      case 1: return of_meta();
      case 2: return egress() ? of_header() : of_connection();
      default: return of_header();
    }
  }

  string of_header() {
    switch (rnd_.between(0, 19)) {
      case 0:
      case 1: return "udp dport " + port();
      case 2: return "udp dport != " + port();
      case 3: return fmt::format("udp dport {{ {}, {}, 65535 }}", port(), "77");
      case 4:
        return fmt::format("udp sport {}-{}", rnd_.between(1, 4000), rnd_.between(4001, 9000));
      case 5: return fmt::format("udp dport != {{ 1-{}, 60000-65535 }}", rnd_.between(50, 5000));
      case 6: return "ip daddr " + address();
      case 7: return "ip daddr != " + prefix();
      case 8: return "ip daddr " + prefix();
      case 9: return "ip saddr " + prefix();
      case 10: return fmt::format("ip daddr {{ {}, {} }}", address(), "192.0.2.0/24");
      case 11: return fmt::format("ip saddr {}-10.77.0.4", rnd_.pick({"10.77.0.0", "10.0.0.0"}));
      case 12:
        return fmt::format("ip daddr . udp dport {{ {} . {}, 10.1.2.3 . 53 }}", address(), port());
      case 13: return fmt::format("ip saddr . ip daddr != {{ 10.77.0.1 . {} }}", address());
      case 14:
        return fmt::format("ip dscp {}",
                           rnd_.pick({"0x00", "0x04", "{ 0x2e, 0x0a-0x20 }", "!= 0x02"}));
      case 15: return fmt::format("ip ecn {}", rnd_.pick({"not-ect", "ect0", "ce"}));
      case 16: return fmt::format("th dport {}", rnd_.pick({"53", "< 1024", "{ 9, 5000-5001 }"}));
      case 17:
        return fmt::format("ip daddr & 0.0.0.{} == 0.0.0.{}", rnd_.pick({"3", "7", "255"}),
                           rnd_.pick({"1", "2", "3"}));
      case 18: return fmt::format("ip version {}", rnd_.pick({"4", "6"}));
      default:
        return fmt::format("@th,16,16 {} {}", rnd_.pick({"==", "!=", "<"}),
                           rnd_.pick({"53", "5000"}));
    }
  }

  string of_packet() {
    switch (rnd_.between(0, 11)) {
      case 0:
        return fmt::format("ip ttl {} {}", rnd_.pick({"<", ">", "!=", "=="}),
                           rnd_.pick({1, 7, 64, 65, 255}));
      case 1:
        return fmt::format("meta length {} {}", rnd_.pick({"<", ">", ">=", "<="}),
                           rnd_.pick({28, 100, 128, 576, 1500}));
      case 2: return fmt::format("ip frag-off and 0x4000 {} 0", rnd_.pick({"==", "!="}));
      case 3:
        return fmt::format("udp length {} {}", rnd_.pick({"<", ">"}), rnd_.pick({9, 100, 1000}));
      case 4: return fmt::format("ip length {}", rnd_.pick({"< 100", "> 576", "29-60"}));
      case 5:
        return fmt::format("@th,{},{} != 0", rnd_.pick({64, 72, 400, 12000}),
                           rnd_.pick({8, 16, 32}));
      case 6: return fmt::format("@nh,{},8 > {}", rnd_.pick({0, 8, 64, 72}), rnd_.between(0, 200));
      case 7: return fmt::format("udp checksum {}", rnd_.pick({"0", "!= 0"}));
      case 8:
        return fmt::format("limit rate {}1/hour burst {} packets", rnd_.pick({"", "over "}),
                           rnd_.between(1, 4));
      case 9:
        return fmt::format("limit rate {}1 bytes/hour burst {} bytes", rnd_.pick({"", "over "}),
                           rnd_.pick({100, 300, 2000}));
      case 10:
        return fmt::format("quota {} {} bytes", rnd_.pick({"over", "until"}),
                           rnd_.pick({50, 400, 3000}));
      default: return fmt::format("numgen inc mod {} {}", rnd_.pick({3, 4}), rnd_.between(0, 2));
    }
  }

  string of_meta() {
    const bool early = where_.place == Place::output || where_.place == Place::route;
    switch (rnd_.between(0, early ? 18 : 16)) {
      case 0: return "meta mark " + mark();
      case 1: return fmt::format("meta mark and 0xf0 == {}", rnd_.pick({"0x10", "0x0", "0xf0"}));
      case 2: return fmt::format("meta mark > {}", mark());
      case 3: return fmt::format("meta mark != {{ {}, 0x10-0x11 }}", rnd_.pick({"0x7", "0x5"}));
      case 4:
        return fmt::format("oifname {}",
                           rnd_.pick({"va", "vc", "lo", "\"v*\"", "{ va, lo }", "!= va"}));
      case 5:
        return fmt::format("fib daddr type {}",
                           rnd_.pick({"local", "unicast", "broadcast", "multicast"}));
      case 6: return fmt::format("meta priority {}", rnd_.pick({"0:0", "0:6", "0:3"}));
      case 7:
        return fmt::format("meta l4proto {}", rnd_.pick({"udp", "{ tcp, udp }", "icmp", "!= udp"}));
      case 8:
        return fmt::format("meta skuid {}", rnd_.pick({"0", "1000", "< 1500", "{ 0, 3000 }"}));
      case 9: return fmt::format("meta oiftype {}", rnd_.pick({"ether", "loopback"}));
      case 10:
        return fmt::format("meta pkttype {}",
                           rnd_.pick({"host", "unicast", "broadcast", "multicast"}));
      case 11: return fmt::format("oif {}", rnd_.pick({"va", "lo"}));
      case 12: return fmt::format("oifgroup {}", rnd_.pick({"0", "7", "!= 7"}));
      case 13: return "meta protocol ip";
      case 14:
        if (where_.family != "inet") return "meta protocol ip";
        return fmt::format("meta nfproto {}", rnd_.pick({"ipv4", "ipv6"}));
      case 15: return fmt::format("iifname {}", rnd_.pick({"va", "!= lo"}));
      case 16:
        return fmt::format("jhash ip daddr . udp dport mod {} seed 0xdeadbeef {}",
                           rnd_.pick({3, 8}), rnd_.between(0, 2));
      case 17:
        return fmt::format("socket {}", rnd_.pick({"transparent 0", "transparent 1", "mark 0x10",
                                                   "wildcard 1", "wildcard 0"}));
      default:
        return fmt::format("rt ip nexthop {}",
                           rnd_.pick({"10.77.0.2", "10.78.0.2", "!= 10.77.0.2"}));
    }
  }

  string of_connection() {
    switch (rnd_.between(0, 11)) {
      case 0:
      case 1: return "ct state new";
      case 2: return "ct state established,related";
      case 3:
        return fmt::format("ct state {}",
                           rnd_.pick({"invalid", "untracked", "!= new", "{ new, untracked }"}));
      case 4: return "ct mark " + mark();
      case 5: return fmt::format("ct direction {}", rnd_.pick({"original", "reply"}));
      case 6:
        return fmt::format("ct status {}",
                           rnd_.pick({"confirmed", "seen-reply", "snat", "dnat", "! confirmed"}));
      case 7: return fmt::format("ct original ip daddr {}", address());
      case 8: return fmt::format("meta l4proto udp ct original proto-dst {}", port());
      case 9: return fmt::format("ct reply ip saddr {}", prefix());
      case 10: return fmt::format("ct protocol {}", rnd_.pick({"udp", "icmp"}));
      default: return fmt::format("ct original saddr {}", prefix());
    }
  }

  string change() {
    if (!where_.actions.empty() && rnd_.percent(20)) return rnd_.pick(where_.actions);
    switch (rnd_.between(0, 22)) {
      case 0:
      case 1:
      case 2: return "meta mark set " + mark();
      case 3: return "meta mark set meta mark or 0x10";
      case 4: return "meta mark set meta mark and 0xf xor 0x11";
      case 5: return fmt::format("ip ttl set {}", rnd_.between(1, 255));
      case 6: return fmt::format("ip dscp set {}", rnd_.pick({"0x04", "0x2e", "0x00"}));
      case 7: return fmt::format("ip ecn set {}", rnd_.pick({"ect0", "ce", "not-ect"}));
      case 8: return fmt::format("meta priority set 0:{}", rnd_.between(0, 7));
      case 9: return "meta mark set udp dport map { 53 : 0x11, 9 : 0x5, 5000-5001 : 0x10 }";
      case 10: return fmt::format("udp dport set {}", port());
      case 11:
        return fmt::format("ip daddr set {}", rnd_.pick({"10.77.0.2", "10.78.0.2", "10.1.2.3"}));
      case 12: return fmt::format("udp checksum set 0");
      case 13:
        return fmt::format("meta l4proto udp @th,{},{} set {}", rnd_.pick({64, 80, 800}),
                           rnd_.pick({16, 32}), rnd_.between(0, 65535));
      case 14: return fmt::format("ip saddr set {}", rnd_.pick({"10.77.0.1", "10.77.0.8"}));
      case 15: return egress() ? "log" : fmt::format("ct mark set {}", mark());
      case 16: return egress() ? "log" : "ct mark set meta mark";
      case 17: return egress() ? "log" : "meta mark set ct mark";
      case 18:
        return fmt::format("meta mark set jhash ip daddr . udp dport mod 16 seed 7 offset {}",
                           rnd_.pick({0, 16}));
      case 19: return fmt::format("meta mark set numgen inc mod 3 offset {}", rnd_.pick({0, 16}));
      case 20: return egress() ? "log" : "notrack";
      case 21: return "meta mark set ip daddr map { 10.77.0.2 : 0x10, 10.1.0.0/16 : 0x5 }";
      default:
        return rnd_.pick(
            {"log", "log prefix \"x\"", "meta pkttype set host", "meta mark set meta length"});
    }
  }

  string verdict(std::size_t next) {
    if (next == 0 && !where_.base_actions.empty() && rnd_.percent(20))
      return rnd_.pick(where_.base_actions);
    if (next < where_.chains.size() && rnd_.percent(35)) {
      const string to = where_.chains[next + rnd_.below(where_.chains.size() - next)];
      switch (rnd_.between(0, 4)) {
        case 0: return "goto " + to;
        case 1:
          return fmt::format("udp dport vmap {{ 53 : jump {}, 9 : drop, 5000 : return }}", to);
        case 2: return fmt::format("meta mark vmap {{ 0x0 : jump {}, 0x10-0x1f : continue }}", to);
        default: return "jump " + to;
      }
    }
    switch (rnd_.between(0, 14)) {
      case 0:
      case 1:
      case 2: return "drop";
      case 3:
      case 4:
      case 5: return "accept";
      case 6: return "return";
      case 7: return "continue";
      case 8:
        return "ip daddr vmap { 10.77.0.2 : drop, 10.0.0.0/10 : accept, 239.0.0.0/8 : return }";
      case 9:
        return egress() ? "accept"
                        : "ct state vmap { established : accept, invalid : drop, new : continue }";
      case 10:
        if (!may_reject()) return "drop";
        return fmt::format("reject with icmp type {}",
                           rnd_.pick({"port-unreachable", "host-unreachable", "net-unreachable",
                                      "prot-unreachable", "admin-prohibited", "net-prohibited",
                                      "host-prohibited"}));
      case 11:
        return where_.family == "inet" ? fmt::format("reject with icmpx type {}",
                                                     rnd_.pick({"no-route", "admin-prohibited"}))
                                       : "accept";
      case 12: return "numgen inc mod 2 vmap { 0 : accept, 1 : continue }";
      default: return "";
    }
  }

  string translation() {
    const string ip = where_.family == "inet" ? "ip " : "";
    if (where_.place == Place::nat_output) {
      switch (rnd_.between(0, 4)) {
        case 0:
          return fmt::format("dnat {}to {}", ip,
                             rnd_.pick({"10.77.0.2", "10.78.0.2", "127.0.0.1"}));
        case 1:
          return fmt::format("meta l4proto udp dnat {}to {}:{}", ip,
                             rnd_.pick({"10.77.0.2", "10.78.0.2"}), rnd_.pick({"53", "5353"}));
        case 2: return "redirect";
        case 3: return fmt::format("udp dport 1-65535 redirect to :{}", rnd_.pick({"5000", "53"}));
        default:
          return fmt::format("dnat {}to udp dport map {{ 53 : 10.77.0.2, 5000 : 10.78.0.2 }}", ip);
      }
    }
    switch (rnd_.between(0, 3)) {
      case 0:
        return fmt::format("snat {}to {}", ip, rnd_.pick({"10.77.0.5", "10.78.0.1", "10.9.9.9"}));
      case 1:
        return fmt::format("meta l4proto udp snat {}to 10.77.0.9:{}", ip,
                           rnd_.pick({"4444", "999"}));
      default: return "masquerade";
    }
  }

  RandomSource& rnd_;
  const RuleWhere& where_;
};

}  // namespace

std::string write_rule(RandomSource& rnd, const RuleWhere& where, std::size_t next) {
  return RuleAuthor(rnd, where).write(next);
}

std::string write_iptables_rule(RandomSource& rnd, const std::string& table,
                                const std::string& chain, bool own) {
  string words;
  const auto match = [&]() -> string {
    switch (rnd.between(0, 19)) {
      case 0:
      case 1: return fmt::format(" -p udp --dport {}", some_port(rnd));
      case 2: return fmt::format(" -d {}", some_prefix(rnd));
      case 3: return fmt::format(" ! -s {}", some_prefix(rnd));
      case 4: return fmt::format(" -o {}", rnd.pick({"va", "vc", "lo", "v+"}));
      case 5: return fmt::format(" -p udp -m multiport --dports {},9,5000:5001", some_port(rnd));
      case 6: return fmt::format(" -m mark --mark {}/0xff", some_mark(rnd));
      case 7:
        return fmt::format(" -m conntrack --ctstate {}",
                           rnd.pick({"NEW", "RELATED,ESTABLISHED", "INVALID"}));
      case 8: return fmt::format(" -m owner --uid-owner {}", rnd.pick({"0", "1000-2000"}));
      case 9:
        return fmt::format(" -m addrtype --dst-type {}",
                           rnd.pick({"LOCAL", "UNICAST", "BROADCAST", "MULTICAST"}));
      case 10: return fmt::format(" -m length --length {}", rnd.pick({"0:100", "576:", "29"}));
      case 11: return fmt::format(" -m ttl --ttl-{} 64", rnd.pick({"eq", "lt", "gt"}));
      case 12: return fmt::format(" -m dscp --dscp {}", rnd.pick({"0", "0x2e", "0x04"}));
      case 13: return fmt::format(" -m iprange --dst-range 10.1.0.0-10.77.0.{}", rnd.between(1, 9));
      case 14: return fmt::format(" -m tos --tos {}", rnd.pick({"0x10", "0x00/0xff", "0x08"}));
      case 15:
        return fmt::format(" -m pkttype --pkt-type {}",
                           rnd.pick({"unicast", "multicast", "broadcast"}));
      case 16: return " -m comment --comment words";
      case 17: return fmt::format(" -m limit --limit 1/hour --limit-burst {}", rnd.between(1, 3));
      case 18: return fmt::format(" -m connmark ! --mark {}", some_mark(rnd));
      default: return fmt::format(" -p udp ! --sport {}:65000", some_port(rnd));
    }
  };
  for (int n = rnd.pick({0, 1, 1, 2}); n > 0; --n) words += match();
  if (own && rnd.percent(35)) return words + rnd.pick({" -j OWN", " -g OWN"});
  string target;
  if (table == "filter") {
    target = rnd.pick({"ACCEPT", "DROP", "DROP", "RETURN", "LOG", "REJECT",
                       "REJECT --reject-with icmp-admin-prohibited"});
  } else if (table == "mangle") {
    target = rnd.pick({"MARK --set-mark 0x10", "MARK --set-xmark 0x11/0xff", "MARK --or-mark 0x5",
                       "DSCP --set-dscp 0x2e", "TOS --set-tos 0x10", "TTL --ttl-set 9",
                       "TTL --ttl-dec 1", "CLASSIFY --set-class 0:6", "CONNMARK --save-mark",
                       "CONNMARK --restore-mark", "CONNMARK --set-mark 0x7", "ACCEPT", "RETURN"});
  } else if (table == "raw") {
    target = rnd.pick({"NOTRACK", "CT --notrack", "DROP", "ACCEPT", "MARK --set-mark 0x10"});
  } else if (chain == "POSTROUTING") {
    target = rnd.pick({"MASQUERADE", "SNAT --to-source 10.77.0.5", "ACCEPT", "RETURN"});
  } else {
    target = rnd.pick({"DNAT --to-destination 10.77.0.2", "DNAT --to-destination 10.78.0.2",
                       "REDIRECT", "ACCEPT", "MARK --set-mark 0x10"});
  }
  return words + " -j " + target;
}

}  // namespace txp::kdiff
