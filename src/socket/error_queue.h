// SPDX-License-Identifier: Apache-2.0
// The error queue of a socket: ICMP errors and local ones (IP_RECVERR), and send stamps
// (SO_TIMESTAMPING). Kernel twins: include/linux/errqueue.h; net/core/skbuff.c; net/ipv4/
// ip_sockglue.c; net/ipv6/datagram.c.
#pragma once

#include <time.h>  // linux/errqueue.h wants it before

#include <linux/errqueue.h>

#include <cstdint>
#include <optional>
#include <span>
#include <vector>

#include "base/clock.h"
#include "wire/ip4.h"
#include "wire/ip6.h"

namespace txp {

class Sock;
struct Flow6;
struct Skb;

// What recvmsg()'s control messages are made from: the packet's header and how it came.
struct PacketInfo {
  Nanos tstamp = 0;  // wall clock; 0: none
  int ifindex = 0;   // of IP_PKTINFO
  Ip4 spec_dst;      // of IP_PKTINFO
  Ip4 saddr;
  Ip4 daddr;
  std::uint16_t dport = 0;
  std::uint8_t ttl = 0;
  std::uint8_t tos = 0;
  std::vector<std::uint8_t> options;     // IP_RECVOPTS: as they came
  std::vector<std::uint8_t> retoptions;  // IP_RETOPTS: as an answer would have them
  // Of an IPv6 packet, instead: its header with the extension headers, as they came.
  std::vector<std::uint8_t> headers6;
  std::uint16_t frag_max_size = 0;  // bytes: the largest fragment that it came in; 0: it was whole
};

// struct sock_exterr_skb and its skb.
struct QueuedError {
  sock_extended_err ee{};
  std::optional<Ip4> addr;   // msg_name: whom the datagram was for; empty: not told
  std::optional<Ip6> addr6;  // over IPv6, instead
  std::uint32_t flowinfo = 0;
  std::uint16_t port = 0;
  bool has_packet = false;  // `info` is of a packet: its sender and control messages are told
  PacketInfo info;
  std::vector<std::uint8_t> data;
  std::uint32_t truesize = 0;  // bytes charged to rmem_alloc
};

// False: the receive buffer has no room, and the error is lost.
bool sock_queue_err_skb(Sock& sk, QueuedError error);
// sock_dequeue_err_skb(): empty: none waits.
std::optional<QueuedError> sock_dequeue_err_skb(Sock& sk);
void skb_errqueue_purge(Sock& sk);  // all but send stamps and notes of MSG_ZEROCOPY
// An ICMP error came in with `about` (its data at the ICMP header, its IP header before it); what
// is quoted behind the inner UDP header is kept.
void ip_icmp_error(Sock& sk, const Skb& about, int code, std::uint16_t port, std::uint32_t info,
                   Ip4 inner_daddr, std::span<const std::uint8_t> payload);
void ipv6_icmp_error(Sock& sk, const Skb& about, int code, std::uint16_t port, std::uint32_t info,
                     std::span<const std::uint8_t> payload);
// Where the ICMP extensions (RFC 4884) begin in the payload. `off`: bytes that the ICMP header says
// it quotes; `headers`: those of them before the payload.
void ip_icmp_error_rfc4884(sock_extended_err& ee, std::size_t off, std::size_t headers,
                           std::span<const std::uint8_t> payload);
// This host itself refuses a datagram; only for a socket with IP_RECVERR, IPV6_RECVERR.
void ip_local_error(Sock& sk, int code, Ip4 daddr, std::uint16_t port, std::uint32_t info);
void ipv6_local_error(Sock& sk, int code, const Flow6& fl6, std::uint32_t info);
// A datagram that may not be fragmented is too long, and the socket wants to know (RFC 3542, 11.3).
void ipv6_local_rxpmtu(Sock& sk, const Flow6& fl6, std::uint32_t mtu);
// A MSG_ZEROCOPY call is over: its bytes were copied, and may be changed again.
void msg_zerocopy_callback(Sock& sk);
// A packet with stamps asked for passes: kScmTstampSnd or kScmTstampSched.
void skb_tstamp_tx(const Skb& skb, std::uint32_t type);

}  // namespace txp
