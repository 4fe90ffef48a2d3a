// SPDX-License-Identifier: Apache-2.0
// bind(2) of an IPv6 socket: whether this host may use the address, and whether the port is free.
//
// Kernel twin: net/ipv6/af_inet6.c, inet6_bind_sk(), __inet6_bind().
// Differs: a cgroup bind program is not run (the mirror makes it an obstacle).
#include <netinet/in.h>

#include "base/rcu.h"
#include "dev/netdevice.h"
#include "net.h"
#include "route/ip6_route.h"
#include "route/ip_route.h"
#include "socket/inet6_sock.h"
#include "udp/udp_table.h"

namespace txp {
namespace {

constexpr Ip4 kLoopback4Ipv6{0x7f000006};  // LOOPBACK4_IPV6: no address that IPv4 has

bool may_use_mapped(Net& net, const Sock& sk, Ip4 addr) {
  const RouteType type = inet_addr_type(net, addr);
  return net.sysctl().ip_nonlocal_bind || sk.freebind || sk.transparent || addr.is_zero() ||
         type == RouteType::local || type == RouteType::multicast || type == RouteType::broadcast;
}

// Whether `addr` may be bound: 0 or an errno. Takes the scope's device.
int check_addr(Net& net, Sock& sk, const SockAddr6& addr, const Ip6Type& t) {
  if (t.needs_scope_id()) {
    if (addr.scope_id != 0) sk.bound_dev_if = static_cast<int>(addr.scope_id);
    if (sk.bound_dev_if == 0) return EINVAL;
  }
  const NetDevice* dev = nullptr;
  if (sk.bound_dev_if != 0) {
    dev = net.dev->by_index(sk.bound_dev_if);
    if (dev == nullptr) return ENODEV;
  }
  const bool nonlocal = net.sysctl().ip6_nonlocal_bind || sk.freebind || sk.transparent;
  if (!t.is(kIpv6AddrMulticast) && !nonlocal && !ipv6_chk_addr(net, addr.addr, dev))
    return EADDRNOTAVAIL;
  return 0;
}

}  // namespace

SockResult<void> inet6_bind(Sock& sk, const SockAddr6& addr) {
  Net& net = sk.net;
  const RcuReader reader;
  const std::lock_guard guard(sk.lock);
  const SockChange change(sk);
  Ipv6Pinfo& np = *sk.inet6;
  const Ip6Type t = addr.addr.type();
  if (addr.port != 0 && addr.port < net.sysctl().ip_unprivileged_port_start && !sk.privileged)
    return err(EACCES);
  if (sk.connected || sk.inet_num != 0) return err(EINVAL);
  Ip4 v4;
  const bool mapped = addr.addr.is_v4mapped();
  if (mapped) {
    if (np.v6only) return err(EINVAL);
    v4 = addr.addr.v4();
    if (!may_use_mapped(net, sk, v4)) return err(EADDRNOTAVAIL);
  } else if (!addr.addr.is_any()) {
    if (const int code = check_addr(net, sk, addr, t); code != 0) return err(code);
    v4 = kLoopback4Ipv6;
  }
  sk.inet_rcv_saddr = sk.inet_saddr = v4;
  np.rcv_saddr = addr.addr;
  if (!t.is(kIpv6AddrMulticast)) np.saddr = addr.addr;
  const bool saved = np.v6only;
  if (!addr.addr.is_any() && !mapped) np.v6only = true;
  if (addr.port != 0 || !sk.bind_address_no_port) {
    if (auto got = net.udp->get_port(sk, addr.port); !got) {
      np.v6only = saved;
      inet_reset_saddr(sk);
      return err(EADDRINUSE);
    }
    sk.port_is_random = addr.port == 0;
  }
  if (!addr.addr.is_any()) sk.bound_addr = true;
  if (addr.port != 0) sk.bound_port = true;
  sk.inet_daddr = Ip4{};
  sk.inet_dport = 0;
  sk.dst_reset();
  return {};
}

}  // namespace txp
