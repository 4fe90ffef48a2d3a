// SPDX-License-Identifier: Apache-2.0
// Random rules in nft's words and in iptables'. Only what the engine evaluates, and what is not
// left to chance.
#pragma once

#include <string>
#include <vector>

#include "kernel_diff/random_source.h"

namespace txp::kdiff {

// Where a rule stands: the kernel does not take every statement everywhere.
enum class Place : std::uint8_t {
  any,  // a chain that others jump to
  output,
  route,
  postrouting,
  egress,
  nat_output,
  nat_postrouting,
};

// What a rule may name.
struct RuleWhere {
  std::string family{};
  std::string table{};
  Place place = Place::any;
  std::vector<std::string> chains{};        // that it may jump to, from `next` on
  std::vector<std::string> sets{};          // matches and statements about sets
  std::vector<std::string> actions{};       // ends that name maps
  std::vector<std::string> base_actions{};  // the same, whose verdicts jump
  std::vector<std::string> counters{};
};

// " udp dport 53 counter drop". `next`: the first of the chains that it may jump to.
std::string write_rule(RandomSource& rnd, const RuleWhere& where, std::size_t next);

// " -p udp --dport 53 -j ACCEPT". `own`: the chain OWN may be jumped to.
std::string write_iptables_rule(RandomSource& rnd, const std::string& table,
                                const std::string& chain, bool own);

}  // namespace txp::kdiff
