// SPDX-License-Identifier: Apache-2.0
// A macvlan: a device with an address of its own that sends through another device of its Net.
#pragma once

#include <memory>

#include "drivers/driver.h"

namespace txp {

std::unique_ptr<Driver> make_macvlan();

}  // namespace txp
