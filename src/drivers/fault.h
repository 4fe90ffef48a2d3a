// SPDX-License-Identifier: Apache-2.0
// A wrapper that makes a bad wire of a good device: loses, doubles, reorders and corrupts frames,
// and says busy, with given probabilities and a seed, so that a run can be repeated.
#pragma once

#include <memory>
#include <string_view>

#include "base/result.h"
#include "drivers/driver.h"

namespace txp {

struct FaultOptions {
  double drop = 0;     // the frame is lost (TXPATH_FAULT_INJECTED)
  double dup = 0;      // the frame goes twice
  double reorder = 0;  // the frame goes after the next one of its device
  double corrupt = 0;  // one bit behind the MAC header is flipped
  double busy = 0;     // NETDEV_TX_BUSY: a device without a queue drops the packet then
  std::uint64_t seed = 1;

  // "drop=0.01,seed=7"; empty: no faults.
  [[nodiscard]] static Result<FaultOptions> parse(std::string_view text);
};

std::unique_ptr<Driver> make_fault(Net& net, std::unique_ptr<Driver> inner,
                                   const FaultOptions& options);
[[nodiscard]] Result<std::unique_ptr<Driver>> make_fault(Net& net, std::unique_ptr<Driver> inner,
                                                         std::string_view options);

}  // namespace txp
