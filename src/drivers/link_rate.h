// SPDX-License-Identifier: Apache-2.0
// A wire of limited speed before any device, by the Net's clock: a ring of frames as a network card
// has it, emptied one frame at a time, with byte queue limits (dev/dql.h). On a manual clock it is
// the link of a simulation.
#pragma once

#include <cstdint>
#include <memory>
#include <string_view>

#include "base/result.h"
#include "drivers/driver.h"

namespace txp {

struct LinkRateOptions {
  double mbit = 100;        // of the frames' bytes; preamble, gap and FCS are not counted
  std::size_t slots = 256;  // frames
  // "mbit=10,slots=64".
  [[nodiscard]] static Result<LinkRateOptions> parse(std::string_view text);
};

std::unique_ptr<Driver> make_link_rate(std::unique_ptr<Driver> inner,
                                       const LinkRateOptions& options);
[[nodiscard]] Result<std::unique_ptr<Driver>> make_link_rate(std::unique_ptr<Driver> inner,
                                                             std::string_view options);

}  // namespace txp
