// SPDX-License-Identifier: Apache-2.0
// Options that are newer than Debian 12's headers, and the tables of those that are only kept.
// Kernel twin: include/uapi/asm-generic/socket.h, include/uapi/linux/in.h.
#pragma once

#include <linux/filter.h>
#include <netinet/in.h>
#include <netinet/udp.h>
#include <sys/socket.h>

#include "socket/sockopt.h"

#ifndef SO_RCVMARK
#define SO_RCVMARK 75
#endif
#ifndef SO_PASSPIDFD
#define SO_PASSPIDFD 76
#define SO_PEERPIDFD 77
#endif
#ifndef SO_RCVPRIORITY
#define SO_RCVPRIORITY 82
#endif
#ifndef SO_PASSRIGHTS
#define SO_PASSRIGHTS 83
#endif
#ifndef SO_TXREHASH
#define SO_TXREHASH 74
#endif
#ifndef SO_RESERVE_MEM
#define SO_RESERVE_MEM 73
#endif
#ifndef SO_BUF_LOCK
#define SO_BUF_LOCK 72
#endif
#ifndef SO_NETNS_COOKIE
#define SO_NETNS_COOKIE 71
#endif
#ifndef IP_LOCAL_PORT_RANGE
#define IP_LOCAL_PORT_RANGE 51
#endif
#ifndef IP_PROTOCOL
#define IP_PROTOCOL 52
#endif
#ifndef IP_RECVERR_RFC4884
#define IP_RECVERR_RFC4884 26
#endif

namespace txp {

inline constexpr FlagOption kSocketFlags[] = {
    {SO_DEBUG, SockFlag::dbg},
    {SO_KEEPALIVE, SockFlag::keepopen},
    {SO_OOBINLINE, SockFlag::urginline},
    {SO_WIFI_STATUS, SockFlag::wifi_status},
    {SO_NOFCS, SockFlag::nofcs},
    {SO_SELECT_ERR_QUEUE, SockFlag::select_err_queue},
    {SO_RCVMARK, SockFlag::rcvmark},
    {SO_RCVPRIORITY, SockFlag::rcvpriority},
    {SO_RXQ_OVFL, SockFlag::rxq_ovfl},
    {SO_LOCK_FILTER, SockFlag::filter_locked},
    {SO_PREFER_BUSY_POLL, SockFlag::prefer_busy_poll},
};

inline constexpr FlagOption kIpFlags[] = {
    {IP_PKTINFO, SockFlag::pktinfo},
    {IP_RECVTTL, SockFlag::recvttl},
    {IP_RECVTOS, SockFlag::recvtos},
    {IP_RECVOPTS, SockFlag::recvopts},
    {IP_RETOPTS, SockFlag::retopts},
    {IP_PASSSEC, SockFlag::passsec},
    {IP_RECVORIGDSTADDR, SockFlag::recvorigdstaddr},
    {IP_CHECKSUM, SockFlag::checksum},
    {IP_RECVFRAGSIZE, SockFlag::recvfragsize},
};

inline constexpr FlagOption kUdpFlags[] = {
    {UDP_NO_CHECK6_TX, SockFlag::no_check6_tx},
    {UDP_NO_CHECK6_RX, SockFlag::no_check6_rx},
    {UDP_GRO, SockFlag::gro},
};

}  // namespace txp
