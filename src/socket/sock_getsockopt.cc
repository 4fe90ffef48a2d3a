// SPDX-License-Identifier: Apache-2.0
// getsockopt at SOL_SOCKET; the other levels have files of their own.
//
// Kernel twin: net/core/sock.c, sk_getsockopt(), sock_getbindtodevice().
// Differs: SO_NETNS_COOKIE is unknown; SO_COOKIE counts the sockets of its Net.
#include <netinet/in.h>
#include <sys/time.h>

#include "base/rcu.h"
#include "dev/netdevice.h"
#include "net.h"
#include "socket/inet6_sock.h"
#include "socket/sockopt.h"
#include "socket/sockopt_names.h"
#include "socket/timestamping.h"

namespace txp {
namespace {

int sock_error(Sock& sk) {
  const int hard = sk.sk_err.exchange(0, std::memory_order_relaxed);
  return hard != 0 ? hard : sk.sk_err_soft.exchange(0, std::memory_order_relaxed);
}

timeval as_timeval(std::int64_t ns) {
  if (ns < 0) return {};  // for ever
  return {ns / kSecond, ns % kSecond / 1000};
}

SockResult<std::size_t> bound_device(const Sock& sk, OptRoom room) {
  if (sk.bound_dev_if == 0) return 0;
  if (room.size() < 16) return err(EINVAL);  // IFNAMSIZ
  const RcuReader reader;
  const NetDevice* dev = sk.net.dev->by_index(sk.bound_dev_if);
  if (dev == nullptr) return err(ENODEV);
  const std::size_t n = dev->name().size() + 1;
  std::memcpy(room.data(), dev->name().c_str(), n);
  return n;
}

SockResult<std::size_t> peer_name(const Sock& sk, OptRoom room) {
  if (sk.inet_dport == 0) return err(ENOTCONN);
  if (sk.inet6) {
    sockaddr_in6 name6{};
    if (room.size() > sizeof name6) return err(EINVAL);
    name6.sin6_family = AF_INET6;
    name6.sin6_port = htons(sk.inet_dport);
    sk.inet6->daddr.store(name6.sin6_addr.s6_addr);
    if (sk.inet6->daddr.type().needs_scope_id())
      name6.sin6_scope_id = static_cast<std::uint32_t>(sk.bound_dev_if);
    return store(room, name6);
  }
  sockaddr_in name{};
  if (room.size() > sizeof name) return err(EINVAL);
  name.sin_family = AF_INET;
  name.sin_port = htons(sk.inet_dport);
  name.sin_addr.s_addr = htonl(sk.inet_daddr.host);
  return store(room, name);
}

// sk_get_meminfo(), by SK_MEMINFO_*.
std::array<std::uint32_t, 9> meminfo(const Sock& sk) {
  return {sk.rmem_alloc.load(),
          static_cast<std::uint32_t>(sk.rcvbuf.load()),
          sk.wmem_alloc.load() - 1,
          static_cast<std::uint32_t>(sk.sndbuf.load()),
          0,
          0,
          0,
          0,
          static_cast<std::uint32_t>(sk.drops.load())};
}

bool timestamp_as(const Sock& sk, bool is_new, bool ns) {
  return sk.flag(SockFlag::rcvtstamp) && sk.flag(SockFlag::rcvtstampns) == ns &&
         sk.flag(SockFlag::tstamp_new) == is_new;
}

struct Timestamping {  // struct so_timestamping
  std::uint32_t flags;
  std::int32_t bind_phc;
};

}  // namespace

SockResult<std::size_t> sk_getsockopt(Sock& sk, int optname, OptRoom room) {
  if (const auto flag = find_flag(kSocketFlags, optname)) return store(room, int{sk.flag(*flag)});
  switch (optname) {
    case SO_TYPE: return store(room, int{SOCK_DGRAM});
    case SO_DOMAIN: return store(room, sk.inet6 ? int{AF_INET6} : int{AF_INET});
    case SO_PROTOCOL: return store(room, int{IPPROTO_UDP});
    case SO_ERROR: return store(room, sock_error(sk));
    case SO_REUSEADDR: return store(room, int{sk.reuse});
    case SO_REUSEPORT: return store(room, int{sk.reuseport});
    case SO_DONTROUTE: return store(room, int{sk.localroute});
    case SO_BROADCAST: return store(room, int{sk.broadcast});
    case SO_NO_CHECK: return store(room, int{sk.no_check_tx});
    case SO_SNDBUF: return store(room, sk.sndbuf.load());
    case SO_RCVBUF: return store(room, sk.rcvbuf.load());
    case SO_BUF_LOCK: return store(room, int{sk.buf_lock});
    case SO_PRIORITY: return store(room, sk.priority);
    case SO_MARK: return store(room, sk.mark);
    case SO_BINDTOIFINDEX: return store(room, sk.bound_dev_if);
    case SO_BINDTODEVICE: return bound_device(sk, room);
    case SO_LINGER:
      return store(room, linger{sk.flag(SockFlag::linger), static_cast<int>(sk.lingertime)});
    case SO_SNDTIMEO_OLD:
    case SO_SNDTIMEO_NEW: return store(room, as_timeval(sk.sndtimeo));
    case SO_RCVTIMEO_OLD:
    case SO_RCVTIMEO_NEW: return store(room, as_timeval(sk.rcvtimeo));
    case SO_TXTIME: {
      sock_txtime t{sk.clockid, 0};
      if (sk.txtime_deadline_mode) t.flags |= SOF_TXTIME_DEADLINE_MODE;
      if (sk.txtime_report_errors) t.flags |= SOF_TXTIME_REPORT_ERRORS;
      return store(room, t);
    }
    case SO_TIMESTAMPING_OLD: return store(room, Timestamping{sk.tsflags, 0});
    case SO_TIMESTAMPING_NEW:
      return store(room, Timestamping{sk.flag(SockFlag::tstamp_new) ? sk.tsflags : 0, 0});
    case SO_TIMESTAMP_OLD: return store(room, int{timestamp_as(sk, false, false)});
    case SO_TIMESTAMP_NEW:  // the kernel does not look whether nanoseconds were asked for
      return store(room, int{sk.flag(SockFlag::rcvtstamp) && sk.flag(SockFlag::tstamp_new)});
    case SO_TIMESTAMPNS_OLD: return store(room, int{timestamp_as(sk, false, true)});
    case SO_TIMESTAMPNS_NEW: return store(room, int{timestamp_as(sk, true, true)});
    case SO_MAX_PACING_RATE:
      if (room.size() >= sizeof sk.max_pacing_rate) return store(room, sk.max_pacing_rate.load());
      return store(room, static_cast<std::uint32_t>(
                             std::min<std::uint64_t>(sk.max_pacing_rate.load(), 0xffffffffU)));
    case SO_RCVLOWAT: return store(room, sk.rcvlowat);
    case SO_SNDLOWAT: return store(room, int{1});
    case SO_PEEK_OFF: return store(room, sk.peek_off);
    case SO_INCOMING_CPU: return store(room, sk.incoming_cpu);
    case SO_BUSY_POLL: return store(room, sk.busy_poll);
    case SO_PEERNAME: return peer_name(sk, room);
    case SO_PEERCRED: {
      constexpr auto kNobody = static_cast<std::uint32_t>(-1);
      return store(room, std::array<std::uint32_t, 3>{0, kNobody, kNobody});
    }
    case SO_PEERGROUPS:
    case SO_PEERPIDFD: return err(ENODATA);
    case SO_MEMINFO: return store(room, meminfo(sk));
    case SO_BPF_EXTENSIONS: return store(room, int{SKF_AD_MAX});
    case SO_ATTACH_FILTER: return 0;  // SO_GET_FILTER: there is none
    case SO_COOKIE:
      if (room.size() < sizeof sk.cookie) return err(EINVAL);
      return store(room, sk.cookie);
    case SO_NETNS_COOKIE:
      if (room.size() != sizeof(std::uint64_t)) return err(EINVAL);
      return err(kUnknown);
    case SO_BSDCOMPAT:
    case SO_ACCEPTCONN:
    case SO_INCOMING_NAPI_ID:
    case SO_RESERVE_MEM: return store(room, int{0});
    case SO_ZEROCOPY: return store(room, int{sk.zerocopy});
    case SO_TXREHASH:
    case SO_PASSCRED:
    case SO_PASSSEC:
    case SO_PASSPIDFD:
    case SO_PASSRIGHTS: return err(EOPNOTSUPP);
    default: return err(ENOPROTOOPT);
  }
}

SockResult<std::size_t> sock_getsockopt(Sock& sk, int level, int optname, OptRoom room) {
  const std::lock_guard guard(sk.lock);
  switch (level) {
    case SOL_SOCKET: return sk_getsockopt(sk, optname, room);
    case IPPROTO_IP: return ip_getsockopt(sk, optname, room);
    case IPPROTO_IPV6:
      if (!sk.inet6) return err(EOPNOTSUPP);
      return ipv6_getsockopt(sk, optname, room);
    case SOL_UDP:
    case IPPROTO_UDPLITE: return udp_getsockopt(sk, optname, room);
    default: return err(EOPNOTSUPP);
  }
}

}  // namespace txp
