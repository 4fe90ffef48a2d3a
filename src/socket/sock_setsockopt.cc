// SPDX-License-Identifier: Apache-2.0
// setsockopt at SOL_SOCKET; the other levels have files of their own.
//
// Kernel twin: net/core/sock.c, sk_setsockopt(), sock_set_timestamping().
// Differs: socket filters and reuseport programs are unknown; options that only
// concern receiving are kept and have no effect. Where kernels differ, the answers are 6.18's.
#include <net/if.h>
#include <netinet/in.h>
#include <netinet/udp.h>
#include <sys/time.h>

#include <algorithm>
#include <array>
#include <string_view>

#include "base/rcu.h"
#include "dev/netdevice.h"
#include "net.h"
#include "socket/sockopt.h"
#include "socket/sockopt_names.h"
#include "socket/timestamping.h"

namespace txp {
namespace {

constexpr std::int32_t kSockMinSndbuf = 4608;  // SOCK_MIN_SNDBUF, x86-64
constexpr std::int32_t kSockMinRcvbuf = 2304;  // SOCK_MIN_RCVBUF, x86-64
constexpr std::uint8_t kSndbufLock = 1;        // SOCK_SNDBUF_LOCK
constexpr std::uint8_t kRcvbufLock = 2;

// Half of what fits into an int at most, so that the kernel's doubling stays one.
std::int32_t doubled(std::uint32_t wanted, std::int32_t min) {
  const auto half = static_cast<std::int32_t>(std::min(wanted, std::uint32_t{0x3fffffff}));
  return std::max(half * 2, min);
}

void set_sndbuf(Sock& sk, std::uint32_t bytes) {
  sk.buf_lock |= kSndbufLock;
  sk.sndbuf = doubled(bytes, kSockMinSndbuf);
  sk.space.notify_all();  // sk_write_space()
}

void set_rcvbuf(Sock& sk, std::uint32_t bytes) {
  sk.buf_lock |= kRcvbufLock;
  sk.rcvbuf = doubled(bytes, kSockMinRcvbuf);
  const std::lock_guard guard(sk.rx_lock);
  sk.forward_threshold = static_cast<std::uint32_t>(sk.rcvbuf.load()) >> 2;
}

std::uint32_t not_negative(int val) { return static_cast<std::uint32_t>(std::max(val, 0)); }

SockResult<void> bind_to_index(Sock& sk, int ifindex) {  // sock_bindtoindex_locked()
  if (sk.bound_dev_if != 0 && !sk.privileged) return err(EPERM);
  if (ifindex < 0) return err(EINVAL);
  sk.bound_dev_if = ifindex;
  sk.dst_reset();
  return {};
}

SockResult<void> bind_to_device(Sock& sk, OptValue value) {
  // The name ends at a zero byte or at IFNAMSIZ - 1 bytes.
  const auto* text = static_cast<const char*>(static_cast<const void*>(value.data()));
  const std::string_view room(text, std::min<std::size_t>(value.size(), IF_NAMESIZE - 1));
  const std::string_view name = room.substr(0, room.find('\0'));
  int ifindex = 0;
  if (!name.empty()) {
    const RcuReader reader;
    const NetDevice* dev = sk.net.dev->by_name(name);
    if (dev == nullptr) return err(ENODEV);
    ifindex = dev->ifindex;
  }
  return bind_to_index(sk, ifindex);
}

// sock_set_timeout(): zero is for ever. The kernel counts in ticks, which getsockopt() shows.
template <typename Timeout>
SockResult<void> set_timeout(Sock& sk, Timeout& to, OptValue value) {
  if (value.size() < sizeof(timeval)) return err(EINVAL);
  const auto tv = load<timeval>(value);
  if (tv.tv_usec < 0 || tv.tv_usec >= 1'000'000) return err(EDOM);
  if (tv.tv_sec < 0) {
    to = 0;
  } else if (tv.tv_sec == 0 && tv.tv_usec == 0) {
    to = -1;
  } else {
    const Nanos tick = kSecond / sk.net.sysctl().hz;
    const Nanos part = (tv.tv_usec * 1000 + tick - 1) / tick * tick;
    to = std::min<std::int64_t>(tv.tv_sec, 1'000'000'000) * kSecond + part;
  }
  return {};
}

SockResult<void> set_txtime(Sock& sk, OptValue value) {
  if (value.size() != sizeof(sock_txtime)) return err(EINVAL);
  const auto txtime = load<sock_txtime>(value);
  if ((txtime.flags & ~static_cast<unsigned>(SOF_TXTIME_FLAGS_MASK)) != 0) return err(EINVAL);
  if (txtime.clockid != CLOCK_MONOTONIC && !sk.privileged) return err(EPERM);
  // sockopt_validate_clockid()
  if (txtime.clockid != CLOCK_REALTIME && txtime.clockid != CLOCK_MONOTONIC &&
      txtime.clockid != CLOCK_TAI)
    return err(EINVAL);
  sk.txtime = true;
  sk.clockid = txtime.clockid;
  sk.txtime_deadline_mode = (txtime.flags & SOF_TXTIME_DEADLINE_MODE) != 0;
  sk.txtime_report_errors = (txtime.flags & SOF_TXTIME_REPORT_ERRORS) != 0;
  return {};
}

SockResult<void> set_timestamping(Sock& sk, OptValue value, bool is_new) {
  const auto flags = load<std::uint32_t>(value);
  if ((flags & ~kSofMask) != 0) return err(EINVAL);
  if ((flags & kSofOptIdTcp) != 0 && (flags & SOF_TIMESTAMPING_OPT_ID) == 0) return err(EINVAL);
  if ((flags & SOF_TIMESTAMPING_OPT_STATS) != 0 && (flags & SOF_TIMESTAMPING_OPT_TSONLY) == 0)
    return err(EINVAL);
  if ((flags & SOF_TIMESTAMPING_BIND_PHC) != 0) return err(kUnknown);  // a hardware clock
  if ((flags & SOF_TIMESTAMPING_OPT_ID) != 0 && (sk.tsflags & SOF_TIMESTAMPING_OPT_ID) == 0)
    sk.tskey = 0;
  sk.tsflags = flags;
  sk.set_flag(SockFlag::tstamp_new, is_new);
  return {};
}

void set_timestamp(Sock& sk, bool on, bool is_new, bool ns) {  // __sock_set_timestamps()
  sk.set_flag(SockFlag::rcvtstamp, on);
  sk.set_flag(SockFlag::rcvtstampns, on && ns);
  if (on) sk.set_flag(SockFlag::tstamp_new, is_new);
}

SockResult<void> set_linger(Sock& sk, OptValue value) {
  if (value.size() < sizeof(linger)) return err(EINVAL);
  const auto given = load<linger>(value);
  sk.set_flag(SockFlag::linger, given.l_onoff != 0);
  if (given.l_onoff != 0) sk.lingertime = static_cast<unsigned>(given.l_linger);
  return {};
}

void set_max_pacing_rate(Sock& sk, OptValue value, int val) {
  if (value.size() >= sizeof(std::uint64_t))
    sk.max_pacing_rate = load<std::uint64_t>(value);
  else
    sk.max_pacing_rate = val == -1 ? ~std::uint64_t{0} : static_cast<std::uint32_t>(val);
}

SockResult<void> in_range(int val, int low, int high) {
  if (val < low || val > high) return err(EINVAL);
  return {};
}

}  // namespace

std::optional<SockFlag> find_flag(std::span<const FlagOption> options, int optname) {
  for (const FlagOption& o : options)
    if (o.optname == optname) return o.flag;
  return std::nullopt;
}

SockResult<void> sk_setsockopt(Sock& sk, int optname, OptValue value) {
  if (optname == SO_BINDTODEVICE) return bind_to_device(sk, value);
  if (value.size() < sizeof(int)) return err(EINVAL);
  const int val = load<int>(value);
  const bool on = val != 0;
  if (const auto flag = find_flag(kSocketFlags, optname)) {
    if (on && !sk.privileged && *flag == SockFlag::dbg) return err(EACCES);
    if (on && !sk.privileged && *flag == SockFlag::prefer_busy_poll) return err(EPERM);
    if (!on && *flag == SockFlag::filter_locked && sk.flag(*flag)) return err(EPERM);
    sk.set_flag(*flag, on);
    return {};
  }
  switch (optname) {
    case SO_BINDTOIFINDEX: return bind_to_index(sk, val);
    case SO_REUSEADDR: sk.reuse = on; return {};
    case SO_REUSEPORT: sk.reuseport = on; return {};
    case SO_DONTROUTE:
      sk.localroute = on;
      sk.dst_reset();
      return {};
    case SO_BROADCAST: sk.broadcast = on; return {};
    case SO_NO_CHECK: sk.no_check_tx = on; return {};
    case SO_SNDBUF:
      set_sndbuf(sk, std::min(static_cast<std::uint32_t>(val), sk.net.sysctl().wmem_max));
      return {};
    case SO_SNDBUFFORCE:
      if (!sk.privileged) return err(EPERM);
      set_sndbuf(sk, not_negative(val));
      return {};
    case SO_RCVBUF:
      set_rcvbuf(sk, std::min(static_cast<std::uint32_t>(val), sk.net.sysctl().rmem_max));
      return {};
    case SO_RCVBUFFORCE:
      if (!sk.privileged) return err(EPERM);
      set_rcvbuf(sk, not_negative(val));
      return {};
    case SO_BUF_LOCK:
      if ((val & ~(kSndbufLock | kRcvbufLock)) != 0) return err(EINVAL);
      sk.buf_lock = static_cast<std::uint8_t>(val);
      return {};
    case SO_PRIORITY:
      if (!sk_set_prio_allowed(sk, static_cast<std::uint32_t>(val))) return err(EPERM);
      sk.priority = static_cast<std::uint32_t>(val);
      return {};
    case SO_MARK:
      if (!sk.privileged) return err(EPERM);
      if (sk.mark != static_cast<std::uint32_t>(val)) sk.dst_reset();
      sk.mark = static_cast<std::uint32_t>(val);
      return {};
    case SO_LINGER: return set_linger(sk, value);
    case SO_SNDTIMEO_OLD:
    case SO_SNDTIMEO_NEW: return set_timeout(sk, sk.sndtimeo, value);
    case SO_RCVTIMEO_OLD:
    case SO_RCVTIMEO_NEW: return set_timeout(sk, sk.rcvtimeo, value);
    case SO_TXTIME: return set_txtime(sk, value);
    case SO_TIMESTAMPING_OLD: return set_timestamping(sk, value, false);
    case SO_TIMESTAMPING_NEW: return set_timestamping(sk, value, true);
    case SO_TIMESTAMP_OLD: set_timestamp(sk, on, false, false); return {};
    case SO_TIMESTAMP_NEW: set_timestamp(sk, on, true, false); return {};
    case SO_TIMESTAMPNS_OLD: set_timestamp(sk, on, false, true); return {};
    case SO_TIMESTAMPNS_NEW: set_timestamp(sk, on, true, true); return {};
    case SO_MAX_PACING_RATE: set_max_pacing_rate(sk, value, val); return {};
    case SO_RCVLOWAT: sk.rcvlowat = val < 0 ? 0x7fffffff : std::max(val, 1); return {};
    case SO_PEEK_OFF: sk.peek_off = val; return {};
    case SO_INCOMING_CPU: sk.incoming_cpu = val; return {};
    case SO_BUSY_POLL:
      if (val < 0) return err(EINVAL);
      sk.busy_poll = val;
      return {};
    case SO_BUSY_POLL_BUDGET:
      if (val > 0 && !sk.privileged) return err(EPERM);
      return in_range(val, 0, 0xffff);
    case SO_BSDCOMPAT:
    case SO_CNX_ADVICE: return {};
    case SO_DETACH_FILTER: return err(ENOENT);
    case SO_DETACH_REUSEPORT_BPF: return err(sk.reuseport ? ENOENT : EINVAL);
    case SO_ZEROCOPY:
      if (val < 0 || val > 1) return err(EINVAL);
      sk.zerocopy = on;
      return {};
    case SO_ATTACH_FILTER:
    case SO_ATTACH_REUSEPORT_CBPF:
      if (value.size() != sizeof(sock_fprog)) return err(EINVAL);
      return err(kUnknown);
    case SO_ATTACH_BPF:
    case SO_ATTACH_REUSEPORT_EBPF:
      if (value.size() != sizeof(std::uint32_t)) return err(EINVAL);
      return err(kUnknown);
    case SO_RESERVE_MEM:
      if (val < 0 || val > 0x40000000) return err(EINVAL);
      return err(EOPNOTSUPP);
    case SO_TXREHASH:
    case SO_PASSCRED:
    case SO_PASSSEC:
    case SO_PASSPIDFD:
    case SO_PASSRIGHTS: return err(EOPNOTSUPP);
    default: return err(ENOPROTOOPT);
  }
}

bool sk_set_prio_allowed(const Sock& sk, std::uint32_t priority) {
  return priority <= 6 || sk.privileged;
}

std::uint32_t rt_tos2priority(std::uint8_t tos) {
  // ip_tos2prio[], by the four TOS bits: best effort, bulk, interactive, interactive bulk.
  constexpr std::array<std::uint8_t, 16> kTosToPriority = {0, 0, 0, 0, 2, 2, 2, 2,
                                                           6, 6, 6, 6, 4, 4, 4, 4};
  return kTosToPriority[static_cast<std::size_t>((tos & 0x1e) >> 1)];
}

SockResult<void> sock_setsockopt(Sock& sk, int level, int optname, OptValue value) {
  const std::lock_guard guard(sk.lock);
  const SockChange change(sk);
  switch (level) {
    case SOL_SOCKET: return sk_setsockopt(sk, optname, value);
    case IPPROTO_IP: return ip_setsockopt(sk, optname, value);
    case IPPROTO_IPV6:
      if (!sk.inet6) return err(ENOPROTOOPT);
      return ipv6_setsockopt(sk, optname, value);
    case SOL_UDP:
    case IPPROTO_UDPLITE: return udp_setsockopt(sk, optname, value);
    default: return err(ENOPROTOOPT);
  }
}

}  // namespace txp
