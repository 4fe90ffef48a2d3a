// SPDX-License-Identifier: Apache-2.0
// A question's words as socket options.
#pragma once

#include <expected>
#include <string>
#include <vector>

#include "explain/explain.h"
#include "socket/sock.h"

namespace txp {

// A call on the way to the send that failed, by its name: "setsockopt(SO_BINDTODEVICE)".
struct FailedCall {
  Errno error;
  std::string call;
};
using SocketCall = std::expected<void, FailedCall>;

// Sets what the question gives; `told`, when not null, gets each option as an object.
[[nodiscard]] SocketCall set_socket_options(Sock& sk, const FlowQuestion& q,
                                            std::vector<ReportObject>* told = nullptr);

}  // namespace txp
