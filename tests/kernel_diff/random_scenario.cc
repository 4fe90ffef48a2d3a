// SPDX-License-Identifier: Apache-2.0
#include "kernel_diff/random_scenario.h"

#include <fmt/format.h>

#include "kernel_diff/random_draft.h"
#include "kernel_diff/random_ruleset.h"

namespace txp::kdiff {
namespace {

// A namespace in which most calls send: rules are met only by packets that come so far.
void plain_namespace(Draft& d) {
  d.locals = {"10.77.0.1", "10.78.0.1"};
  d.setup("ip addr add 10.77.0.5/24 dev va");
  d.setup("ip route add 10.1.0.0/16 via 10.77.0.2");
}

// Of a bound socket: what rules make of a drawn port's checksum would be drawn too.
void packets_for_rules(Draft& d) {
  RandomSource& rnd = d.rnd;
  if (rnd.percent(25)) {
    d.line("socket y");
    d.line("bind y 0.0.0.0:53");
  }
  d.line("socket z");
  if (rnd.percent(25)) d.line(fmt::format("setsockopt z SO_MARK {}", rnd.pick({"0x5", "0x10"})));
  if (rnd.percent(15)) d.line(fmt::format("setsockopt z IP_TOS {}", rnd.pick({"0x10", "0xb8"})));
  if (rnd.percent(10)) d.line("setsockopt z SO_BINDTODEVICE name va");
  d.line(fmt::format("bind z {}:4300", rnd.pick({"0.0.0.0", "10.77.0.1"})));
  if (rnd.percent(20)) d.line("connect z 10.77.0.2:53");
  for (int n = rnd.between(3, 9); n > 0; --n) {
    const char* to = rnd.pick({"10.77.0.2", "10.77.0.2", "10.77.0.2", "10.78.0.2", "10.1.2.3",
                               "10.1.2.4", "127.0.0.1", "239.1.1.1"});
    d.line(fmt::format("sendto z {}:{} len {}", to, rnd.pick({"53", "53", "5000", "9", "5001"}),
                       rnd.percent(80) ? rnd.between(0, 300) : rnd.pick({1472, 1473, 3000})));
  }
}

}  // namespace

std::string random_scenario(std::uint64_t seed, Dice dice) {
  Draft draft(seed);
  if (dice == Dice::ipv6) {
    random_ipv6(draft);
    return fmt::format("# Random, seed {}\nneed v6\nneed vc{}\n{}", seed,
                       draft.multipath ? " net.ipv4.fib_multipath_hash_seed" : "", draft.text);
  }
  const bool with_ruleset = dice == Dice::rulesets;
  const bool plain = with_ruleset && draft.rnd.percent(70);
  if (plain)
    plain_namespace(draft);
  else
    random_namespace(draft);
  if (with_ruleset) {
    draft.text += random_ruleset(draft.rnd);
    packets_for_rules(draft);
  }
  if (!plain || draft.rnd.percent(30)) random_calls(draft);
  std::string needs = "need vc";
  if (draft.needs_root) needs += " root";
  if (draft.multipath) needs += " net.ipv4.fib_multipath_hash_seed";
  return fmt::format("# Random, seed {}\n{}\n{}", seed, needs, draft.text);
}

}  // namespace txp::kdiff
