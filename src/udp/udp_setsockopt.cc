// SPDX-License-Identifier: Apache-2.0
// setsockopt and getsockopt at SOL_UDP.
//
// Kernel twin: net/ipv4/udp.c, udp_lib_setsockopt(), udp_lib_getsockopt().
// Differs: encapsulation (UDP_ENCAP) is unknown; UDP_GRO is kept, and datagrams come one by one.
#include "base/rcu.h"
#include "net.h"
#include "socket/sockopt.h"
#include "socket/sockopt_names.h"
#include "udp/udp_table.h"

namespace txp {
namespace {
constexpr int kUdpEncapEspinudp = 2;
constexpr int kUdpEncapL2tpinudp = 3;
constexpr int kUdpliteSendCscov = 10;
constexpr int kUdpliteRecvCscov = 11;
}  // namespace

SockResult<void> udp_setsockopt(Sock& sk, int optname, OptValue value) {
  if (value.size() < sizeof(int)) return err(EINVAL);
  const int val = load<int>(value);
  if (const auto flag = find_flag(kUdpFlags, optname)) {
    sk.set_flag(*flag, val != 0);
    return {};
  }
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
    case UDP_ENCAP:
      if (val == 0) return {};
      if (val == kUdpEncapEspinudp || val == kUdpEncapL2tpinudp) return err(kUnknown);
      return err(ENOPROTOOPT);
    default: return err(ENOPROTOOPT);
  }
}

SockResult<std::size_t> udp_getsockopt(Sock& sk, int optname, OptRoom room) {
  if (const auto flag = find_flag(kUdpFlags, optname)) return store(room, int{sk.flag(*flag)});
  switch (optname) {
    case UDP_CORK: return store(room, int{sk.corkflag});
    case UDP_SEGMENT: return store(room, int{sk.gso_size});
    case UDP_ENCAP:
    case kUdpliteSendCscov:
    case kUdpliteRecvCscov: return store(room, int{0});
    default: return err(ENOPROTOOPT);
  }
}

}  // namespace txp
