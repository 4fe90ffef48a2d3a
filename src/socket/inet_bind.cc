// SPDX-License-Identifier: Apache-2.0
// bind(2): whether this host may use the address, and whether the port is free.
//
// Kernel twin: net/ipv4/af_inet.c, inet_bind_sk(), __inet_bind().
// Differs: a cgroup bind program is not run (the mirror makes it an obstacle).
#include "base/rcu.h"
#include "net.h"
#include "observe/trace.h"
#include "route/ip_route.h"
#include "socket/sock.h"
#include "udp/udp_table.h"

namespace txp {
namespace {

// inet_addr_valid_or_nonlocal()
bool may_use(Net& net, const Sock& sk, Ip4 addr, RouteType type) {
  return net.sysctl().ip_nonlocal_bind || sk.freebind || sk.transparent || addr.is_zero() ||
         type == RouteType::local || type == RouteType::multicast || type == RouteType::broadcast;
}

}  // namespace

SockResult<void> inet_bind(Sock& sk, const SockAddr4& addr, Trace*) {
  Net& net = sk.net;
  const RcuReader reader;
  const std::lock_guard guard(sk.lock);
  const SockChange change(sk);
  if (addr.family != AF_INET && !(addr.family == AF_UNSPEC && addr.addr.is_zero()))
    return err(EAFNOSUPPORT);
  const RouteType type = inet_addr_type(net, addr.addr);
  if (!may_use(net, sk, addr.addr, type)) return err(EADDRNOTAVAIL);
  if (addr.port != 0 && addr.port < net.sysctl().ip_unprivileged_port_start && !sk.privileged)
    return err(EACCES);
  if (sk.connected || sk.inet_num != 0) return err(EINVAL);
  sk.inet_rcv_saddr = sk.inet_saddr = addr.addr;
  if (type == RouteType::multicast || type == RouteType::broadcast) sk.inet_saddr = Ip4{};
  if (addr.port != 0 || !sk.bind_address_no_port) {
    if (auto got = net.udp->get_port(sk, addr.port); !got) {
      sk.inet_rcv_saddr = sk.inet_saddr = Ip4{};
      return err(EADDRINUSE);
    }
    sk.port_is_random = addr.port == 0;
  }
  if (!sk.inet_rcv_saddr.is_zero()) sk.bound_addr = true;
  if (addr.port != 0) sk.bound_port = true;
  sk.inet_daddr = Ip4{};
  sk.inet_dport = 0;
  sk.dst_reset();
  return {};
}

}  // namespace txp
