// SPDX-License-Identifier: Apache-2.0
// At which stage of the path a packet was freed: the kernel tells a reason and an instruction.
#pragma once

#include <cstdint>
#include <optional>
#include <string_view>

#include "path.h"

namespace txp {

struct KernelDrop {
  std::string_view reason;      // without SKB_DROP_REASON_
  std::string_view function;    // that freed it; "": not known
  bool no_dev = false;          // skb->dev was not set yet
  bool received = false;        // it came in by a device
  std::optional<Stage> last{};  // where it was last seen, when that is known
};

// Nothing: not on the send path (a received packet that found no socket, say).
std::optional<Stage> drop_stage(const KernelDrop& drop);

// The stage that alone answers a send call on a UDP socket with `error` (an errno); nothing where
// several do.
std::optional<Stage> error_stage(int error);

}  // namespace txp
