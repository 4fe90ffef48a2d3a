// SPDX-License-Identifier: Apache-2.0
// Policy rules (`ip rule`). Kernel twins: net/core/fib_rules.c, net/ipv4/fib_rules.c.
#pragma once

#include <atomic>
#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "base/rcu.h"
#include "route/rtable.h"
#include "wire/ip4.h"
#include "wire/ip6.h"

namespace txp {

class Net;

enum class RuleAction : std::uint8_t {  // FR_ACT_*
  unspec = 0,
  to_table = 1,
  goto_ = 2,
  nop = 3,
  blackhole = 6,
  unreachable = 7,
  prohibit = 8
};

struct FibRule {
  std::uint32_t priority = 0;
  RuleAction action = RuleAction::to_table;
  std::uint32_t table = 0;
  std::uint32_t goto_target = 0;  // priority of the rule to go on with
  bool invert = false;            // ip: not
  std::optional<Prefix4> src;     // ip: from
  std::optional<Prefix4> dst;     // ip: to
  // Of IPv6 rules, instead.
  std::optional<Prefix6> src6;
  std::optional<Prefix6> dst6;
  bool find_saddr = false;      // FIB_RULE_FIND_SADDR: `from` may decide the source address
  std::uint32_t flowlabel = 0;  // ip: flowlabel
  std::uint32_t flowlabel_mask = 0;
  // ip: tos (fib_rule_hdr.tos), tos_mask 0 or 0x1c: 0 is any, and a flow's upper three bits do not
  // count (in IPv6 they do). ip: dscp (FRA_DSCP, already shifted: dscp << 2) with tos_mask:
  // the bits compared, 0xfc for all.
  std::uint8_t tos = 0;
  std::uint8_t tos_mask = 0;
  std::uint32_t mark = 0;
  std::uint32_t mark_mask = 0;  // 0: any mark
  std::string iifname;          // "": any
  std::string oifname;
  std::optional<std::pair<std::uint32_t, std::uint32_t>> uid_range;
  std::uint8_t ip_proto = 0;  // 0: any
  std::optional<std::pair<std::uint16_t, std::uint16_t>> sport;
  std::optional<std::pair<std::uint16_t, std::uint16_t>> dport;
  std::uint16_t sport_mask = 0xffff;
  std::uint16_t dport_mask = 0xffff;
  int suppress_prefixlength = -1;  // -1: none
  int suppress_ifgroup = -1;
  bool l3mdev = false;        // never matches here: a flow inside a VRF is unknown before rules
  std::uint64_t tun_id = 0;   // never matches what a socket sends: its tunnel id is 0
  std::uint32_t flow = 0;     // ip: realms
  std::uint8_t protocol = 0;  // who made it (RTPROT_*)
  friend bool operator==(const FibRule&, const FibRule&) = default;
};

// fib_rule_match() of both families: devices, mark, owner; and of UDP and TCP: protocol and ports.
bool fib_rule_match_common(Net& net, const FibRule& rule, int iif, int oif, std::uint32_t mark,
                           std::uint32_t uid);
bool fib_rule_match_ports(const FibRule& rule, std::uint8_t proto, std::uint16_t sport,
                          std::uint16_t dport);

// The rules of a Net, by priority. Readers inside an RcuReader; writers with net.rtnl held.
class FibRules {
 public:
  enum class Family : std::uint8_t { inet, inet6 };
  // As a new namespace has them: 0 local, 32766 main, and of IPv4 32767 default.
  FibRules(Net& net, Family family);
  ~FibRules();
  void add(const FibRule& rule);     // after the rules of the same priority
  bool remove(const FibRule& rule);  // the first equal one
  void set_all(std::vector<FibRule> rules);
  const std::vector<FibRule>& all() const { return *rules_; }
  // fib_has_custom_rules: not what a new namespace has. While it is false, the local and main
  // tables are looked up as one.
  bool custom() const { return custom_.load(std::memory_order_acquire); }

 private:
  void publish(std::vector<FibRule> rules);
  Net& net_;
  const Family family_;
  RcuPtr<const std::vector<FibRule>> rules_;
  std::atomic<bool> custom_{false};
};

}  // namespace txp
