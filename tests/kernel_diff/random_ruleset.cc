// SPDX-License-Identifier: Apache-2.0
#include "kernel_diff/random_ruleset.h"

#include <fmt/format.h>

#include <vector>

namespace txp::kdiff {
namespace {

using std::string;

// One table with base chains, chains that they jump to (always forward), sets and maps.
class RulesetAuthor {
 public:
  explicit RulesetAuthor(RandomSource& rnd) : rnd_(rnd) {}

  string write() {
    family_ = rnd_.percent(35) ? "inet" : "ip";
    setup(fmt::format("add table {} t", family_));
    for (int n = rnd_.between(0, 4); n > 0; --n) {
      regular_.push_back(fmt::format("c{}", regular_.size()));
      setup(fmt::format("add chain {} t {}", family_, regular_.back()));
    }
    sets();
    for (std::size_t i = 0; i < regular_.size(); ++i)
      for (int n = rnd_.between(0, 3); n > 0; --n) rule(regular_[i], i + 1);
    const int base = rnd_.between(1, 3);
    for (int n = 0; n < base; ++n) base_chain(n);
    return text_;
  }

 private:
  void setup(const string& words) { text_ += "setup nft " + words + "\n"; }

  void base_chain(int number) {
    const string name = fmt::format("b{}", number);
    const bool post = rnd_.percent(25);
    const bool route = !post && rnd_.percent(25);
    // Equal priorities run in an order that the dump does not tell across tables; here there is
    // one.
    setup(fmt::format("add chain {} t {} {{ type {} hook {} priority {} ; policy {} ; }}", family_,
                      name, route ? "route" : "filter", post ? "postrouting" : "output",
                      rnd_.pick({-150, -10, 0, 0, 5, 50}) + number,
                      rnd_.percent(15) ? "drop" : "accept"));
    post_ = post;
    for (int n = rnd_.between(1, 5); n > 0; --n) rule(name, 0);
    post_ = false;
  }

  string port() {
    return rnd_.pick({"53", "53", "5000", "9", "5001", "4000", "4001", "4100", "80"});
  }
  string address() {
    return rnd_.pick({"10.1.2.3", "10.1.2.4", "10.77.0.2", "10.78.0.2", "10.77.0.1", "127.0.0.1",
                      "239.1.1.1", "10.77.0.255", "10.2.0.1"});
  }
  string prefix() {
    return rnd_.pick({"10.0.0.0/8", "10.1.0.0/16", "10.77.0.0/24", "10.77.0.0/30", "127.0.0.0/8",
                      "224.0.0.0/4", "10.1.2.0/25", "0.0.0.0/1"});
  }
  string mark() { return rnd_.pick({"0x0", "0x5", "0x7", "0x10", "0x11", "0x12", "0xf0"}); }

  void sets() {
    if (rnd_.percent(50)) {
      setup(fmt::format("add set {} t ports {{ type inet_service ; }}", family_));
      setup(fmt::format("add element {} t ports {{ {}, {}, 1000 }}", family_, port(), "7"));
      has_.push_back("udp dport @ports");
      has_.push_back("udp sport != @ports");
    }
    if (rnd_.percent(50)) {
      setup(fmt::format("add set {} t nets {{ type ipv4_addr ; flags interval ; }}", family_));
      setup(fmt::format("add element {} t nets {{ {}, 10.77.0.2-10.77.0.9, 203.0.113.0/24 }}",
                        family_, rnd_.pick({"10.1.0.0/16", "127.0.0.0/8", "10.78.0.0/24"})));
      has_.push_back("ip daddr @nets");
      has_.push_back("ip saddr != @nets");
    }
    if (rnd_.percent(40)) {
      setup(fmt::format("add set {} t pairs {{ type ipv4_addr . inet_service ; flags interval ; }}",
                        family_));
      setup(fmt::format(
          "add element {} t pairs {{ {} . 1-60, 10.2.0.0/16 . 0-65535, 10.78.0.2 . {} }}", family_,
          rnd_.pick({"10.1.0.0/16", "10.77.0.2", "10.77.0.0/24"}), port()));
      has_.push_back("ip daddr . udp dport @pairs");
    }
    if (rnd_.percent(30)) {
      setup(fmt::format("add set {} t seen {{ type inet_service ; flags dynamic ; size {} ; }}",
                        family_, rnd_.pick({1, 2, 100})));
      has_.push_back("udp dport @seen");
      has_.push_back("add @seen { udp dport }");
    }
    if (rnd_.percent(25)) {
      setup(fmt::format("add counter {} t total", family_));
      counters_.push_back("counter name total");
    }
  }

  string match() {
    if (!has_.empty() && rnd_.percent(25)) return rnd_.pick(has_);
    switch (rnd_.between(0, 22)) {
      case 0: return "udp dport " + port();
      case 1: return "udp dport != " + port();
      case 2: return fmt::format("udp dport {{ {}, {}, 65535 }}", port(), "77");
      case 3:
        return fmt::format("udp sport {}-{}", rnd_.between(1, 4000), rnd_.between(4001, 9000));
      case 4: return fmt::format("udp dport {{ 1-{}, 60000-65535 }}", rnd_.between(50, 5000));
      case 5: return "ip daddr " + address();
      case 6: return "ip daddr != " + prefix();
      case 7: return "ip daddr " + prefix();
      case 8: return "ip saddr " + prefix();
      case 9: return fmt::format("ip daddr {{ {}, {} }}", address(), "192.0.2.0/24");
      case 10: return "meta mark " + mark();
      case 11: return fmt::format("meta mark and 0xf0 == {}", rnd_.pick({"0x10", "0x0", "0xf0"}));
      case 12: return fmt::format("meta mark > {}", mark());
      case 13:
        return fmt::format("ip ttl {} {}", rnd_.pick({"<", ">", "!=", "=="}),
                           rnd_.pick({1, 7, 64, 65, 255}));
      case 14: return fmt::format("ip dscp {}", rnd_.pick({"0x00", "0x04", "0x2e", "0x02"}));
      case 15:
        return fmt::format("meta length {} {}", rnd_.pick({"<", ">", ">=", "<="}),
                           rnd_.pick({28, 100, 128, 576, 1500}));
      case 16: return fmt::format("oifname {}", rnd_.pick({"va", "vc", "lo"}));
      case 17: return fmt::format("ip frag-off and 0x4000 {} 0", rnd_.pick({"==", "!="}));
      case 18:
        return fmt::format("fib daddr type {}",
                           rnd_.pick({"local", "unicast", "broadcast", "multicast"}));
      case 19:
        return fmt::format("udp length {} {}", rnd_.pick({"<", ">"}), rnd_.pick({9, 100, 1000}));
      case 20: return fmt::format("meta priority {}", rnd_.pick({"0:0", "0:6", "0:3"}));
      case 21:
        return fmt::format("ip daddr . udp dport {{ {} . {}, 10.1.2.3 . 53 }}", address(), port());
      default: return fmt::format("socket wildcard {}", post_ ? 0 : rnd_.between(0, 1));
    }
  }

  // A rule's end. `next`: the first chain that it may jump to.
  string action(std::size_t next) {
    if (next < regular_.size() && rnd_.percent(35)) {
      const string to = regular_[next + rnd_.below(regular_.size() - next)];
      switch (rnd_.between(0, 3)) {
        case 0: return "goto " + to;
        case 1:
          return fmt::format("udp dport vmap {{ 53 : jump {}, 9 : drop, 5000 : return }}", to);
        default: return "jump " + to;
      }
    }
    switch (rnd_.between(0, 15)) {
      case 0:
      case 1:
      case 2: return "drop";
      case 3:
      case 4: return "accept";
      case 5: return "return";
      case 6:
      case 7: return "meta mark set " + mark();
      case 8: return "meta mark set meta mark or 0x10";
      case 9: return fmt::format("ip ttl set {}", rnd_.between(1, 255));
      case 10: return fmt::format("ip dscp set {}", rnd_.pick({"0x04", "0x2e", "0x00"}));
      case 11: return fmt::format("meta priority set 0:{}", rnd_.between(0, 7));
      case 12:
        return "ip daddr vmap { 10.77.0.2 : drop, 10.0.0.0/9 : accept, 239.0.0.0/8 : return }";
      case 13: return "meta mark set udp dport map { 53 : 0x11, 9 : 0x5, 5000-5001 : 0x10 }";
      case 14: return fmt::format("udp dport set {}", port());
      default: return "";
    }
  }

  void rule(const string& chain, std::size_t next) {
    string words;
    for (int n = rnd_.pick({0, 1, 1, 1, 2, 3}); n > 0; --n) words += " " + match();
    words +=
        " " + (counters_.empty() || rnd_.percent(70) ? string("counter") : rnd_.pick(counters_));
    if (const string end = action(next); !end.empty()) words += " " + end;
    setup(fmt::format("add rule {} t {}{}", family_, chain, words));
  }

  RandomSource& rnd_;
  string family_;
  string text_;
  std::vector<string> regular_;
  std::vector<string> has_;
  std::vector<string> counters_;
  bool post_ = false;
};

}  // namespace

std::string random_ruleset(RandomSource& rnd) { return RulesetAuthor(rnd).write(); }

}  // namespace txp::kdiff
