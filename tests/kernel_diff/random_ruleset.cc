// SPDX-License-Identifier: Apache-2.0
// Tables, chains, sets and maps; the rules themselves are written by RuleAuthor (random_rule.h).
#include "kernel_diff/random_ruleset.h"

#include <fmt/format.h>

#include "kernel_diff/random_rule.h"

namespace txp::kdiff {
namespace {

using std::string;

// Base chains, chains that they jump to (always forward), sets and maps of one table. The number
// keeps the priorities of two tables apart: in which order equal ones run the dump does not tell.
class TableAuthor {
 public:
  TableAuthor(RandomSource& rnd, string& text, int number, string family)
      : rnd_(rnd), text_(text), number_(number), family_(std::move(family)) {
    where_ = {.family = family_, .table = fmt::format("t{}", number_)};
  }

  void write() {
    setup(fmt::format("add table {} {}", family_, where_.table));
    sets();
    maps();
    objects();
    const int regular = rnd_.between(0, 4);
    for (int n = 0; n < regular; ++n) {
      where_.chains.push_back(fmt::format("c{}", n));
      setup(fmt::format("add chain {} {} {}", family_, where_.table, where_.chains.back()));
    }
    jumping_maps();
    for (std::size_t i = 0; i < where_.chains.size(); ++i)
      for (int n = rnd_.between(0, 3); n > 0; --n) rule(where_.chains[i], i + 1);
    for (int n = rnd_.between(1, 3); n > 0; --n) base_chain();
    if (family_ != "netdev" && rnd_.percent(20)) nat_chains();
    if (rnd_.percent(10)) later_change();
  }

 private:
  void setup(const string& words) { text_ += "setup nft " + words + "\n"; }
  void add(const char* what, const string& name, const string& spec) {
    setup(fmt::format("add {} {} {} {} {{ {} }}", what, family_, where_.table, name, spec));
  }
  void fill(const string& name, const string& elements) { add("element", name, elements); }

  int priority() {
    static constexpr int kApart = 3;  // tables
    return kApart * (rnd_.pick({-60, -45, -3, 1, 4, 20}) + bases_++ * 2) + number_;
  }

  void base_chain() {
    const string name = fmt::format("b{}", bases_);
    const char* policy = rnd_.percent(12) ? "drop" : "accept";
    if (family_ == "netdev") {
      where_.place = Place::egress;
      setup(
          fmt::format("add chain netdev {} {} {{ type filter hook egress device {} priority {} ; "
                      "policy {} ; }}",
                      where_.table, name, rnd_.pick({"va", "va", "vc"}), priority(), policy));
    } else {
      const bool post = rnd_.percent(30);
      const bool route = !post && rnd_.percent(35);
      where_.place = post ? Place::postrouting : route ? Place::route : Place::output;
      setup(fmt::format("add chain {} {} {} {{ type {} hook {} priority {} ; policy {} ; }}",
                        family_, where_.table, name, route ? "route" : "filter",
                        post ? "postrouting" : "output", priority(), policy));
    }
    // The kernel's own ARP passes a device's egress too; shrink() leaves the line in.
    if (family_ == "netdev")
      setup(fmt::format("add rule netdev {} {} meta protocol arp accept", where_.table, name));
    for (int n = rnd_.between(1, 5); n > 0; --n) rule(name, 0);
    where_.place = Place::any;
  }

  void nat_chains() {
    for (const bool post : {false, true}) {
      if (!rnd_.percent(70)) continue;
      const string name = post ? "postnat" : "outnat";
      where_.place = post ? Place::nat_postrouting : Place::nat_output;
      setup(fmt::format("add chain {} {} {} {{ type nat hook {} priority {} ; policy accept ; }}",
                        family_, where_.table, name, post ? "postrouting" : "output",
                        (post ? 110 : -90) + number_));
      for (int n = rnd_.between(1, 3); n > 0; --n) rule(name, 0);
    }
    where_.place = Place::any;
  }

  void sets() {
    if (rnd_.percent(35)) {
      add("set", "ports",
          rnd_.pick({"type inet_service ;", "type inet_service ; counter ;",
                     "type inet_service ; timeout 1h ;"}));
      fill("ports", fmt::format("{}, 7, 1000", rnd_.pick({"53", "5000", "9", "4000"})));
      where_.sets.insert(where_.sets.end(), {"udp dport @ports", "udp sport != @ports"});
    }
    if (rnd_.percent(35)) {
      add("set", "nets",
          rnd_.pick({"type ipv4_addr ; flags interval ;",
                     "type ipv4_addr ; flags interval ; auto-merge ;",
                     "type ipv4_addr ; flags interval ; counter ;"}));
      fill("nets", fmt::format("{}, 10.77.0.2-10.77.0.9, 203.0.113.0/24",
                               rnd_.pick({"10.1.0.0/16", "127.0.0.0/8", "10.78.0.0/24"})));
      where_.sets.insert(where_.sets.end(), {"ip daddr @nets", "ip saddr != @nets"});
    }
    if (rnd_.percent(30)) {
      add("set", "pairs", "type ipv4_addr . inet_service ; flags interval ;");
      fill("pairs", fmt::format("{} . 1-60, 10.2.0.0/16 . 0-65535, 10.78.0.2 . {}",
                                rnd_.pick({"10.1.0.0/16", "10.77.0.2", "10.77.0.0/24"}),
                                rnd_.pick({"53", "5000"})));
      where_.sets.emplace_back("ip daddr . udp dport @pairs");
    }
    if (rnd_.percent(20)) {
      add("set", "exact", "type ipv4_addr . inet_proto . inet_service ;");
      fill("exact", "10.77.0.2 . udp . 53, 10.1.2.3 . udp . 5000, 10.78.0.2 . tcp . 53");
      where_.sets.emplace_back("ip daddr . ip protocol . udp dport @exact");
      where_.sets.emplace_back("ip daddr . ip protocol . udp dport != @exact");
    }
    if (rnd_.percent(20)) {
      add("set", "ways", "type ifname . ipv4_addr . mark ; flags interval ;");
      fill("ways", "\"va\" . 10.0.0.0/8 . 0x0-0xf, \"vc\" . 10.0.0.1-10.99.0.0 . 0x10-0xff");
      where_.sets.emplace_back("oifname . ip daddr . meta mark @ways");
    }
    if (rnd_.percent(30)) dynamic_set();
    if (rnd_.percent(10)) {
      add("set", "empty", "type ipv4_addr ; flags interval ;");
      where_.sets.emplace_back("ip daddr != @empty");
    }
  }

  void dynamic_set() {
    const int size = rnd_.pick({1, 2, 100});
    const bool timed = rnd_.percent(50);
    add("set", "seen",
        fmt::format("type inet_service ; flags dynamic{} ; size {} ;{}", timed ? ",timeout" : "",
                    size, timed ? " timeout 1h ;" : ""));
    where_.sets.emplace_back("udp dport @seen");
    where_.sets.emplace_back("add @seen { udp dport }");
    if (timed) where_.sets.emplace_back("update @seen { udp dport timeout 30m }");
    where_.sets.emplace_back("delete @seen { udp sport }");
    add("set", "each", "type ipv4_addr . inet_service ; flags dynamic ; size 100 ;");
    where_.sets.emplace_back(fmt::format(
        "add @each {{ ip daddr . udp dport {} }}",
        rnd_.pick({"limit rate 1/hour burst 2 packets", "limit rate over 1/hour burst 1 packets",
                   "counter", "quota over 300 bytes", "limit rate 1 bytes/hour burst 300 bytes"})));
  }

  void maps() {
    if (rnd_.percent(30)) {
      add("map", "marks", "type inet_service : mark ;");
      fill("marks", fmt::format("53 : {}, 9 : 0x5, 5000 : 0x10{}", rnd_.pick({"0x11", "0x10"}),
                                rnd_.percent(30) ? ", * : 0xf0" : ""));
      where_.actions.emplace_back("meta mark set udp dport map @marks");
      where_.actions.emplace_back("ct mark set udp dport map @marks");
    }
    if (rnd_.percent(20)) {
      add("map", "prios", "type ipv4_addr : classid ; flags interval ;");
      fill("prios", "10.77.0.0/24 : 0:6, 10.1.0.0-10.1.255.255 : 0:1");
      where_.actions.emplace_back("meta priority set ip daddr map @prios");
    }
    if (rnd_.percent(25)) {
      add("map", "verdicts", "type ipv4_addr . inet_service : verdict ; flags interval ;");
      fill(
          "verdicts",
          fmt::format("10.77.0.0/24 . 53 : {}, 10.1.0.0/16 . 1-6000 : {}, 127.0.0.1 . 0-65535 : {}",
                      rnd_.pick({"accept", "drop", "continue"}), rnd_.pick({"return", "accept"}),
                      rnd_.pick({"drop", "continue"})));
      where_.actions.emplace_back("ip daddr . udp dport vmap @verdicts");
    }
  }

  // Maps whose verdicts are jumps, for base chains.
  void jumping_maps() {
    if (where_.chains.empty() || !rnd_.percent(30)) return;
    add("map", "jumps", "type inet_service : verdict ;");
    fill("jumps", fmt::format("53 : {} {}, 5000 : jump {}, 9 : {}{}", rnd_.pick({"jump", "goto"}),
                              rnd_.pick(where_.chains), rnd_.pick(where_.chains),
                              rnd_.pick({"drop", "accept", "return"}),
                              rnd_.percent(25) ? ", * : continue" : ""));
    where_.base_actions.emplace_back("udp dport vmap @jumps");
  }

  void objects() {
    if (rnd_.percent(25)) {
      setup(fmt::format("add counter {} {} total", family_, where_.table));
      where_.counters.emplace_back("counter name total");
      if (rnd_.percent(50)) {
        setup(fmt::format("add counter {} {} other", family_, where_.table));
        where_.counters.emplace_back(
            "counter name udp dport map { 53 : \"total\", 5000 : \"other\" }");
      }
    }
    if (rnd_.percent(12)) {
      setup(fmt::format("add limit {} {} l {{ rate 1/hour burst 2 packets ; }}", family_,
                        where_.table));
      where_.sets.emplace_back("limit name \"l\"");
    }
    if (rnd_.percent(12)) {
      setup(fmt::format("add quota {} {} q {{ {} 500 bytes ; }}", family_, where_.table,
                        rnd_.pick({"over", "until"})));
      where_.sets.emplace_back("quota name \"q\"");
    }
  }

  // The ruleset becomes another one before anything is sent; state and handles go on.
  void later_change() {
    if (where_.chains.empty()) return;
    setup(fmt::format("flush chain {} {} {}", family_, where_.table, where_.chains.back()));
    rule(where_.chains.back(), where_.chains.size());
  }

  void rule(const string& chain, std::size_t next) {
    setup(fmt::format("add rule {} {} {}{}", family_, where_.table, chain,
                      write_rule(rnd_, where_, next)));
  }

  RandomSource& rnd_;
  string& text_;
  int number_;
  string family_;
  RuleWhere where_;
  int bases_ = 0;
};

// What iptables-nft makes of users' scripts.
class IptablesAuthor {
 public:
  IptablesAuthor(RandomSource& rnd, string& text) : rnd_(rnd), text_(text) {}
  void write() {
    text_ += "need program iptables-nft\n";
    const string table = rnd_.pick({"filter", "filter", "mangle", "mangle", "raw", "nat"});
    if (rnd_.percent(50)) {
      line(table, "-N OWN");
      for (int n = rnd_.between(1, 3); n > 0; --n)
        line(table, "-A OWN" + write_iptables_rule(rnd_, table, "OUTPUT", false));
      own_ = true;
    }
    for (int n = rnd_.between(1, 4); n > 0; --n) {
      const string chain =
          (table == "mangle" || table == "nat") && rnd_.percent(35) ? "POSTROUTING" : "OUTPUT";
      // What jumps to a chain of its own must not use what only OUTPUT allows.
      line(table,
           "-A " + chain + write_iptables_rule(rnd_, table, chain, own_ && chain == "OUTPUT"));
    }
    if (rnd_.percent(8) && table != "nat") line(table, "-P OUTPUT DROP");
  }

 private:
  void line(const string& table, const string& words) {
    text_ += fmt::format("setup iptables-nft -t {} {}\n", table, words);
  }
  RandomSource& rnd_;
  string& text_;
  bool own_ = false;
};

}  // namespace

std::string random_ruleset(RandomSource& rnd) {
  string text;
  const int tables = rnd.percent(30) ? 2 : 1;
  for (int n = 0; n < tables; ++n)
    TableAuthor(rnd, text, n, rnd.percent(40) ? "inet" : "ip").write();
  if (rnd.percent(20)) {
    // Where a drop is heard of depends on whether the neighbour was known.
    text += "setup ip neigh replace 10.77.0.2 lladdr 02:00:00:77:00:02 dev va nud permanent\n";
    text += "setup ip neigh replace 10.78.0.2 lladdr 02:00:00:78:00:02 dev vc nud permanent\n";
    TableAuthor(rnd, text, tables, "netdev").write();
  }
  if (rnd.percent(25)) IptablesAuthor(rnd, text).write();
  // Marks that find another route.
  if (rnd.percent(60)) {
    text += fmt::format(
        "setup ip rule add pref 40 fwmark {} {}\n", rnd.pick({"0x10/0xf0", "0x11", "0x5", "0x10"}),
        rnd.pick({"lookup 100", "lookup 100", "lookup 200", "unreachable", "prohibit"}));
    text += fmt::format("setup ip route add {} table 100\n",
                        rnd.pick({"default via 10.78.0.2", "default via 10.77.0.2",
                                  "10.1.0.0/16 dev vc", "10.0.0.0/8 via 10.78.0.2 mtu 600"}));
  }
  return text;
}

}  // namespace txp::kdiff
