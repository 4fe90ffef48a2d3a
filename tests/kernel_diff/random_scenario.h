// SPDX-License-Identifier: Apache-2.0
// Random scenarios in the language of scenario files, so that every one can be written down and
// played again. One seed always gives one text.
#pragma once

#include <cstdint>
#include <string>

namespace txp::kdiff {

// What the commands refuse is not generated, so that every setup takes; what the engine does not
// implement (docs/conformance.md) is left out, or the answer would be known beforehand.
enum class Dice : std::uint8_t { ipv4, rulesets, ipv6 };
std::string random_scenario(std::uint64_t seed, Dice dice);

}  // namespace txp::kdiff
