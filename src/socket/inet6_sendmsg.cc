// SPDX-License-Identifier: Apache-2.0
// inet6_sendmsg: binds an unbound IPv6 socket, then hands over to UDP.
//
// Kernel twin: net/ipv6/af_inet6.c, inet6_sendmsg(); net/ipv4/af_inet.c, inet_send_prepare().
// Differs: nothing. Drops: none; EAGAIN when no port is free.
#include "net.h"
#include "socket/sock.h"

namespace txp {

SockResult<std::size_t> inet6_sendmsg(Net& net, Sock& sk, const MsgHdr& msg) {
  enter(net, Stage::inet6_sendmsg, msg.trace, msg.len());
  if (sk.inet_num == 0)
    if (auto bound = inet_autobind(net, sk, msg.trace); !bound)
      return std::unexpected(bound.error());
  return udpv6_sendmsg(net, sk, msg);
}

}  // namespace txp
