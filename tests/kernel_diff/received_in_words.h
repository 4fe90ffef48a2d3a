// SPDX-License-Identifier: Apache-2.0
// What recvmsg() gave, in words, without what differs from run to run.
#pragma once

#include <string>
#include <vector>

#include "kernel_diff/masks.h"
#include "kernel_diff/world.h"

namespace txp::kdiff {

// "10.77.0.1:4000"; a port that inet_autobind() drew is "auto".
std::string name_in_words(const Addr& name, const std::vector<SocketState>& sockets);
std::string received_in_words(Answer n, const ReceivedMsg& got,
                              const std::vector<SocketState>& sockets);

}  // namespace txp::kdiff
