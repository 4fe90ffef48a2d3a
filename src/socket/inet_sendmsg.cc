// SPDX-License-Identifier: Apache-2.0
// inet_sendmsg: binds an unbound socket, then hands over to UDP.
//
// Kernel twin: net/ipv4/af_inet.c, inet_sendmsg(), inet_send_prepare().
// Differs: nothing. Drops: none; EAGAIN when no port is free.
#include "net.h"
#include "socket/sock.h"

namespace txp {

SockResult<std::size_t> inet_sendmsg(Net& net, Sock& sk, const MsgHdr& msg) {
  enter(net, Stage::inet_sendmsg, msg.trace, msg.len());
  if (sk.inet_num == 0)
    if (auto bound = inet_autobind(net, sk, msg.trace); !bound)
      return std::unexpected(bound.error());
  return udp_sendmsg(net, sk, msg);
}

}  // namespace txp
