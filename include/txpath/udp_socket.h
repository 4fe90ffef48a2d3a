// SPDX-License-Identifier: Apache-2.0
// A UDP socket of a Net. Calls, options, errors and blocking are those of udp(7) and ip(7).
#pragma once

#include <sys/socket.h>

#include <cstddef>
#include <cstdint>
#include <span>
#include <vector>

#include "txpath/address.h"
#include "txpath/result.h"

namespace txp {
class Sock;
struct Skb;
}  // namespace txp

namespace txpath {

class Net;

// A received datagram.
struct Datagram {
  Endpoint from;
  Endpoint to;
  std::vector<std::uint8_t> payload;
};

// One message of send_batch(): where to (null: the connected peer) and what.
struct Message {
  const Endpoint* to = nullptr;
  std::span<const std::uint8_t> payload;
};

// Room for one datagram's payload, in the frame that will carry it: UdpSocket::reserve() gives it,
// commit() sends it. Nothing is sent of one that is destroyed. It must not outlive its Net.
class Reservation {
 public:
  Reservation(Reservation&& other) noexcept;
  Reservation& operator=(Reservation&& other) noexcept;
  ~Reservation();
  std::span<std::uint8_t> bytes();  // to be filled in; their first values are any

 private:
  friend class UdpSocket;
  explicit Reservation(txp::Skb* frame) : frame_(frame) {}
  txp::Skb* frame_;
};

// Thread safety: as a file descriptor's: any thread may send; one thread at a time changes options.
// The socket must not outlive its Net.
class UdpSocket {
 public:
  UdpSocket(UdpSocket&& other) noexcept;
  UdpSocket& operator=(UdpSocket&& other) noexcept;
  ~UdpSocket();  // close(2)

  // Errors as bind(2): EADDRINUSE, EADDRNOTAVAIL, EACCES, EINVAL.
  [[nodiscard]] SockResult<void> bind(const Endpoint& local);
  // Errors as connect(2): ENETUNREACH, EHOSTUNREACH, EACCES, EAGAIN.
  [[nodiscard]] SockResult<void> connect(const Endpoint& peer);
  [[nodiscard]] SockResult<void> disconnect();  // connect(AF_UNSPEC)
  [[nodiscard]] SockResult<void> shutdown(int how);

  // setsockopt(2) and getsockopt(2) at SOL_SOCKET, IPPROTO_IP and SOL_UDP.
  [[nodiscard]] SockResult<void> set_option(int level, int name,
                                            std::span<const std::uint8_t> value);
  [[nodiscard]] SockResult<void> set_option(int level, int name, int value);
  [[nodiscard]] SockResult<int> option(int level, int name);
  // Into `value`, cut to its size; answers the bytes written.
  [[nodiscard]] SockResult<std::size_t> option(int level, int name, std::span<std::uint8_t> value);
  // O_NONBLOCK: a full send buffer answers EAGAIN instead of waiting. Off at first.
  void set_nonblocking(bool on);

  // Bytes sent. Errors as send(2).
  [[nodiscard]] SockResult<std::size_t> send(std::span<const std::uint8_t> payload, int flags = 0);
  [[nodiscard]] SockResult<std::size_t> send_to(std::span<const std::uint8_t> payload,
                                                const Endpoint& to, int flags = 0);
  // sendmsg(2): msg_name is a sockaddr_in, msg_control a list of cmsghdr.
  [[nodiscard]] SockResult<std::size_t> send_message(const msghdr& msg, int flags = 0);
  // sendmmsg(2): messages sent. An error after the first message ends the batch early; the caller
  // meets it by sending the rest.
  [[nodiscard]] SockResult<std::size_t> send_batch(std::span<const Message> messages,
                                                   int flags = 0);
  // The same without a copy: the payload is written where the frame is, then sent to `to` (null:
  // the connected peer). A datagram that walks, or is cut into fragments, is copied after all.
  // Errors: EMSGSIZE (no datagram is so long), ENOBUFS; those of send(2), EINVAL for `len` beyond
  // the room.
  [[nodiscard]] SockResult<Reservation> reserve(std::size_t len);
  [[nodiscard]] SockResult<std::size_t> commit(Reservation&& frame, std::size_t len,
                                               const Endpoint* to = nullptr, int flags = 0);
  // The oldest datagram that came for this socket. Never waits: EAGAIN when there is none;
  // ECONNREFUSED and its like when an ICMP error came. Net::poll() takes datagrams in.
  [[nodiscard]] SockResult<Datagram> recv();

  // recvmsg(2) with MSG_ERRQUEUE (ICMP errors with IP_RECVERR, send stamps with SO_TIMESTAMPING),
  // MSG_PEEK and MSG_TRUNC: msg_name is a sockaddr_in; msg_control and msg_flags are filled in.
  // Never waits.
  [[nodiscard]] SockResult<std::size_t> receive_message(msghdr& msg, int flags = 0);

  // getsockname(2).
  Endpoint local() const;

 private:
  friend class Net;
  explicit UdpSocket(txp::Sock* sk) : sk_(sk) {}
  txp::Sock* sk_;
};

}  // namespace txpath
