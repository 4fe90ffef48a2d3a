// SPDX-License-Identifier: Apache-2.0
// The null device: takes every frame and ends it. For measuring, for tests and for `explain`.
#pragma once

#include <memory>

#include "drivers/driver.h"

namespace txp {

struct Link;

std::unique_ptr<Driver> make_null();
// What a new device gets: loopback for IFF_LOOPBACK, what stands on another device its own driver,
// otherwise null.
std::unique_ptr<Driver> make_default_driver(const Link& link);

}  // namespace txp
