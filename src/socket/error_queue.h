// SPDX-License-Identifier: Apache-2.0
// The error queue of a socket: ICMP errors and local ones (IP_RECVERR), and send stamps
// (SO_TIMESTAMPING). Kernel twins: include/linux/errqueue.h; net/core/skbuff.c; net/ipv4/
// ip_sockglue.c.
#pragma once

#include <time.h>  // linux/errqueue.h wants it before

#include <linux/errqueue.h>

#include <cstdint>
#include <optional>
#include <span>
#include <vector>

#include "base/clock.h"
#include "wire/ip4.h"

namespace txp {

class Sock;
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
};

// struct sock_exterr_skb and its skb.
struct QueuedError {
  sock_extended_err ee{};
  std::optional<Ip4> addr;  // msg_name: whom the datagram was for; empty: not told
  std::uint16_t port = 0;
  bool has_packet = false;  // `info` is of a packet: its sender and control messages are told
  PacketInfo info;
  std::vector<std::uint8_t> data;
  std::uint32_t truesize = 0;  // bytes charged to rmem_alloc
};

// False: the receive buffer has no room, and the error is lost.
bool sock_queue_err_skb(Sock& sk, QueuedError error);
// An ICMP error came in with `about` (its data at the ICMP header, its IP header before it); what
// is quoted behind the inner UDP header is kept.
void ip_icmp_error(Sock& sk, const Skb& about, int code, std::uint16_t port, std::uint32_t info,
                   Ip4 inner_daddr, std::span<const std::uint8_t> payload);
// This host itself refuses a datagram; only for a socket with IP_RECVERR.
void ip_local_error(Sock& sk, int code, Ip4 daddr, std::uint16_t port, std::uint32_t info);
// A MSG_ZEROCOPY call is over: its bytes were copied, and may be changed again.
void msg_zerocopy_callback(Sock& sk);
// A packet with stamps asked for passes: kScmTstampSnd or kScmTstampSched.
void skb_tstamp_tx(const Skb& skb, std::uint32_t type);

}  // namespace txp
