// SPDX-License-Identifier: Apache-2.0
#include "kernel_diff/random_scenario.h"

#include <fmt/format.h>

#include "kernel_diff/random_draft.h"
#include "kernel_diff/random_ruleset.h"

namespace txp::kdiff {

std::string random_scenario(std::uint64_t seed, bool with_ruleset) {
  Draft draft(seed);
  random_namespace(draft);
  if (with_ruleset) draft.text += random_ruleset(draft.rnd);
  random_calls(draft);
  std::string needs = "need vc";
  if (draft.needs_root) needs += " root";
  if (draft.multipath) needs += " net.ipv4.fib_multipath_hash_seed";
  return fmt::format("# Random, seed {}\n{}\n{}", seed, needs, draft.text);
}

}  // namespace txp::kdiff
