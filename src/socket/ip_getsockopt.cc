// SPDX-License-Identifier: Apache-2.0
// getsockopt at IPPROTO_IP.
//
// Kernel twin: net/ipv4/ip_sockglue.c, do_ip_getsockopt().
// Differs: IP_MSFILTER and MCAST_MSFILTER are unknown.
#include <netinet/in.h>

#include <algorithm>

#include "base/rcu.h"
#include "dev/netdevice.h"
#include "ip/ip.h"
#include "ip/ip_options.h"
#include "net.h"
#include "route/ip_route.h"
#include "socket/sockopt.h"
#include "socket/sockopt_names.h"

namespace txp {
namespace {

// copyval: one byte where there is no room for an int and the value fits.
std::size_t put_int(OptRoom room, int val) {
  if (room.size() < sizeof val && !room.empty() && val >= 0 && val <= 255) {
    room[0] = static_cast<std::uint8_t>(val);
    return 1;
  }
  return store(room, val);
}

std::size_t get_options(const Sock& sk, OptRoom room) {
  std::optional<IpOptions> opt = sk.ip_options();
  if (!opt) return 0;
  ip_options_undo(*opt);
  const std::size_t n = std::min<std::size_t>(room.size(), opt->optlen);
  std::copy_n(opt->data.data(), n, room.data());
  return n;
}

// ipv4_mtu() of a route that has outlived the path MTU that it learnt.
std::uint32_t mtu_after(const Sock& sk) {
  Flow4 fl4;
  fl4.oif = sk.bound_dev_if;
  fl4.mark = sk.mark;
  fl4.uid = sk.uid;
  fl4.tos = sk.tos & 0xfc;
  fl4.proto = IPPROTO_UDP;
  fl4.saddr = sk.inet_saddr;
  fl4.daddr = sk.inet_daddr;
  const RcuReader reader;
  const auto rt = ip_route_output_flow(sk.net, fl4, nullptr);
  return rt ? rt->mtu : Sock::kDstNone;
}

SockResult<std::size_t> get_mtu(const Sock& sk, OptRoom room) {
  std::uint32_t mtu = sk.dst_mtu.load(std::memory_order_relaxed);
  const Nanos expires = sk.dst_expires.load(std::memory_order_relaxed);
  if (mtu != Sock::kDstNone && expires != 0 && sk.net.clock.now() >= expires) {
    mtu = mtu_after(sk);
  } else if (mtu == Sock::kDstDevice) {
    const RcuReader reader;
    const NetDevice* dev = sk.net.dev->by_index(sk.dst_oif.load(std::memory_order_relaxed));
    mtu = dev != nullptr ? std::min(dev->mtu(), kIpMaxMtu) : Sock::kDstNone;
  }
  if (mtu == Sock::kDstNone) return err(ENOTCONN);
  return put_int(room, static_cast<int>(mtu));
}

}  // namespace

SockResult<std::size_t> ip_getsockopt(Sock& sk, int optname, OptRoom room) {
  if (const auto flag = find_flag(kIpFlags, optname)) return put_int(room, sk.flag(*flag));
  switch (optname) {
    case IP_TOS: return put_int(room, sk.tos);
    case IP_TTL: return put_int(room, sk.uc_ttl < 0 ? sk.net.sysctl().ip_default_ttl : sk.uc_ttl);
    case IP_MINTTL: return put_int(room, sk.min_ttl);
    case IP_MULTICAST_TTL: return put_int(room, sk.mc_ttl);
    case IP_MULTICAST_LOOP: return put_int(room, sk.mc_loop);
    case IP_MULTICAST_ALL: return put_int(room, sk.mc_all);
    case IP_MULTICAST_IF: return store(room, htonl(sk.mc_addr.host));
    case IP_MTU_DISCOVER: return put_int(room, sk.pmtudisc);
    case IP_RECVERR: return put_int(room, sk.recverr);
    case IP_RECVERR_RFC4884: return put_int(room, sk.recverr_rfc4884);
    case IP_FREEBIND: return put_int(room, sk.freebind);
    case IP_TRANSPARENT: return put_int(room, sk.transparent);
    case IP_BIND_ADDRESS_NO_PORT: return put_int(room, sk.bind_address_no_port);
    case IP_LOCAL_PORT_RANGE: return put_int(room, static_cast<int>(sk.local_port_range));
    case IP_UNICAST_IF:
      return put_int(room, static_cast<int>(htonl(static_cast<std::uint32_t>(sk.uc_index))));
    case IP_PROTOCOL: return put_int(room, sk.inet_num);  // so the kernel, for all kinds of sockets
    case IP_MTU: return get_mtu(sk, room);
    case IP_OPTIONS: return get_options(sk, room);
    case IP_HDRINCL:
    case IP_NODEFRAG:
    case IP_ROUTER_ALERT: return put_int(room, 0);
    case IP_MSFILTER:
      if (room.size() < IP_MSFILTER_SIZE(0)) return err(EINVAL);
      return err(kUnknown);
    case MCAST_MSFILTER:
      if (room.size() < GROUP_FILTER_SIZE(0)) return err(EINVAL);
      return err(kUnknown);
    default: return err(ENOPROTOOPT);
  }
}

}  // namespace txp
