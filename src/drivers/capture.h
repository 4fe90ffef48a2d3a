// SPDX-License-Identifier: Apache-2.0
// A wrapper: what the device behind it takes also goes to a pcapng file.
#pragma once

#include <memory>
#include <string>

#include "base/result.h"
#include "drivers/driver.h"

namespace txp {

class PcapngWriter;

[[nodiscard]] Result<std::unique_ptr<Driver>> make_capture(std::unique_ptr<Driver> inner,
                                                           const std::string& file);
// The same into a capture that several devices share.
[[nodiscard]] std::unique_ptr<Driver> make_capture(std::unique_ptr<Driver> inner,
                                                   std::shared_ptr<PcapngWriter> writer);

}  // namespace txp
