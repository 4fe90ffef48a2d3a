// SPDX-License-Identifier: Apache-2.0
// inet_autobind: an ephemeral port for a socket that was not bound.
//
// Kernel twin: net/ipv4/af_inet.c, inet_autobind(); net/ipv4/udp.c, udp_lib_get_port().
// Differs: nothing. Drops: none; EAGAIN when no port is free.
#include "net.h"
#include "observe/trace.h"
#include "socket/sock.h"
#include "udp/udp_table.h"

namespace txp {

SockResult<void> inet_autobind(Net& net, Sock& sk, Trace* trace) {
  const std::lock_guard guard(sk.lock);
  if (sk.inet_num != 0) return {};  // another thread was first
  enter(net, Stage::inet_autobind, trace, 0);
  if (auto got = net.udp->get_port(sk, 0); !got) {
    if (trace != nullptr) trace->result(Stage::inet_autobind, "error");
    return err(EAGAIN);
  }
  sk.port_is_random = true;
  if (trace == nullptr) return {};
  const auto& range = net.sysctl().ip_local_port_range;
  NamedObject sysctl;
  sysctl.kind = "sysctl";
  sysctl.text = "net.ipv4.ip_local_port_range = " + std::to_string(range[0]) + "\t" +
                std::to_string(range[1]);
  trace->by(Stage::inet_autobind, std::move(sysctl));
  return {};
}

}  // namespace txp
