// SPDX-License-Identifier: Apache-2.0
// Two devices joined back to back, in two Nets of one process (veth, without a kernel).
#pragma once

#include <cstddef>
#include <memory>
#include <utility>

#include "drivers/driver.h"

namespace txp {

// The two ends, for DevTable::attach(). What one sends the other's poll() receives, in order; each
// direction holds `slots` frames, and a sender that finds them full is BUSY and stops its queue
// until the peer has made room and its own poll() has seen it. Frames for an end that is gone are
// lost (DEV_READY). Frames are copied; no memory is taken per frame after warm-up.
// Thread safety: each end belongs to its Net's threads; the two may run on different threads.
std::pair<std::unique_ptr<Driver>, std::unique_ptr<Driver>> make_pair_drivers(
    std::size_t slots = 256);

}  // namespace txp
