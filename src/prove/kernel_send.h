// SPDX-License-Identifier: Apache-2.0
// A question's datagram through a socket of the kernel.
#pragma once

#include <cstdint>
#include <optional>
#include <span>
#include <string>

#include "base/errno.h"
#include "explain/flow_question.h"

namespace txp {

struct KernelSent {
  std::optional<Errno> error;
  std::string failed_call;  // "bind", "setsockopt(SO_MARK)"; "": the send or none
};

// Never waits: a send buffer that is full is EAGAIN.
KernelSent kernel_send(const FlowQuestion& question, std::span<const std::uint8_t> payload);

}  // namespace txp
