// SPDX-License-Identifier: Apache-2.0
// setsockopt and getsockopt at SOL_UDP.
//
// Kernel twin: net/ipv4/udp.c, udp_lib_setsockopt(), udp_lib_getsockopt().
// Differs: UDP_ENCAP is unknown; receive-side options are taken without effect.
#include <netinet/udp.h>

#include <cstring>

#include "base/rcu.h"
#include "net.h"
#include "socket/sockopt.h"
#include "udp/udp_table.h"

namespace txp {

SockResult<void> udp_setsockopt(Sock& sk, int optname, std::span<const std::uint8_t> value) {
  int val;
  if (value.size() < sizeof val) return err(EINVAL);
  std::memcpy(&val, value.data(), sizeof val);
  switch (optname) {
    case UDP_CORK:
      sk.corkflag = val != 0;
      if (!sk.corkflag && sk.cork.pending) {
        // The kernel ignores what the push answers, and so do we: it is counted.
        const RcuReader reader;
        static_cast<void>(udp_push_pending_frames(sk.net, sk));
      }
      return {};
    case UDP_SEGMENT:
      if (val < 0 || val > 0xffff) return err(EINVAL);
      sk.gso_size = static_cast<std::uint16_t>(val);
      return {};
    case UDP_NO_CHECK6_TX:
    case UDP_NO_CHECK6_RX:
    case UDP_GRO: return {};
    case UDP_ENCAP: return err(kUnknown);
    default: return err(ENOPROTOOPT);
  }
}

SockResult<int> udp_getsockopt(Sock& sk, int optname) {
  switch (optname) {
    case UDP_CORK: return sk.corkflag;
    case UDP_SEGMENT: return sk.gso_size;
    default: return err(ENOPROTOOPT);
  }
}

}  // namespace txp
