// SPDX-License-Identifier: Apache-2.0
// A TAP interface of the kernel's (tun(4)): what this device sends, the kernel receives there, and
// the other way round. Every frame carries a virtio-net header, so a datagram for UDP segmentation
// goes over whole and its checksum is left to the other side, as to a network card.
#pragma once

#include <memory>
#include <string>

#include "base/result.h"
#include "drivers/driver.h"

namespace txp {

// Makes the interface `name`, which is gone when the driver is, or attaches to a persistent one. In
// the calling thread's namespace. Errors: no CAP_NET_ADMIN, no /dev/net/tun, a name in use.
[[nodiscard]] Result<std::unique_ptr<Driver>> make_tap(const std::string& name);

}  // namespace txp
