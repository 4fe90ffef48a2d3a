// SPDX-License-Identifier: Apache-2.0
// txpath::UdpSocket over txp::Sock.
#include "txpath/udp_socket.h"

#include <netinet/in.h>

#include <algorithm>
#include <array>
#include <cstring>
#include <utility>

#include "net.h"
#include "socket/sock.h"
#include "socket/sock_send.h"

namespace txpath {
namespace {

std::unexpected<Errno> outside(txp::Errno e) {
  return std::unexpected(Errno{e.is_unknown() ? EOPNOTSUPP : e.code});
}

template <typename T>
SockResult<T> outside(txp::SockResult<T> inside) {
  if (!inside) return outside(inside.error());
  if constexpr (std::is_void_v<T>)
    return {};
  else
    return std::move(*inside);
}

txp::SockAddr4 inside(const Endpoint& e) { return {txp::Ip4{e.address.host}, e.port, AF_INET}; }

Endpoint outside(const txp::SockAddr4& a) { return {Ipv4Address{a.addr.host}, a.port}; }

// An iovec cannot say that its bytes are only read; the engine only reads them.
iovec piece(std::span<const std::uint8_t> payload) {
  return {const_cast<std::uint8_t*>(payload.data()), payload.size()};
}

bool same_place(const Endpoint* a, const Endpoint* b) {
  return a == b || (a != nullptr && b != nullptr && *a == *b);
}

}  // namespace

UdpSocket::UdpSocket(UdpSocket&& other) noexcept : sk_(std::exchange(other.sk_, nullptr)) {}

UdpSocket& UdpSocket::operator=(UdpSocket&& other) noexcept {
  std::swap(sk_, other.sk_);
  return *this;
}

UdpSocket::~UdpSocket() {
  if (sk_ != nullptr) txp::inet_release(*sk_);
}

SockResult<void> UdpSocket::bind(const Endpoint& to) {
  return outside(txp::inet_bind(*sk_, inside(to)));
}

SockResult<void> UdpSocket::connect(const Endpoint& peer) {
  return outside(txp::inet_dgram_connect(*sk_, inside(peer)));
}

SockResult<void> UdpSocket::disconnect() {
  return outside(txp::inet_dgram_connect(*sk_, {{}, 0, AF_UNSPEC}));
}

SockResult<void> UdpSocket::shutdown(int how) { return outside(txp::inet_shutdown(*sk_, how)); }

SockResult<void> UdpSocket::set_option(int level, int name, std::span<const std::uint8_t> value) {
  return outside(txp::sock_setsockopt(*sk_, level, name, value));
}

SockResult<void> UdpSocket::set_option(int level, int name, int value) {
  std::uint8_t bytes[sizeof value];
  std::memcpy(bytes, &value, sizeof value);
  return set_option(level, name, bytes);
}

SockResult<int> UdpSocket::option(int level, int name) {
  std::uint8_t bytes[sizeof(int)] = {};
  auto got = txp::sock_getsockopt(*sk_, level, name, bytes);
  if (!got) return outside(got.error());
  int value;
  std::memcpy(&value, bytes, sizeof value);
  return value;
}

SockResult<std::size_t> UdpSocket::option(int level, int name, std::span<std::uint8_t> value) {
  return outside(txp::sock_getsockopt(*sk_, level, name, value));
}

void UdpSocket::set_nonblocking(bool on) { sk_->nonblocking = on; }

SockResult<std::size_t> UdpSocket::send(std::span<const std::uint8_t> payload, int flags) {
  return outside(txp::sock_send(sk_->net, *sk_, piece(payload), nullptr, flags));
}

SockResult<std::size_t> UdpSocket::send_to(std::span<const std::uint8_t> payload,
                                           const Endpoint& to, int flags) {
  const txp::SockAddr4 name = inside(to);
  return outside(txp::sock_send(sk_->net, *sk_, piece(payload), &name, flags));
}

SockResult<std::size_t> UdpSocket::send_message(const msghdr& m, int flags) {
  txp::MsgHdr msg;
  if (m.msg_name != nullptr && m.msg_namelen != 0) {
    sockaddr_in name{};
    msg.namelen = m.msg_namelen;
    std::memcpy(&name, m.msg_name, std::min<std::size_t>(m.msg_namelen, sizeof name));
    msg.name = txp::SockAddr4{txp::Ip4{ntohl(name.sin_addr.s_addr)}, ntohs(name.sin_port),
                              name.sin_family};
  }
  msg.iov = {m.msg_iov, m.msg_iovlen};
  msg.control = {static_cast<const std::uint8_t*>(m.msg_control),
                 m.msg_control != nullptr ? m.msg_controllen : 0};
  msg.flags = flags;
  return outside(txp::sock_sendmsg(sk_->net, *sk_, msg));
}

SockResult<std::size_t> UdpSocket::send_batch(std::span<const Message> messages, int flags) {
  constexpr std::size_t kAtOnce = 32;
  std::array<iovec, kAtOnce> run;
  std::size_t sent = 0;
  while (sent < messages.size()) {
    // Messages to the same place, one after the other.
    const std::span left = messages.subspan(sent);
    std::size_t n = 0;
    for (; n < std::min(left.size(), kAtOnce) && same_place(left[n].to, left.front().to); ++n)
      run[n] = piece(left[n].payload);
    txp::SockAddr4 name;
    if (left.front().to != nullptr) name = inside(*left.front().to);
    const auto some = txp::sock_send_run(sk_->net, *sk_, std::span(run).first(n),
                                         left.front().to != nullptr ? &name : nullptr, flags);
    if (!some && sent == 0) return outside(some.error());
    if (!some) break;
    sent += *some;
    if (*some < n) break;
  }
  return sent;
}

SockResult<Reservation> UdpSocket::reserve(std::size_t len) {
  auto frame = txp::sock_reserve(sk_->net, len);
  if (!frame) return outside(frame.error());
  return Reservation(frame->release());
}

SockResult<std::size_t> UdpSocket::commit(Reservation&& frame, std::size_t len, const Endpoint* to,
                                          int flags) {
  if (frame.frame_ == nullptr || len > frame.bytes().size()) return std::unexpected(Errno{EINVAL});
  txp::SockAddr4 name;
  if (to != nullptr) name = inside(*to);
  return outside(txp::sock_commit(sk_->net, *sk_, txp::SkbPtr(std::exchange(frame.frame_, nullptr)),
                                  len, to != nullptr ? &name : nullptr, flags));
}

Reservation::Reservation(Reservation&& other) noexcept
    : frame_(std::exchange(other.frame_, nullptr)) {}

Reservation& Reservation::operator=(Reservation&& other) noexcept {
  std::swap(frame_, other.frame_);
  return *this;
}

Reservation::~Reservation() {
  if (frame_ != nullptr) txp::free_skb(txp::SkbPtr(frame_));
}

std::span<std::uint8_t> Reservation::bytes() {
  return frame_ != nullptr ? frame_->bytes() : std::span<std::uint8_t>();
}

SockResult<Datagram> UdpSocket::recv() {
  auto got = txp::udp_recvmsg(*sk_);
  if (!got) return outside(got.error());
  return Datagram{outside(got->from), outside(got->to), std::move(got->payload)};
}

SockResult<std::size_t> UdpSocket::receive_message(msghdr& m, int flags) {
  txp::RecvMsg msg;
  msg.iov = {m.msg_iov, m.msg_iovlen};
  msg.control = {static_cast<std::uint8_t*>(m.msg_control),
                 m.msg_control != nullptr ? m.msg_controllen : 0};
  msg.flags = flags;
  const auto got = txp::udp_recvmsg(*sk_, msg);
  if (!got) return outside(got.error());
  if (m.msg_name != nullptr && msg.name) {
    sockaddr_in name{};
    name.sin_family = AF_INET;
    name.sin_port = htons(msg.name->port);
    name.sin_addr.s_addr = htonl(msg.name->addr.host);
    std::memcpy(m.msg_name, &name, std::min<std::size_t>(m.msg_namelen, sizeof name));
    m.msg_namelen = sizeof name;
  } else {
    m.msg_namelen = 0;
  }
  m.msg_controllen = msg.controllen;
  m.msg_flags = msg.msg_flags;
  return *got;
}

Endpoint UdpSocket::local() const { return {Ipv4Address{sk_->inet_saddr.host}, sk_->inet_num}; }

}  // namespace txpath
