// SPDX-License-Identifier: Apache-2.0
// setsockopt and getsockopt at SOL_SOCKET; the other levels have files of their own.
//
// Kernel twin: net/core/sock.c, sk_setsockopt(), sk_getsockopt().
// Differs: options that only concern receiving are taken and have no effect.
#include <linux/net_tstamp.h>
#include <netinet/in.h>
#include <netinet/udp.h>
#include <sys/time.h>

#include <algorithm>
#include <array>
#include <cstring>
#include <string_view>

#include "base/rcu.h"
#include "dev/netdevice.h"
#include "net.h"
#include "socket/sockopt.h"

namespace txp {
namespace {

constexpr std::int32_t kSockMinSndbuf = 4608;  // SOCK_MIN_SNDBUF, x86-64
constexpr std::int32_t kSockMinRcvbuf = 2304;  // SOCK_MIN_RCVBUF, x86-64

std::int32_t doubled(int value, std::uint32_t max, std::int32_t min) {
  const auto wanted = static_cast<std::uint32_t>(std::max(value, 0));
  const std::uint32_t capped = std::min({wanted, max, std::uint32_t{0x3fffffff}});
  return std::max(static_cast<std::int32_t>(capped * 2), min);
}

SockResult<void> bind_to_device(Sock& sk, std::span<const std::uint8_t> value) {
  // The name ends at a zero byte or at IFNAMSIZ - 1 bytes.
  const auto* text = static_cast<const char*>(static_cast<const void*>(value.data()));
  const std::string_view name(text, ::strnlen(text, std::min<std::size_t>(value.size(), 15)));
  int ifindex = 0;
  if (!name.empty()) {
    const RcuReader reader;
    const NetDevice* dev = sk.net.dev->by_name(name);
    if (dev == nullptr) return err(ENODEV);
    ifindex = dev->ifindex;
  }
  if (sk.bound_dev_if != 0 && !sk.privileged) return err(EPERM);
  sk.bound_dev_if = ifindex;
  return {};
}

SockResult<void> bind_to_ifindex(Sock& sk, int ifindex) {
  if (ifindex < 0) return err(EINVAL);
  if (sk.bound_dev_if != 0 && !sk.privileged) return err(EPERM);
  sk.bound_dev_if = ifindex;
  return {};
}

// sock_set_timeout(): a struct timeval; zero is for ever.
SockResult<void> set_sndtimeo(Sock& sk, std::span<const std::uint8_t> value) {
  timeval tv;
  if (value.size() < sizeof tv) return err(EINVAL);
  std::memcpy(&tv, value.data(), sizeof tv);
  if (tv.tv_usec < 0 || tv.tv_usec >= 1'000'000) return err(EDOM);
  if (tv.tv_sec < 0)
    sk.sndtimeo = 0;
  else if (tv.tv_sec == 0 && tv.tv_usec == 0)
    sk.sndtimeo = -1;
  else
    sk.sndtimeo = std::min<std::int64_t>(tv.tv_sec, 1'000'000'000) * kSecond + tv.tv_usec * 1000;
  return {};
}

SockResult<void> set_txtime(Sock& sk, std::span<const std::uint8_t> value) {
  sock_txtime txtime;
  if (value.size() != sizeof txtime) return err(EINVAL);
  std::memcpy(&txtime, value.data(), sizeof txtime);
  if ((txtime.flags & ~static_cast<unsigned>(SOF_TXTIME_FLAGS_MASK)) != 0) return err(EINVAL);
  if (txtime.clockid != CLOCK_MONOTONIC && !sk.privileged) return err(EPERM);
  sk.txtime = true;
  return {};
}

SockResult<void> socket_level(Sock& sk, int optname, std::span<const std::uint8_t> value) {
  if (optname == SO_BINDTODEVICE) return bind_to_device(sk, value);
  int val;
  if (value.size() < sizeof val) return err(EINVAL);
  std::memcpy(&val, value.data(), sizeof val);
  const bool on = val != 0;
  switch (optname) {
    case SO_BINDTOIFINDEX: return bind_to_ifindex(sk, val);
    case SO_REUSEADDR: sk.reuse = on; return {};
    case SO_REUSEPORT: sk.reuseport = on; return {};
    case SO_DONTROUTE: sk.localroute = on; return {};
    case SO_BROADCAST: sk.broadcast = on; return {};
    case SO_NO_CHECK: sk.no_check_tx = on; return {};
    case SO_SNDBUF: sk.sndbuf = doubled(val, sk.net.sysctl().wmem_max, kSockMinSndbuf); return {};
    case SO_SNDBUFFORCE:
      if (!sk.privileged) return err(EPERM);
      sk.sndbuf = doubled(val, 0x3fffffff, kSockMinSndbuf);
      return {};
    case SO_RCVBUF: sk.rcvbuf = doubled(val, sk.net.sysctl().rmem_max, kSockMinRcvbuf); return {};
    case SO_RCVBUFFORCE:
      if (!sk.privileged) return err(EPERM);
      sk.rcvbuf = doubled(val, 0x3fffffff, kSockMinRcvbuf);
      return {};
    case SO_PRIORITY:
      if (!sk_set_prio_allowed(sk, static_cast<std::uint32_t>(val))) return err(EPERM);
      sk.priority = static_cast<std::uint32_t>(val);
      return {};
    case SO_MARK:
      if (!sk.privileged) return err(EPERM);
      sk.mark = static_cast<std::uint32_t>(val);
      return {};
    case SO_SNDTIMEO: return set_sndtimeo(sk, value);
    case SO_TXTIME: return set_txtime(sk, value);
    case SO_MAX_PACING_RATE:  // read by fq alone, which is not among the disciplines
    case SO_RCVTIMEO:
    case SO_KEEPALIVE:
    case SO_OOBINLINE:
    case SO_LINGER:
    case SO_RCVLOWAT:
    case SO_PASSCRED:
    case SO_TIMESTAMP:
    case SO_TIMESTAMPNS:
    case SO_RXQ_OVFL:
    case SO_BUSY_POLL:
    case SO_INCOMING_CPU: return {};
    case SO_TIMESTAMPING:
    case SO_ATTACH_FILTER:
    case SO_ATTACH_BPF:
    case SO_ZEROCOPY: return err(kUnknown);
    default: return err(ENOPROTOOPT);
  }
}

SockResult<int> socket_level_get(Sock& sk, int optname) {
  switch (optname) {
    case SO_TYPE: return SOCK_DGRAM;
    case SO_DOMAIN: return AF_INET;
    case SO_PROTOCOL: return IPPROTO_UDP;
    case SO_ERROR: return sk.sk_err.exchange(0);
    case SO_REUSEADDR: return sk.reuse;
    case SO_REUSEPORT: return sk.reuseport;
    case SO_DONTROUTE: return sk.localroute;
    case SO_BROADCAST: return sk.broadcast;
    case SO_NO_CHECK: return sk.no_check_tx;
    case SO_SNDBUF: return sk.sndbuf.load();
    case SO_RCVBUF: return sk.rcvbuf.load();
    case SO_PRIORITY: return static_cast<int>(sk.priority);
    case SO_MARK: return static_cast<int>(sk.mark);
    case SO_BINDTOIFINDEX: return sk.bound_dev_if;
    default: return err(ENOPROTOOPT);
  }
}

}  // namespace

bool sk_set_prio_allowed(const Sock& sk, std::uint32_t priority) {
  return priority <= 6 || sk.privileged;
}

std::uint32_t rt_tos2priority(std::uint8_t tos) {
  // ip_tos2prio[], by the four TOS bits: best effort, bulk, interactive, interactive bulk.
  constexpr std::array<std::uint8_t, 16> kTosToPriority = {0, 0, 0, 0, 2, 2, 2, 2,
                                                           6, 6, 6, 6, 4, 4, 4, 4};
  return kTosToPriority[static_cast<std::size_t>((tos & 0x1e) >> 1)];
}

SockResult<void> sock_setsockopt(Sock& sk, int level, int optname,
                                 std::span<const std::uint8_t> value) {
  const std::lock_guard guard(sk.lock);
  switch (level) {
    case SOL_SOCKET: return socket_level(sk, optname, value);
    case IPPROTO_IP: return ip_setsockopt(sk, optname, value);
    case SOL_UDP: return udp_setsockopt(sk, optname, value);
    default: return err(ENOPROTOOPT);
  }
}

SockResult<std::size_t> sock_getsockopt(Sock& sk, int level, int optname,
                                        std::span<std::uint8_t> value) {
  const std::lock_guard guard(sk.lock);
  SockResult<int> got = err(EOPNOTSUPP);
  if (level == SOL_SOCKET) got = socket_level_get(sk, optname);
  if (level == IPPROTO_IP) got = ip_getsockopt(sk, optname);
  if (level == SOL_UDP) got = udp_getsockopt(sk, optname);
  if (!got) return std::unexpected(got.error());
  const std::size_t n = std::min(value.size(), sizeof(int));
  std::memcpy(value.data(), &*got, n);
  return n;
}

}  // namespace txp
