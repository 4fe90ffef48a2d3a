// SPDX-License-Identifier: Apache-2.0
// send() and sendto() of one block of bytes: a flight when the flow has a plan, and everything else
// by sock_sendmsg(). Inline, as a flight costs little more than the calls down to it.
#pragma once

#include "net.h"
#include "plan/plan.h"
#include "socket/sock.h"

namespace txp {

// The block by sock_sendmsg(), or as `code` says that its flight failed.
[[nodiscard]] SockResult<std::size_t> sock_send_slow(Net& net, Sock& sk, const iovec& block,
                                                     const SockAddr4* to, int flags, int code);

// To `to`, or to the connected peer (null).
[[nodiscard]] inline SockResult<std::size_t> sock_send(Net& net, Sock& sk, const iovec& block,
                                                       const SockAddr4* to, int flags) {
  int code = 0;
  if (!net.observed() && (flags & ~kPlainFlags) == 0 &&
      fly_run(net, sk, to, {&block, 1}, code) != 0) [[likely]]
    return block.iov_len;
  return sock_send_slow(net, sk, block, to, flags, code);
}

}  // namespace txp
