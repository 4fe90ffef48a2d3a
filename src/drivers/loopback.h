// SPDX-License-Identifier: Apache-2.0
// The loopback driver.
#pragma once

#include <memory>

#include "drivers/driver.h"

namespace txp {

std::unique_ptr<Driver> make_loopback();

}  // namespace txp
