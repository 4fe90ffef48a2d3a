// SPDX-License-Identifier: Apache-2.0
// Control messages of a send over IPv6. Kernel twins: net/ipv6/datagram.c,
// ip6_datagram_send_ctl(); net/ipv4/udp.c, udp_cmsg_send().
// Differs: anycast addresses of this host are not known as sources.
#include <netinet/in.h>
#include <netinet/udp.h>

#include <algorithm>
#include <cstring>
#include <optional>

#include "dev/netdevice.h"
#include "net.h"
#include "route/ip6_route.h"
#include "udp/udp_cmsg_send.h"
#include "wire/ipv6.h"

namespace txp {
namespace {

using CmsgData = std::span<const std::uint8_t>;

std::optional<int> whole_int(CmsgData data) {
  if (data.size() != sizeof(int)) return std::nullopt;
  int v;
  std::memcpy(&v, data.data(), sizeof v);
  return v;
}

SockResult<void> pktinfo6(const Sock& sk, CmsgData data, Flow6& fl6) {
  if (data.size() < sizeof(in6_pktinfo)) return err(EINVAL);
  in6_pktinfo info;
  std::memcpy(&info, data.data(), sizeof info);
  const Ip6 addr = Ip6::load(data.data());
  const auto ifindex = static_cast<int>(info.ipi6_ifindex);
  if (ifindex != 0) {
    if (fl6.oif != 0 && ifindex != fl6.oif) return err(EINVAL);
    fl6.oif = ifindex;
  }
  const NetDevice* dev = nullptr;
  const Ip6Type t = addr.type();
  if (fl6.oif != 0) {
    dev = sk.net.dev->by_index(fl6.oif);
    if (dev == nullptr) return err(ENODEV);
  } else if (t.is(kIpv6AddrLinklocal)) {
    return err(EINVAL);
  }
  if (addr.is_any()) return {};
  const bool nonlocal = sk.net.sysctl().ip6_nonlocal_bind || sk.freebind || sk.transparent;
  const NetDevice* on = t.scope <= kIpv6ScopeLinklocal ? dev : nullptr;
  if (!nonlocal && !ipv6_chk_addr(sk.net, addr, on)) return err(EINVAL);
  fl6.saddr = addr;
  return {};
}

// The length of an extension header, when the message holds it.
std::optional<std::size_t> exthdr_len(CmsgData data) {
  if (data.size() < 2) return std::nullopt;
  const std::size_t len = (data[1] + std::size_t{1}) * 8;
  if (data.size() < len) return std::nullopt;
  return len;
}

SockResult<void> options6(const Sock& sk, int type, CmsgData data, Ipv6TxOptions& opt) {
  if ((type == IPV6_HOPOPTS || type == IPV6_2292HOPOPTS) && !opt.hopopt.empty()) return err(EINVAL);
  const auto len = exthdr_len(data);
  if (!len) return err(EINVAL);
  if (!sk.privileged) return err(EPERM);
  if (type == IPV6_2292DSTOPTS && !opt.dst1opt.empty()) return err(EINVAL);
  std::vector<std::uint8_t>& to = type == IPV6_HOPOPTS || type == IPV6_2292HOPOPTS ? opt.hopopt
                                  : type == IPV6_RTHDRDSTOPTS                      ? opt.dst0opt
                                                                                   : opt.dst1opt;
  to.assign(data.begin(), data.begin() + static_cast<std::ptrdiff_t>(*len));
  return {};
}

SockResult<void> rthdr6(const Sock& sk, int type, CmsgData data, Ipv6TxOptions& opt) {
  constexpr std::uint8_t kType2 = 2;  // IPV6_SRCRT_TYPE_2
  if (data.size() < 4) return err(EINVAL);
  if (sk.net.sysctl().mip6 == 0 || data[2] != kType2 || data[1] != 2 || data[3] != 1)
    return err(EINVAL);
  const auto len = exthdr_len(data);
  if (!len) return err(EINVAL);
  opt.srcrt.assign(data.begin(), data.begin() + static_cast<std::ptrdiff_t>(*len));
  if (type == IPV6_2292RTHDR && !opt.dst1opt.empty()) opt.dst0opt = std::exchange(opt.dst1opt, {});
  return {};
}

SockResult<void> ipv6_cmsg(const Sock& sk, int type, CmsgData data, Flow6& fl6, Ipcm6Cookie& ipc6,
                           Ipv6TxOptions& opt) {
  switch (type) {
    case IPV6_PKTINFO:
    case IPV6_2292PKTINFO: return pktinfo6(sk, data, fl6);
    case 11: {  // IPV6_FLOWINFO
      if (data.size() < 4) return err(EINVAL);
      const std::uint32_t given = load_be32(data.data());
      if ((fl6.flowlabel & kFlowinfoMask) != 0 && ((fl6.flowlabel ^ given) & ~kFlowinfoMask) != 0)
        return err(EINVAL);
      fl6.flowlabel = given & kFlowinfoMask;
      return {};
    }
    case IPV6_HOPOPTS:
    case IPV6_2292HOPOPTS:
    case IPV6_DSTOPTS:
    case IPV6_2292DSTOPTS:
    case IPV6_RTHDRDSTOPTS: return options6(sk, type, data, opt);
    case IPV6_RTHDR:
    case IPV6_2292RTHDR: return rthdr6(sk, type, data, opt);
    case IPV6_HOPLIMIT:
    case IPV6_2292HOPLIMIT: {
      const auto v = whole_int(data);
      if (!v || *v < -1 || *v > 255) return err(EINVAL);
      ipc6.hlimit = *v;
      return {};
    }
    case IPV6_TCLASS: {
      const auto v = whole_int(data);
      if (!v || *v < -1 || *v > 255) return err(EINVAL);
      ipc6.tclass = *v;
      return {};
    }
    case IPV6_DONTFRAG: {
      const auto v = whole_int(data);
      if (!v || *v < 0 || *v > 1) return err(EINVAL);
      ipc6.dontfrag = *v;
      return {};
    }
    default: return err(EINVAL);
  }
}

}  // namespace

SockResult<void> udpv6_cmsg_send(const Sock& sk, std::span<const std::uint8_t> control, Flow6& fl6,
                                 Ipcm6Cookie& ipc6, Ipv6TxOptions& opt) {
  for (const bool udp_pass : {true, false}) {
    std::span<const std::uint8_t> rest = control;
    while (rest.size() >= sizeof(cmsghdr)) {
      cmsghdr head;
      std::memcpy(&head, rest.data(), sizeof head);
      if (head.cmsg_len < sizeof head || head.cmsg_len > rest.size()) return err(EINVAL);
      const auto data = rest.subspan(CMSG_LEN(0), head.cmsg_len - CMSG_LEN(0));
      SockResult<void> ok;
      if (udp_pass && head.cmsg_level == SOL_UDP)
        ok = udp_level_cmsg(head.cmsg_type, data, ipc6.gso_size);
      else if (!udp_pass && head.cmsg_level == SOL_SOCKET)
        ok = sock_cmsg_send(sk, head.cmsg_type, data, ipc6);
      else if (!udp_pass && head.cmsg_level == IPPROTO_IPV6)
        ok = ipv6_cmsg(sk, head.cmsg_type, data, fl6, ipc6, opt);
      if (!ok) return ok;
      rest = rest.subspan(std::min(CMSG_ALIGN(head.cmsg_len), rest.size()));
    }
  }
  return {};
}

}  // namespace txp
