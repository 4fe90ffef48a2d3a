// SPDX-License-Identifier: Apache-2.0
// UDP sockets by port, and the UDP functions that other layers call. Kernel twin: net/ipv4/udp.c.
#pragma once

#include <array>
#include <cstdint>
#include <functional>
#include <mutex>
#include <vector>

#include "base/result.h"
#include "route/rt6.h"
#include "skb/skb.h"
#include "socket/sock.h"

namespace txp {

// struct udp_table. One mutex: binding and local delivery are not the send path.
class UdpTable {
 public:
  // udp_v4_get_port(): takes `port` (0: an ephemeral one) for `sk`, which has none. EADDRINUSE when
  // another socket has it or no ephemeral one is free (inet_autobind() answers EAGAIN for that).
  [[nodiscard]] SockResult<void> get_port(Sock& sk, std::uint16_t port);
  void unhash(Sock& sk);  // udp_lib_unhash()
  void rehash(Sock&) {}   // by address nothing is hashed here

  // A kernel that shares the port space (a mirrored namespace): asked before an ephemeral port is
  // taken; false: in use there. May be empty.
  std::function<bool(std::uint16_t port)> kernel_port_free;

  // __udp4_lib_lookup(): the best socket for a packet, or null. Calls `with` under the lock.
  bool with_socket(Ip4 saddr, std::uint16_t sport, Ip4 daddr, std::uint16_t dport, int dif,
                   const std::function<void(Sock&)>& with);
  // Every socket that takes a multicast or broadcast packet (__udp4_lib_mcast_deliver()).
  std::size_t for_each_mcast(Ip4 saddr, std::uint16_t sport, Ip4 daddr, std::uint16_t dport,
                             int dif, const std::function<void(Sock&)>& with);
  // __udp6_lib_lookup() and __udp6_lib_mcast_deliver().
  bool with_socket6(const Ip6& saddr, std::uint16_t sport, const Ip6& daddr, std::uint16_t dport,
                    int dif, const std::function<void(Sock&)>& with);
  std::size_t for_each_mcast6(const Ip6& saddr, std::uint16_t sport, const Ip6& daddr,
                              std::uint16_t dport, int dif, const std::function<void(Sock&)>& with);
  // Whether a socket has this port: what an ICMP error quotes as its source concerns us then.
  bool has_port(std::uint16_t port) const;
  std::vector<const Sock*> all() const;

 private:
  bool in_use(const Sock& sk, std::uint16_t port) const;
  std::uint16_t ephemeral_port(const Sock& sk) const;  // 0: none is free
  mutable std::mutex mutex_;
  std::array<Sock*, 256> hash_{};
};

// udp_send_skb(): UDP header and checksum, then ip_send_skb().
[[nodiscard]] SockResult<void> udp_send_skb(Net& net, SkbPtr skb, const Flow4& fl4,
                                            const Cork& cork);
// Why a segmentation request is refused; 0: it is good.
int udp_check_gso(const Cork& cork, std::uint32_t ip_hlen, std::uint32_t datalen, bool no_check_tx);
// Its last lines: counts what ip_send_skb() answered, and is the call's errno or 0.
int udp_sent(Net& net, int code, bool recverr);
// The end of a send call that failed: kernel counters, and the trace's result. Answers `e`.
Errno udp_sendmsg_failed(Net& net, Sock& sk, const MsgHdr& msg, Errno e);
// Either family's.
[[nodiscard]] SockResult<void> udp_push_pending_frames(Net& net, Sock& sk);
// udp_v6_send_skb(), udp_v6_push_pending_frames().
[[nodiscard]] SockResult<void> udp_v6_send_skb(Net& net, SkbPtr skb, const Flow6& fl6,
                                               const Cork& cork);
[[nodiscard]] SockResult<void> udp_v6_push_pending_frames(Net& net, Sock& sk);
void udp_flush_pending_frames(Sock& sk);

// skb->data at the UDP header; the IP header lies before it.
void udp_rcv(Net& net, SkbPtr skb);
void udpv6_rcv(Net& net, SkbPtr skb);
// What either does with a socket that it found: `r` has everything but its payload. False: no room.
bool udp_queue_rcv_skb(Net& net, Sock& sk, const Datagram& r, std::span<const std::uint8_t> payload,
                       const Skb& skb);
// An ICMP error (`about`, data at its ICMP header) came about a datagram of ours: `inner` is what
// it quotes, a whole IP header and eight bytes at least.
void udp_err(Net& net, Skb& about, std::span<std::uint8_t> inner, std::uint32_t info);
// The same over IPv6; the UDP header is at `offset` of what is quoted, eight bytes at least.
void udpv6_err(Net& net, Skb& about, std::span<const std::uint8_t> quoted, std::size_t offset,
               std::uint32_t info);

}  // namespace txp
