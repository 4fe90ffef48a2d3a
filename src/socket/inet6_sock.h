// SPDX-License-Identifier: Apache-2.0
// What an AF_INET6 socket has beyond an AF_INET one. Kernel twins: include/linux/ipv6.h (struct
// ipv6_pinfo, struct inet6_cork), include/net/sock.h (sk_v6_*), include/net/ipv6.h.
#pragma once

#include <cstdint>
#include <memory>
#include <vector>

#include "route/rt6.h"
#include "socket/sock.h"

namespace txp {

// struct ipv6_txoptions: extension headers as they go into a datagram; empty: none.
struct Ipv6TxOptions {
  std::vector<std::uint8_t> hopopt;   // hop-by-hop
  std::vector<std::uint8_t> dst0opt;  // destination options before the routing header
  std::vector<std::uint8_t> srcrt;    // routing header
  std::vector<std::uint8_t> dst1opt;  // destination options before the payload
  // opt_nflen: what every fragment repeats; opt_flen: what is fragmented with the payload. Bytes.
  std::uint32_t nflen() const {
    return static_cast<std::uint32_t>(hopopt.size() + dst0opt.size() + srcrt.size());
  }
  std::uint32_t flen() const { return static_cast<std::uint32_t>(dst1opt.size()); }
  bool empty() const { return nflen() == 0 && flen() == 0; }
};

// struct ipcm6_cookie.
struct Ipcm6Cookie : SockcmCookie {
  int hlimit = -1;
  int tclass = -1;
  int dontfrag = -1;
  std::uint16_t gso_size = 0;
  std::shared_ptr<const Ipv6TxOptions> opt;  // null: none
};

// struct inet6_cork, and the flow of inet_cork_full.
struct Cork6 {
  Flow6 fl6;
  Ip6 gateway;
  std::shared_ptr<const Ipv6TxOptions> opt;
  int hop_limit = 0;
  std::uint8_t tclass = 0;
  bool dontfrag = false;
};

struct Ipv6Pinfo {
  Ip6 saddr;
  Ip6 rcv_saddr;  // sk_v6_rcv_saddr
  Ip6 daddr;      // sk_v6_daddr
  std::uint32_t flow_label = 0;
  int hop_limit = -1;  // -1: the route's
  int mcast_hops = 1;
  int mcast_oif = 0;
  int ucast_oif = 0;
  std::uint8_t tclass = 0;
  std::uint8_t pmtudisc = 1;    // IPV6_PMTUDISC_WANT
  std::uint32_t frag_size = 0;  // IPV6_MTU
  bool dontfrag = false;
  bool sndflow = false;
  bool autoflowlabel = false;
  bool autoflowlabel_set = false;
  bool recverr = false;
  bool recverr_rfc4884 = false;
  bool mc_loop = true;
  bool mc_all = true;
  bool v6only = false;
  std::uint8_t min_hopcount = 0;
  unsigned srcprefs = 0;    // IPV6_PREFER_SRC_*
  std::uint32_t rxopt = 0;  // by Rx6
  int sticky_ifindex = 0;   // IPV6_PKTINFO
  Ip6 sticky_addr;
  std::shared_ptr<const Ipv6TxOptions> opt;  // IPV6_HOPOPTS and its kin; null: none
  Cork6 cork6;                               // beside Sock::cork, while that is of an IPv6 datagram
  bool cork_is_v6 = false;                   // up->pending == AF_INET6
  std::vector<std::pair<Ip6, int>> memberships;  // group, interface
  struct RxPmtu {
    Ip6 daddr;
    int oif = 0;
    std::uint32_t mtu = 0;
  };
  std::optional<RxPmtu> rxpmtu;  // the next receive tells it (IPV6_RECVPATHMTU); sk.rx_lock
};

// What a receiver wants to be told (np->rxopt): kept, and told where it can be.
enum class Rx6 : std::uint8_t {
  pktinfo,
  o_pktinfo,
  hoplimit,
  o_hoplimit,
  hopopts,
  o_hopopts,
  dstopts,
  o_dstopts,
  srcrt,
  o_srcrt,
  flow,
  tclass,
  pmtu,
  origdstaddr,
  fragsize,
};

inline bool is_inet6(const Sock& sk) { return sk.inet6 != nullptr; }
inline bool ipv6_only_sock(const Sock& sk) { return sk.inet6 && sk.inet6->v6only; }

// udpv6_recvmsg()'s two other queues, and the control messages of what it receives.
[[nodiscard]] SockResult<std::size_t> ipv6_recv_error(Sock& sk, RecvMsg& msg);
[[nodiscard]] SockResult<std::size_t> ipv6_recv_rxpmtu(Sock& sk, RecvMsg& msg);
void ip6_datagram_recv_ctl(const Sock& sk, RecvMsg& msg, const PacketInfo& info);

void inet_reset_saddr(Sock& sk);  // of either family
// sk_dst_set() of a connected socket's IPv6 route.
void ip6_dst_store(Sock& sk, const Rt6Info& rt);

// include/net/ipv6.h: the rules of IPV6_MTU_DISCOVER.
bool ip6_sk_ignore_df(const Sock& sk);

}  // namespace txp
