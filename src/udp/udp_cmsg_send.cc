// SPDX-License-Identifier: Apache-2.0
#include "udp/udp_cmsg_send.h"

#include <netinet/in.h>
#include <netinet/udp.h>
#include <sys/socket.h>

#include <algorithm>
#include <cstring>
#include <optional>

#include "ip/ip_options.h"
#include "socket/inet6_sock.h"
#include "socket/sockopt.h"
#include "socket/timestamping.h"

#ifndef IP_PROTOCOL
#define IP_PROTOCOL 52
#endif

namespace txp {
namespace {

// The value of one control message, if it has exactly T's size.
template <typename T>
std::optional<T> value(std::span<const std::uint8_t> data) {
  if (data.size() != sizeof(T)) return std::nullopt;
  T v;
  std::memcpy(&v, data.data(), sizeof v);
  return v;
}

// IPV6_PKTINFO of an AF_INET6 socket that sends over IPv4; the other messages of that level are
// passed over.
SockResult<void> ipv6_level(int type, std::span<const std::uint8_t> data, IpcmCookie& ipc) {
  if (type != IPV6_PKTINFO) return {};
  if (data.size() < sizeof(in6_pktinfo)) return err(EINVAL);
  in6_pktinfo info;
  std::memcpy(&info, data.data(), sizeof info);
  const Ip6 addr = Ip6::load(data.data());
  if (!addr.is_v4mapped()) return err(EINVAL);
  if (info.ipi6_ifindex != 0) ipc.oif = static_cast<int>(info.ipi6_ifindex);
  ipc.addr = addr.v4();
  return {};
}

}  // namespace

SockResult<void> sock_cmsg_send(const Sock& sk, int type, std::span<const std::uint8_t> data,
                                SockcmCookie& ipc) {
  switch (type) {
    case SO_MARK: {
      if (!sk.privileged) return err(EPERM);
      const auto mark = value<std::uint32_t>(data);
      if (!mark) return err(EINVAL);
      ipc.mark = *mark;
      return {};
    }
    case SO_PRIORITY: {
      const auto priority = value<std::uint32_t>(data);
      if (!priority) return err(EINVAL);
      if (!sk_set_prio_allowed(sk, *priority)) return err(EPERM);
      ipc.priority = *priority;
      return {};
    }
    case SCM_TXTIME: {
      if (!sk.txtime) return err(EINVAL);
      const auto when = value<std::uint64_t>(data);
      if (!when) return err(EINVAL);
      ipc.transmit_time = static_cast<Nanos>(*when);
      return {};
    }
    case SO_TIMESTAMPING_OLD:
    case SO_TIMESTAMPING_NEW: {
      const auto flags = value<std::uint32_t>(data);
      if (!flags || (*flags & ~kSofTxRecordMask) != 0) return err(EINVAL);
      if (sk.no_error_queue) return err(kUnknown);
      ipc.tsflags = (ipc.tsflags & ~kSofTxRecordMask) | *flags;
      return {};
    }
    case kScmTsOptId: {
      const auto id = value<std::uint32_t>(data);
      if ((sk.tsflags & SOF_TIMESTAMPING_OPT_ID) == 0 || !id) return err(EINVAL);
      ipc.ts_opt_id = id;
      return {};
    }
    case SCM_RIGHTS:
    case SCM_CREDENTIALS: return {};
    default: return err(EINVAL);
  }
}

namespace {

SockResult<void> ip_level(const Sock& sk, int type, std::span<const std::uint8_t> data,
                          IpcmCookie& ipc) {
  switch (type) {
    case IP_RETOPTS: {
      const auto opt =
          ip_options_get(sk.net, data.first(std::min(data.size(), kMaxIpOptions)), sk.privileged);
      if (!opt) return std::unexpected(opt.error());
      ipc.opt = *opt;
      return {};
    }
    case IP_PKTINFO: {
      const auto info = value<in_pktinfo>(data);
      if (!info) return err(EINVAL);
      if (info->ipi_ifindex != 0) ipc.oif = info->ipi_ifindex;
      ipc.addr = Ip4{ntohl(info->ipi_spec_dst.s_addr)};
      return {};
    }
    case IP_TTL: {
      const auto ttl = value<int>(data);
      if (!ttl || *ttl < 1 || *ttl > 255) return err(EINVAL);
      ipc.ttl = *ttl;
      return {};
    }
    case IP_TOS: {
      std::optional<int> tos = value<int>(data);
      if (!tos) tos = value<std::uint8_t>(data);
      if (!tos || *tos < 0 || *tos > 255) return err(EINVAL);
      ipc.tos = *tos;
      ipc.priority = rt_tos2priority(static_cast<std::uint8_t>(*tos));
      return {};
    }
    case IP_PROTOCOL: {  // for raw sockets; UDP checks and ignores it
      const auto protocol = value<int>(data);
      if (!protocol || *protocol < 1 || *protocol > 255) return err(EINVAL);
      return {};
    }
    default: return err(EINVAL);
  }
}

}  // namespace

SockResult<void> udp_level_cmsg(int type, std::span<const std::uint8_t> data,
                                std::uint16_t& gso_size) {
  if (type != UDP_SEGMENT) return err(EINVAL);
  const auto size = value<std::uint16_t>(data);
  if (!size) return err(EINVAL);
  gso_size = *size;
  return {};
}

SockResult<void> udp_cmsg_send(const Sock& sk, std::span<const std::uint8_t> control,
                               IpcmCookie& ipc) {
  // The kernel takes the UDP messages in a first pass, so their errors come first.
  for (const bool udp_pass : {true, false}) {
    std::span<const std::uint8_t> rest = control;
    while (rest.size() >= sizeof(cmsghdr)) {
      cmsghdr head;
      std::memcpy(&head, rest.data(), sizeof head);
      if (head.cmsg_len < sizeof head || head.cmsg_len > rest.size()) return err(EINVAL);
      const auto data = rest.subspan(CMSG_LEN(0), head.cmsg_len - CMSG_LEN(0));
      SockResult<void> ok;
      if (udp_pass && head.cmsg_level == SOL_UDP)
        ok = udp_level_cmsg(head.cmsg_type, data, ipc.gso_size);
      else if (!udp_pass && head.cmsg_level == SOL_SOCKET)
        ok = sock_cmsg_send(sk, head.cmsg_type, data, ipc);
      else if (!udp_pass && head.cmsg_level == IPPROTO_IP)
        ok = ip_level(sk, head.cmsg_type, data, ipc);
      else if (!udp_pass && head.cmsg_level == IPPROTO_IPV6 && sk.inet6)
        ok = ipv6_level(head.cmsg_type, data, ipc);
      if (!ok) return ok;
      rest = rest.subspan(std::min(CMSG_ALIGN(head.cmsg_len), rest.size()));
    }
  }
  return {};
}

}  // namespace txp
