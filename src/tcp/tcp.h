// SPDX-License-Identifier: Apache-2.0
// TCP as far as this host's first packet of a connection: connect(2) down to its SYN. There are no
// connections here: nothing is retransmitted and no answer is understood. Kernel twins:
// net/ipv4/tcp_ipv4.c, net/ipv4/tcp_output.c.
#pragma once

#include "base/result.h"
#include "route/rtable.h"
#include "socket/sock.h"
#include "wire/tcp.h"

namespace txp {

class Net;
struct FibInfo;

// The SYN that tcp_connect() builds. Its random fields (sequence number, timestamp) are zero.
struct TcpSyn {
  TcpSynOptions options;
  std::uint16_t window = 0;
  bool ecn = false;  // ECE and CWR: asks for explicit congestion notification
};

// tcp_v4_connect(): route, source, port, and the SYN on its way. A SYN that is dropped below is no
// error, as the kernel would send it again. Errors as connect(2): ENETUNREACH, EHOSTUNREACH,
// EACCES, EINVAL, EADDRNOTAVAIL (no port is free), and kUnknown.
[[nodiscard]] SockResult<void> tcp_v4_connect(Net& net, Sock& sk, const SockAddr4& to,
                                              Trace* trace);

// tcp_connect_init() and tcp_syn_options(): what the SYN says, by the route's metrics (`fi` may be
// null) and the namespace's sysctls.
TcpSyn tcp_connect_init(const Net& net, const Sock& sk, const Rtable& rt, const FibInfo* fi);
// tcp_select_initial_window(). Bytes; `mss` > 0. `init_rcv_wnd` in segments, 0: not limited.
struct TcpWindow {
  std::uint32_t rcv_wnd;
  std::uint8_t rcv_wscale;
};
TcpWindow tcp_select_initial_window(std::uint32_t space, std::uint32_t mss,
                                    std::uint32_t window_clamp, bool wscale_ok,
                                    std::uint32_t most_space, bool signed_windows,
                                    std::uint32_t init_rcv_wnd);

// __tcp_transmit_skb() of a SYN, and ip_queue_xmit() below it.
TxResult tcp_transmit_skb(Net& net, Sock& sk, const Flow4& fl4, const Rtable& rt, const TcpSyn& syn,
                          Trace* trace);
// __ip_queue_xmit(): the IP header; skb->data is at the transport header.
TxResult ip_queue_xmit(Net& net, Sock& sk, SkbPtr skb, const Flow4& fl4, const Rtable& rt);

}  // namespace txp
