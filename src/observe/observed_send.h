// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstddef>

#include "base/result.h"

namespace txp {

struct MsgHdr;
class Net;
class Sock;

// sock_sendmsg() where Net::observed(): the call leaves a trace when it is its turn, or else its
// time is taken. Not both: words take time.
[[gnu::cold]] SockResult<std::size_t> observed_send(Net& net, Sock& sk, const MsgHdr& msg);

}  // namespace txp
