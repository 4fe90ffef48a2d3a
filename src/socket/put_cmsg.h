// SPDX-License-Identifier: Apache-2.0
// Control messages of a receive. Kernel twins: net/core/scm.c, put_cmsg(); net/socket.c,
// __sock_recv_timestamp(); net/ipv4/ip_sockglue.c, ip_cmsg_recv().
#pragma once

#include <cstdint>
#include <span>

#include "socket/error_queue.h"
#include "socket/sock.h"

namespace txp {

// Appends to `msg`'s control messages; what has no room is cut and MSG_CTRUNC set.
void put_cmsg(RecvMsg& msg, int level, int type, std::span<const std::uint8_t> data);
template <typename T>
void put_cmsg(RecvMsg& msg, int level, int type, const T& value) {
  put_cmsg(msg, level, type,
           {static_cast<const std::uint8_t*>(static_cast<const void*>(&value)), sizeof value});
}

// SO_TIMESTAMP, SO_TIMESTAMPNS and SO_TIMESTAMPING. `from_error_queue`: a send stamp or an error.
void sock_recv_timestamp(const Sock& sk, RecvMsg& msg, const PacketInfo& info,
                         bool from_error_queue);
// IP_PKTINFO, IP_TTL, IP_TOS, IP_RECVOPTS, IP_RETOPTS and IP_ORIGDSTADDR, as the socket asked.
void ip_cmsg_recv(const Sock& sk, RecvMsg& msg, const PacketInfo& info);

}  // namespace txp
