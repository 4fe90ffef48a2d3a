// SPDX-License-Identifier: Apache-2.0
// socket(2), shutdown(2) and close(2) of a UDP socket, and its last reference.
//
// Kernel twin: net/ipv4/af_inet.c, inet_create(), inet_shutdown(), inet_release(); net/core/sock.c,
// sk_free(), sock_wfree().
#include <unistd.h>

#include "dev/netdevice.h"
#include "net.h"
#include "plan/plan.h"
#include "route/fib_exceptions.h"
#include "socket/inet6_sock.h"
#include "socket/sock.h"
#include "socket/sockopt.h"
#include "udp/udp_table.h"

namespace txp {

Sock::Sock(Net& n, std::uint32_t owner)
    : net(n),
      uid(owner),
      gid(::getegid()),
      pmtudisc(n.sysctl().ip_no_pmtu_disc == 0 ? 1 : 0),
      sndbuf(static_cast<std::int32_t>(n.sysctl().wmem_default)),
      rcvbuf(static_cast<std::int32_t>(n.sysctl().rmem_default)),
      forward_threshold(static_cast<std::uint32_t>(rcvbuf.load()) >> 2),
      cookie(n.sock_cookie.fetch_add(1, std::memory_order_relaxed) + 1),
      plan_generation(n.generations.new_socket_state()) {}

std::optional<IpOptions> Sock::ip_options() const {
  if (!has_ip_options()) return std::nullopt;
  const std::lock_guard guard(opt_lock_);
  return inet_opt_;
}

void Sock::set_ip_options(const IpOptions& opt) {
  const std::lock_guard guard(opt_lock_);
  inet_opt_ = opt;
  has_opt_.store(opt.optlen != 0, std::memory_order_release);
}

void Sock::dst_set(const Rtable& rt) {
  const auto change = [](auto& to, auto value) {  // a send rarely changes anything
    if (to.load(std::memory_order_relaxed) != value) to.store(value, std::memory_order_relaxed);
  };
  const auto learnt = net.exceptions->find(inet_daddr, rt.gateway, rt.dev->ifindex);
  change(dst_expires, learnt && learnt->mtu == rt.mtu ? learnt->expires : 0);
  change(dst_oif, rt.dev->ifindex);
  change(dst_mtu, rt.mtu == rt.dev->mtu() ? kDstDevice : rt.mtu);
}

Sock::~Sock() { delete plan.load(std::memory_order_relaxed); }

void Sock::changed() {
  plan_generation.store(net.generations.new_socket_state(), std::memory_order_release);
}

Sock* inet_create(Net& net, std::uint32_t uid) {
  const RcuReader reader;
  return new (std::nothrow) Sock(net, uid);
}

Sock* inet6_create(Net& net, std::uint32_t uid) {
  Sock* sk = inet_create(net, uid);
  if (sk == nullptr) return nullptr;
  const RcuReader reader;
  sk->inet6 = std::make_unique<Ipv6Pinfo>();
  sk->inet6->v6only = net.sysctl().bindv6only;
  return sk;
}

SockResult<void> inet_shutdown(Sock& sk, int how) {
  if (how < SHUT_RD || how > SHUT_RDWR) return err(EINVAL);
  const std::lock_guard guard(sk.lock);
  if (how != SHUT_WR) sk.shutdown_recv = true;
  if (how != SHUT_RD) sk.shutdown_send = true;
  sk.changed();
  if (!sk.connected) return err(ENOTCONN);  // and is shut down all the same
  return {};
}

void inet_release(Sock& sk) {
  {
    const std::lock_guard guard(sk.lock);
    udp_flush_pending_frames(sk);
    sk.net.udp->unhash(sk);
  }
  ip_mc_drop_socket(sk);
  ipv6_mc_drop_socket(sk);
  sk_wfree(sk, 1);
}

void sk_wfree(Sock& sk, std::uint32_t size) {
  const std::uint32_t before = sk.wmem_alloc.fetch_sub(size, std::memory_order_acq_rel);
  if (before == size) {
    delete &sk;
    return;
  }
  if (sk.nospace) sk.space.notify_all();
}

}  // namespace txp
