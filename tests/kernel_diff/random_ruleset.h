// SPDX-License-Identifier: Apache-2.0
// A random nf_tables ruleset as `setup nft ...` lines, made of what the random calls use.
#pragma once

#include <string>

#include "kernel_diff/random_source.h"

namespace txp::kdiff {

std::string random_ruleset(RandomSource& rnd);

}  // namespace txp::kdiff
