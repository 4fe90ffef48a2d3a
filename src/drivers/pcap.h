// SPDX-License-Identifier: Apache-2.0
// The pcap device: every frame into a pcapng file, which appears when the driver goes.
#pragma once

#include <memory>
#include <string>

#include "base/result.h"
#include "drivers/driver.h"

namespace txp {

[[nodiscard]] Result<std::unique_ptr<Driver>> make_pcap(const std::string& file);

}  // namespace txp
